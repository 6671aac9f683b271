"""Every block of code in the pages is what it says, and every link leads somewhere, on the pages as they lie here."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

import zoo_core
from docs.pages import DOCUMENTS, ROOT, anchors, blocks, links

PROGRAMS = (
    "zoo",
    "python",
    "pip",
    "bash",
    "export",
    "source",
    ".",
    "curl",
    "apt-get",
    "for",
    "ruff",
    "mypy",
    "pytest",
    "git",
)
LANGUAGES = {"sh", "console", "python", "toml", "json", "csv", "text", ""}
IDS = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_a_block_of_code_is_what_its_language_says(path: Path) -> None:
    for language, text in blocks(path):
        assert language in LANGUAGES
        match language:
            case "python":
                names = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
                of_zoo = {
                    node.attr for node in names if isinstance(node.value, ast.Name) and node.value.id == "zoo_core"
                }
                assert all(hasattr(zoo_core, name) for name in of_zoo)
            case "toml":
                tomllib.loads(text)
            case "json":
                json.loads(text)
            case "sh":
                for line in text.replace("\\\n", " ").splitlines():
                    words = line.removeprefix(".venv/bin/").split() or ["."]
                    program = re.sub(r"^python3$", "python", Path(words[0]).name or ".")
                    assert program in PROGRAMS or line.startswith(("    ", "#")), line


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_a_link_leads_to_a_file_and_to_a_heading_of_it(path: Path) -> None:
    for target in links(path):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), f"{target}: there are {sorted(anchors(file))}"


def test_links_and_blocks_were_found() -> None:
    assert sum(len(links(path)) for path in DOCUMENTS) > 200
    assert sum(len(blocks(path)) for path in DOCUMENTS) > 100
    assert "several-at-a-time-on-many-machines" in anchors(ROOT / "docs" / "compare.md")
