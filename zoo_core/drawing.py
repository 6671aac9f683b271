"""Matplotlib figures as PNG or SVG files, without a display and without a notebook's backend.

Every picture imports `Figure` from here: a notebook names its own backend in MPLBACKEND, which a
child process often lacks, and matplotlib refuses to be imported with a backend that it does not
know.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zoo_core.errors import LettersWarning, printable
from zoo_core.paths import write_text, written_whole
from zoo_core.wording import isolated, told_apart

_notebooks_own = os.environ.pop("MPLBACKEND", None)
try:
    from matplotlib import __version__ as matplotlib_version
    from matplotlib import colormaps, rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager, get_font
    from matplotlib.patches import Rectangle
    from matplotlib.text import Text
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
    "ROUND",
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
ROUND = [1, 2, 5, 10]
"""The distances of ticks, but for powers of ten."""
MISSING = re.compile(r"Glyph (\d+) .*missing from ")  # a warning of matplotlib
MOST_LETTERS = 12  # that a warning names
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
    """Write a figure to an opaque PNG file, or by its ending to an SVG file, or not at all.

    Letters that the usual font lacks are drawn with others of this machine; a LettersWarning names
    those that none has.
    """
    if target.suffix.lower() == ".svg":
        write_text(target, _svg(figure))
        return
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    with written_whole(target) as temporary:
        missing = _draw(canvas)
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        image = Image.fromarray(pixels)
        if pixels[..., 3].min() < OPAQUE:
            image = Image.alpha_composite(Image.new("RGBA", image.size, GROUND), image)
        signature = PngInfo()
        signature.add_text("Software", f"Matplotlib {matplotlib_version}")
        image.convert("RGB").save(temporary, "png", dpi=(DPI, DPI), compress_level=COMPRESSION, pnginfo=signature)
    if missing:
        letters = "".join(sorted(missing)[:MOST_LETTERS])
        text = f"this machine has no font for {printable(letters)}: boxes stand for them in {printable(str(target))}"
        warnings.warn(text, LettersWarning, stacklevel=2)


def _draw(canvas: FigureCanvasAgg) -> set[str]:
    """Draw a figure, where the usual font lacks letters with others; return those that no font has."""
    missing = _draw_once(canvas)  # `savefig` would draw twice
    families = _fonts_with(missing) if missing else []
    if not families:
        return missing
    for text in canvas.figure.findobj(Text):
        text.set_fontfamily([*text.get_fontfamily(), *families])
    return _draw_once(canvas)


def _draw_once(canvas: FigureCanvasAgg) -> set[str]:
    """Draw a figure; return the letters in whose place there is a box."""
    missing = set()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        canvas.draw()  # type: ignore[no-untyped-call]
    for one in told:
        if found := MISSING.match(str(one.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return missing


def _fonts_with(letters: set[str]) -> list[str]:
    """The families of fonts of this machine that have some of these letters, as few as come."""
    left, families = {ord(letter) for letter in letters}, []
    for font in sorted(fontManager.ttflist, key=lambda one: (one.style != "normal", "Mono" in one.name, one.name)):
        if font.name.startswith("Last Resort"):  # boxes for all letters
            continue
        try:
            found = left.intersection(get_font(font.fname).get_charmap())
        except (OSError, RuntimeError):  # a font of pixels, or a file that is gone
            continue
        if found:
            families.append(font.name)
            left -= found
        if not left:
            break
    return families


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
