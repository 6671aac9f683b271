"""Pictures as PNG files: opaque, signed, at the same resolution."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from zoo_core.drawing import DPI, GROUND, Figure, axis_names, save_figure


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
