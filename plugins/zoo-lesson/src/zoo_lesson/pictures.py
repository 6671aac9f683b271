"""The look of the lesson's pictures: narrow enough for a phone, in the colours of zoo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core import PALETTE, Figure

WIDTH = 6.0  # inches: on a phone of 390 pixels a text of 10 points is then 9 pixels high
TEXT = 9.5  # points
FROZEN, TRAINED = "#9aa5b1", PALETTE.orange
"""The colours of what is frozen and of what is trained, as in `zoo view`."""
MAPS = "cividis"
"""The colours of feature maps, which people with any eyes see alike."""


def figure(height: float) -> Figure:
    """An empty picture, so many inches high."""
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor=PALETTE.ground)


def dress(axes: Any, title: str = "", *, grid: str = "") -> None:
    """Give axes the look of zoo: a title on the left, quiet lines, no box."""
    axes.set_title(title, size=TEXT + 1, loc="left", color=PALETTE.ink, y=1.0)
    axes.set_facecolor(PALETTE.ground)
    axes.tick_params(colors=PALETTE.ink, labelsize=TEXT, length=0)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=PALETTE.line, linewidth=0.7)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALETTE.soft)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_size(TEXT)
        label.set_color(PALETTE.ink)


def show(axes: Any, pixels: npt.NDArray[Any], title: str = "", **how: Any) -> None:
    """An image without axes."""
    axes.imshow(pixels, **how)
    axes.set_title(title, size=TEXT, color=PALETTE.ink, y=1.0)
    axes.axis("off")


def write(axes: Any, x: float, y: float, text: str, **how: Any) -> None:
    """A text in the picture."""
    axes.text(x, y, text, **{"size": TEXT, "color": PALETTE.ink, "va": "center", **how})


def legend(axes: Any, **how: Any) -> None:
    """The legend of the things that have a label."""
    axes.legend(frameon=False, fontsize=TEXT, labelcolor=PALETTE.ink, **how)


def whiskers(
    axes: Any,
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[Sequence[float]],
    colours: Sequence[str],
    *,
    unit: str = " %",
    factor: float = 100,
) -> None:
    """A row for each name, the first on top: a dot at its value, a line over its interval."""
    for row, (value, interval, colour) in enumerate(zip(values, intervals, colours, strict=True)):
        low, high = factor * interval[0], factor * interval[1]
        axes.plot(
            [low, high], [row, row], color=colour, linewidth=3.5, solid_capstyle="round", alpha=0.5, clip_on=False
        )
        axes.plot(factor * value, row, "o", color=colour, markersize=9, clip_on=False)
        write(axes, factor * value, row - 0.36, f"{factor * value:.0f}{unit}", ha="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.75)
    if unit == " %":
        axes.set_xlim(0, 100)


def mosaic(tiles: Sequence[npt.NDArray[np.uint8]], columns: int, gap: int = 2) -> npt.NDArray[np.uint8]:
    """Square tiles (S, S, 3) in rows, with white lines between them."""
    side, rows = len(tiles[0]), -(-len(tiles) // columns)
    step = side + gap
    laid = np.full((rows * step - gap, columns * step - gap, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = step * (place // columns), step * (place % columns)
        laid[top : top + side, left : left + side] = tile
    return laid
