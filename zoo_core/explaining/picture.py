"""The picture of `zoo explain`: each image as the network sees it, and the heat map over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from zoo_core.drawing import Figure, colormaps, picture_text, save_figure
from zoo_core.errors import DataError, printable
from zoo_core.explaining.explain import Explanation
from zoo_core.explaining.maps import enlarged
from zoo_core.wording import shortened

SIDE, CAPTION, MARGIN = 2.6, 0.75, 0.15  # inches
NEAREST = 2.2  # inches for the nearest training images
COLOURS = "inferno"  # its lightness grows evenly: people who see few colours, and printers, see the same order
MOST = 50  # rows: a picture of 18,000 pixels
LETTERS = 28
COVER = 0.65  # of a place at the map's highest value


def draw_explanations(target: Path, explanations: Sequence[Explanation]) -> None:
    """Draw at most 50 explanations to a PNG file, a row for each."""
    shown = explanations[:MOST]
    height = len(shown) * (SIDE + CAPTION) + MARGIN
    has_nearest = any(one.nearest for one in shown)
    width = 2 * SIDE + 3 * MARGIN + (NEAREST if has_nearest else 0)
    figure = Figure(figsize=(width, height))
    for row, one in enumerate(shown):
        bottom = height - (row + 1) * (SIDE + CAPTION)
        for column, pixels in enumerate((one.seen, overlaid(one))):
            left = MARGIN + column * (SIDE + MARGIN)
            axes = figure.add_axes((left / width, bottom / height, SIDE / width, SIDE / height))
            axes.imshow(pixels)
            axes.set_axis_off()
        above = (bottom + SIDE) / height
        figure.text(MARGIN / width, above + 0.42 / height, _cut(Path(one.image).name), size=9, weight="bold")
        figure.text(MARGIN / width, above + 0.1 / height, "as the network sees it", size=8, color="#555555")
        right = (2 * MARGIN + SIDE) / width
        figure.text(right, above + 0.42 / height, f"{_cut(one.name)}  {one.text}", size=9, weight="bold")
        figure.text(right, above + 0.1 / height, _verdict(one), size=8, color="#555555")
        _draw_nearest(figure, one, 3 * MARGIN + 2 * SIDE, bottom)
    save_figure(figure, target)


def _draw_nearest(figure: Figure, one: Explanation, left: float, bottom: float) -> None:
    """The nearest training images, one below the other, with their classes and similarities."""
    width, height = figure.get_size_inches()
    nearest = one.nearest or ()
    if not nearest:
        return
    figure.text(left / width, (bottom + SIDE + 0.1) / height, "nearest training images", size=8, color="#555555")
    side = SIDE / max(3, len(nearest)) - 0.06
    for place, near in enumerate(nearest):
        low = bottom + SIDE - (place + 1) * (side + 0.06) + 0.06
        axes = figure.add_axes((left / width, low / height, side / width, side / height))
        axes.set_axis_off()
        try:
            axes.imshow(np.asarray(near.read().convert("RGB")))
        except DataError:  # the file has gone since its features were cached
            axes.text(0.5, 0.5, "gone", size=8, ha="center")
        beside = (left + side + 0.1) / width
        figure.text(beside, (low + 0.6 * side) / height, _cut(near.caption, 16), size=8)
        figure.text(beside, (low + 0.3 * side) / height, f"{near.similarity:.2f}", size=8, color="#555555")


def _verdict(one: Explanation) -> str:
    if one.deletion is None:
        return f"heat map at {_cut(one.at)}"
    word = "better" if one.deletion.means_something else "NO better"
    return f"{word} than 5 maps of chance"


def overlaid(one: Explanation) -> npt.NDArray[np.uint8]:
    """The image (S, S, 3) in grey with its heat map in colour."""
    side = one.seen.shape[0]
    shares_SS = enlarged(torch.from_numpy(one.cells_HW), side).numpy()
    colours = colormaps[COLOURS](shares_SS)[..., :3] * 255
    grey = np.repeat(one.seen.mean(2, keepdims=True), 3, 2)
    cover = (COVER * shares_SS)[..., None]
    mixed: npt.NDArray[np.uint8] = ((1 - cover) * grey + cover * colours).round().astype(np.uint8)
    return mixed


def _cut(text: str, letters: int = LETTERS) -> str:
    return picture_text(shortened(printable(text), letters))
