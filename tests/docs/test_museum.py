"""The exhibits of the failure museum, tiny, and its page."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from helpers import draw_blank

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "benchmarks"))

import exhibits  # noqa: E402
from exhibits import EXHIBITS  # noqa: E402
from museum import WORDS, lines_of, section, wrapped  # noqa: E402
from museum_room import Room  # noqa: E402

TEXT = (TOP / "docs" / "museum.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_mistake_shows_another_figure_than_the_truth(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(exhibits, "SURE", 0.5)  # a network of 60 images is sure of nothing
    draw_blank(monkeypatch.setattr)
    shown = EXHIBITS[name](Room(tmp_path, train=12, val=8))
    if name in FLATTERS:
        assert shown.wrong.share > shown.right.share
    else:
        assert shown.wrong.share < shown.right.share, "the network is worse than it could be"
    assert all(str(tmp_path) not in line for line in (*lines_of(shown), section(name, shown)))


FLATTERS = {"leakage", "imbalance", "stranger"}
"""The mistakes whose figure is too good; the others make the network bad."""


def test_the_page_has_every_exhibit_with_a_small_picture() -> None:
    assert set(WORDS) == set(EXHIBITS)
    for name, (title, mistake, _) in WORDS.items():
        assert f"## {title}\n\n{wrapped(mistake)}" in TEXT
        picture = TOP / "docs" / "museum" / f"{name}.png"
        assert f"(museum/{name}.png)" in TEXT
        assert picture.stat().st_size < 60_000


def test_the_figures_of_the_page_differ_by_more_than_their_intervals() -> None:
    for section_text in TEXT.split("\n## ")[1:]:
        (low, high), (other_low, other_high) = re.findall(r"interval ([\d.]+) % to ([\d.]+) %\)\*?\*? \|", section_text)
        assert float(low) > float(other_high) or float(high) < float(other_low)
