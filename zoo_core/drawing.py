"""Matplotlib figures as PNG files, without a display and without a notebook's backend.

Every picture imports `Figure` from here: a notebook names its own backend in MPLBACKEND, which a
child process often lacks, and matplotlib refuses to be imported with a backend that it does not
know.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo_core.errors import printable
from zoo_core.paths import written_whole

_notebooks_own = os.environ.pop("MPLBACKEND", None)
try:
    from matplotlib import colormaps
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
    "MAX_LABELLED",
    "Figure",
    "MaxNLocator",
    "Rectangle",
    "axis_names",
    "colormaps",
    "save_figure",
]

MAX_LABELLED = 40  # names that fit along an axis
CHARACTER = 0.085  # inches, the room that one takes beside an axis
ABOVE: dict[str, Any] = {"y": 1.0}  # of a title; finding its place costs a fifth of the drawing
DPI = 110


def axis_names(names: Sequence[str]) -> list[str]:
    """Names cut to 24 printable characters; a dollar sign would start a formula."""
    return [printable(name)[:24].replace("$", r"\$") for name in names]


def save_figure(figure: Figure, target: Path) -> None:
    """Write a figure to a PNG file, whole or not at all."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    with written_whole(target) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn in its place
        canvas.print_png(temporary)  # type: ignore[no-untyped-call]  # `savefig` would draw twice
