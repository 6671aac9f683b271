"""The picture of `zoo explain`: each image as the network sees it, and the heat map over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from zoo_core.drawing import Figure, colormaps, save_figure
from zoo_core.errors import printable
from zoo_core.explaining.explain import Explanation
from zoo_core.explaining.maps import enlarged

SIDE, CAPTION, MARGIN = 2.6, 0.75, 0.15  # inches
COLOURS = "inferno"  # its lightness grows evenly: people who see few colours, and printers, see the same order
MOST = 50  # rows: a picture of 18,000 pixels
LETTERS = 28
COVER = 0.65  # of a place at the map's highest value


def draw_explanations(target: Path, explanations: Sequence[Explanation]) -> None:
    """Draw at most 50 explanations to a PNG file, a row for each."""
    shown = explanations[:MOST]
    height = len(shown) * (SIDE + CAPTION) + MARGIN
    width = 2 * SIDE + 3 * MARGIN
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
        figure.text(right, above + 0.42 / height, f"{_cut(one.name)}  {one.value:.3g}", size=9, weight="bold")
        figure.text(right, above + 0.1 / height, _verdict(one), size=8, color="#555555")
    save_figure(figure, target)


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


def _cut(text: str) -> str:
    text = printable(text)
    return (text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…").replace("$", r"\$")
