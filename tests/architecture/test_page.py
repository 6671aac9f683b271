"""docs/architecture.md tells of the code as it stands: its files, its floors, its few words."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_WORDS = 12


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:zoo_core|tests|docs|plugins)/[\w/.]+)`", PAGE))
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert len(named) > 10
    assert not missing, f"docs/architecture.md names files that are not there: {missing}"


def test_the_page_has_every_floor_in_the_order_of_the_test() -> None:
    floors = runpy.run_path(str(Path(__file__).with_name("test_floors.py")))["FLOORS"]
    told = [
        name
        for row in re.findall(r"^\| (`.*?) \|", section("Floors"), re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert told == [name for name in floors if not name.startswith("__")]


def test_zoo_has_few_words_of_its_own() -> None:
    words = re.findall(r"^\| (\w[\w ]*) \|", section("The words that are zoo's own"), re.MULTILINE)[
        1:
    ]  # without the head
    assert 0 < len(words) <= MOST_WORDS
