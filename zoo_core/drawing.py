"""Matplotlib figures as PNG or SVG files, without a display and without a notebook's backend.

Every picture imports `Figure` from here: a notebook names its own backend in MPLBACKEND, which a
child process often lacks, and matplotlib refuses to be imported with a backend that it does not
know.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zoo_core.errors import printable
from zoo_core.paths import write_text, written_whole
from zoo_core.wording import isolated, told_apart

_notebooks_own = os.environ.pop("MPLBACKEND", None)
try:
    from matplotlib import __version__ as matplotlib_version
    from matplotlib import colormaps, rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator
finally:
    if _notebooks_own is not None:
        os.environ["MPLBACKEND"] = _notebooks_own

__all__ = [
    "ABOVE",
    "DPI",
    "GROUND",
    "INK",
    "LINE",
    "MAX_LABELLED",
    "PALETTE",
    "SOFT",
    "Figure",
    "MaxNLocator",
    "Palette",
    "Rectangle",
    "axis_names",
    "colormaps",
    "picture_text",
    "save_figure",
]

MAX_LABELLED = 40  # names that fit along an axis
NAME = 24  # letters of a name beside an axis
CHARACTER = 0.085  # inches, the room that one takes beside an axis
ABOVE: dict[str, Any] = {"y": 1.0}  # of a title; finding its place costs a fifth of the drawing
DPI = 110
OPAQUE = 255
COMPRESSION = 3
"""Of 9, for PNG files: opaque pixels make them no larger than transparent ones at PIL's 6."""
INK, SOFT, LINE, GROUND = "#1b1b1b", "#595959", "#d5d5d5", "#ffffff"
"""The colours of text, of lesser lines, of grids and of the ground, as on zoo's pages."""
IN_THE_DARK = {INK: "#e8e8e8", SOFT: "#a9adb2", LINE: "#3a3d41", GROUND: "#16181b"}
"""Their twins where a reader has chosen dark pages; an SVG file has both."""


@dataclass(frozen=True)
class Palette:
    """The colours of zoo's pictures: the four above, and those of the things that are shown.

    They are Okabe and Ito's, which people with any eyes tell apart, and grey.
    """

    ink: str = INK
    soft: str = SOFT
    line: str = LINE
    ground: str = GROUND
    blue: str = "#0072b2"
    orange: str = "#e69f00"
    vermilion: str = "#d55e00"
    grey: str = "#808080"


PALETTE = Palette()
WRITES_FROM_RIGHT = tuple(map(int, matplotlib_version.split(".")[:2])) >= (3, 11)
"""Whether matplotlib orders letters; before, it would draw the marks of that."""


def axis_names(names: Sequence[str]) -> list[str]:
    """Names of at most 24 letters, without their middle where they are longer, and told apart."""
    return [picture_text(name) for name in told_apart([printable(name) for name in names], NAME)]


def picture_text(text: str) -> str:
    """A text as a picture writes it, printable: a dollar sign would start a formula, and a name in
    Arabic or Hebrew would turn the numbers beside it."""
    text = printable(text)
    return (isolated(text) if WRITES_FROM_RIGHT else text).replace("$", r"\$")


def save_figure(figure: Figure, target: Path) -> None:
    """Write a figure to an opaque PNG file, or by its ending to an SVG file, or not at all."""
    if target.suffix.lower() == ".svg":
        write_text(target, _svg(figure))
        return
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    with written_whole(target) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn in its place
        canvas.draw()  # type: ignore[no-untyped-call]  # `savefig` would draw twice
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        image = Image.fromarray(pixels)
        if pixels[..., 3].min() < OPAQUE:
            image = Image.alpha_composite(Image.new("RGBA", image.size, GROUND), image)
        signature = PngInfo()
        signature.add_text("Software", f"Matplotlib {matplotlib_version}")
        image.convert("RGB").save(temporary, "png", dpi=(DPI, DPI), compress_level=COMPRESSION, pnginfo=signature)


def _svg(figure: Figure) -> str:
    """A figure as SVG: text is text, and the colours follow the reader's choice of light or dark."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "zoo"}):
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})  # type: ignore[no-untyped-call]
    drawn = stream.getvalue()
    for number, colour in enumerate(IN_THE_DARK):
        drawn = drawn.replace(colour, f"var(--c{number}, {colour})")
    dark = " ".join(f"--c{number}: {colour};" for number, colour in enumerate(IN_THE_DARK.values()))
    style = f"<style>@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}</style>"
    return drawn.replace("<defs>", f"{style}\n <defs>", 1)
