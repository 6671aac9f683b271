"""docs/reliability.md names tests that exist, in the files that it links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
NAMED = re.findall(r"\[(test_\w+)\]\(([^)]+)\)", DOCUMENT.read_text(encoding="utf-8"))
FAULTS, _, _ = DOCUMENT.read_text(encoding="utf-8").partition("## Generated inputs")
ROWS = re.findall(r"^\| (?!fault|---)(.*) \| (.*) \| (.*) \|$", FAULTS, re.MULTILINE)


@pytest.mark.parametrize(("test", "path"), sorted(set(NAMED)), ids=[test for test, _ in sorted(set(NAMED))])
def test_a_test_that_is_named_exists(test: str, path: str) -> None:
    code = (DOCUMENT.parent / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {test}\(", code, re.MULTILINE), f"{path} has no {test}"


def test_every_fault_is_held_by_a_test() -> None:
    assert len(ROWS) > 30
    assert not [fault for fault, _, held in ROWS if not re.search(r"\[test_\w+\]\(", held)]


def test_every_word_that_reads_like_a_test_is_a_link() -> None:
    """Without the link nobody would notice that the test is gone."""
    text = re.sub(r"\[test_\w+\]\([^)]+\)", "", DOCUMENT.read_text(encoding="utf-8"))
    assert not re.findall(r"\btest_\w+", text)
