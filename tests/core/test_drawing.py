"""Pictures as PNG files: opaque, signed, at the same resolution."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.font_manager import fontManager
from PIL import Image

from zoo_core.drawing import DPI, GROUND, Figure, axis_names, save_figure
from zoo_core.runs.pictures import optional_picture

RARE, OTHER = "\u2312", "\u2315"  # letters that DejaVu Sans lacks


def test_a_transparent_figure_lies_on_the_ground(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1), facecolor="none")
    figure.text(0.5, 0.5, "x", color="#000000")
    save_figure(figure, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as image:
        assert (image.mode, image.size) == ("RGB", (2 * DPI, DPI))
        assert round(image.info["dpi"][0]) == DPI
        assert str(image.info["Software"]).startswith("Matplotlib ")
        corner, darkest = image.getpixel((0, 0)), image.convert("L").getextrema()[0]
    assert "#{:02x}{:02x}{:02x}".format(*corner) == GROUND
    assert darkest < 60, "the letter is there"


def test_long_names_beside_an_axis_are_marked_as_cut_and_told_apart() -> None:
    """Seen to fail: "Northern cardinal (bird)" for both sexes."""
    names = ["Northern cardinal (bird), female", "Northern cardinal (bird), male", "$5"]
    assert axis_names(names) == ["Northern car…rd), female", "Northern car…bird), male", r"\$5"]


@pytest.mark.filterwarnings("error")
def test_letters_that_the_usual_font_lacks_are_drawn_with_another(tmp_path: Path) -> None:
    """Seen to fail: a row of equal boxes for each Chinese name. This letter is in a font that matplotlib brings."""
    save_figure(written(RARE), tmp_path / "letter.png")
    save_figure(written(OTHER), tmp_path / "other.png")
    assert (tmp_path / "letter.png").read_bytes() != (tmp_path / "other.png").read_bytes()


def test_letters_that_no_font_has_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fontManager, "ttflist", [one for one in fontManager.ttflist if one.name == "DejaVu Sans"])
    told: list[str] = []
    with optional_picture(tmp_path / "picture.png", told.append):
        save_figure(written(f"red {RARE}{OTHER}"), tmp_path / "picture.png")
    (line,) = told
    assert f"no font for {RARE}{OTHER}: boxes" in line
    assert (tmp_path / "picture.png").exists()


def written(text: str) -> Figure:
    """A figure with a name where names stand: beside an axis."""
    figure = Figure(figsize=(2, 1))
    figure.subplots().set_yticks([0], [text])
    return figure
