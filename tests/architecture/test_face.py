"""The public face: everything comes from `zoo_core`, it shows itself whole, and our own plugins need no more."""

from __future__ import annotations

import ast
import re
import rlcompleter
import subprocess
import sys
from pathlib import Path

import pytest

import zoo_core

ROOT = Path(__file__).parents[2]
FACE = {"zoo_core", "zoo_core.testing"}
PLUGIN_FILES = sorted((ROOT / "plugins").rglob("*.py"))


def imported(code: str) -> set[str]:
    """The modules that a file imports from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_dir_and_completion_show_the_face_and_nothing_else() -> None:
    assert dir(zoo_core) == sorted(zoo_core.__all__)
    completer = rlcompleter.Completer({"zoo_core": zoo_core})
    shown = {re.sub(r"\W.*", "", name.removeprefix("zoo_core.")) for name in completer.attr_matches("zoo_core.")}
    assert shown == {name for name in zoo_core.__all__ if not name.startswith("_")}


@pytest.mark.parametrize("name", zoo_core.__all__)
def test_every_name_of_the_face_is_there(name: str) -> None:
    assert getattr(zoo_core, name) is not None


def test_names_come_from_where_type_checkers_see_them() -> None:
    tree = ast.parse(Path(zoo_core.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == zoo_core._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'zoo_core' has no attribute 'fine_tune'"):
        _ = zoo_core.fine_tune


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_first_party_plugin_and_its_tests_use_only_the_public_face(path: Path) -> None:
    modules = imported(path.read_text(encoding="utf-8"))
    assert "helpers" not in modules, "a third party does not have this checkout's helpers"
    below = {name for name in modules if name.split(".")[0] == "zoo_core"} - FACE
    assert not below, f"{path.name} imports from {below}: add the name to zoo_core/__init__.py"


def test_the_plugin_that_the_tutorial_writes_uses_only_the_public_face() -> None:
    text = (ROOT / "docs" / "guides" / "write-a-plugin.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        assert {name for name in imported(block) if name.startswith("zoo_core")} <= FACE


def test_the_facts_of_a_plugin_import_nothing_heavy() -> None:
    light = ("errors", "freezing", "hookspecs", "options", "specs", "weights_specs")
    names = [name for name, home in zoo_core._HOME.items() if home.split(".")[1] in light]
    assert "BackboneSpec" in names
    code = f"from zoo_core import {', '.join(names)}; import sys; print([n for n in ('torch', 'numpy') if n in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
