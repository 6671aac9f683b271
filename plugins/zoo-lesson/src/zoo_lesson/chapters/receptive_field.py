"""The receptive field: what a cell can see (VGG), and what moves it in practice.

The measure follows Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep
Convolutional Neural Networks" (NIPS 2016, arXiv 1701.04128).

Shapes: N photos, C channels, S side of the image as the network sees it.
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from zoo_core import PALETTE, Figure, profile
from zoo_core import Profile as Network
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.lesson import Lesson, seen

PHOTOS = 24
SHARE = 0.9  # of what moves a cell
EVEN = sqrt(SHARE)  # of the field's side: the middle square with that share, if all pixels moved the cell alike
MIDDLE = 0.85 * EVEN  # a smaller square speaks for the middle
VGG = "vgg16"


def measure(lesson: Lesson) -> Finding:
    lesson.zoo("info", VGG)
    vgg = profile(VGG, catalog=lesson.catalog)
    place = _stage(lesson.profile)
    stage = lesson.profile.stages[place]
    field, paths = max(stage.field or (1, 1)), lesson.few(PHOTOS)
    moved = [_moved(lesson, place, path) for path in paths]
    sides = [_side(moved_SS, _centre(stage.box)) for moved_SS in moved]
    mean, interval = float(np.mean(sides)), intervals.of_mean(sides)
    sentence = (
        f"A cell of {stage.name} in {lesson.backbone} can see {field} × {field} pixels, and {100 * SHARE:.0f} % of what "
        f"moves it lie within {mean:.0f} × {mean:.0f} (95 % interval of the side, {interval[0]:.0f} to {interval[1]:.0f}; "
        f"{len(paths)} photos); if all pixels counted alike, it would be {EVEN * field:.0f} × {EVEN * field:.0f}."
    )
    ratio = mean / field
    return Finding(
        sentence=sentence,
        choice=1 if ratio < MIDDLE else 0 if ratio <= (1 + EVEN) / 2 else 2,
        figure=_draw(lesson, vgg, stage.name, field, _centre(stage.box), mean, np.mean(moved, 0), paths[0]),
        alt=f"The fields of {VGG} as squares on a photo, and the pixels that move a cell of {stage.name}.",
        numbers={"stage": stage.name, "field": field, "side": mean, "interval": interval, "photos": len(paths)},
    )


def _stage(network: Network) -> int:
    """The place of the deepest stage whose field is smaller than the image, else of the first."""
    side = network.input[1]
    smaller = [place for place, one in enumerate(network.stages) if one.field and max(one.field) < side]
    return max(smaller, default=0)


def _centre(box: tuple[int, int, int, int] | None) -> tuple[float, float]:
    """The middle of a field: its row and its column."""
    left, top, right, bottom = box or (0, 0, 0, 0)
    return (top + bottom) / 2, (left + right) / 2


def _moved(lesson: Lesson, place: int, path: Path) -> npt.NDArray[np.float64]:
    """How much each pixel (S, S) moves the cell in the middle of a stage: absolute gradients of the sum of its channels."""
    from PIL import Image

    with Image.open(path) as image:
        pixels_1CSS = lesson.transform(image)[None].requires_grad_()
    features = pixels_1CSS * 1.0  # a stage may begin in place
    for stage in lesson.profile.stages[: place + 1]:
        features = lesson.model.backbone.stage(stage.name)(features)
    height, width = features.shape[2:]
    (gradient_1CSS,) = torch.autograd.grad(features[0, :, height // 2, width // 2].sum(), pixels_1CSS)
    size_SS = gradient_1CSS[0].abs().sum(0).double()
    moved_SS: npt.NDArray[np.float64] = (size_SS / size_SS.sum().clamp_min(1e-30)).numpy()
    return moved_SS


def _side(moved_SS: npt.NDArray[np.float64], centre: tuple[float, float]) -> float:
    """The side of the square around the middle that has SHARE of what moves a cell."""
    rows, columns = np.indices(moved_SS.shape)
    away = np.maximum(abs(rows - centre[0]), abs(columns - centre[1])).ravel()
    order = away.argsort(kind="stable")
    total = moved_SS.ravel()[order].cumsum()
    reached = min(int(np.searchsorted(total, SHARE * total[-1])), len(order) - 1)
    return float(2 * away[order[reached]] + 1)


def _draw(
    lesson: Lesson,
    vgg: Network,
    stage: str,
    field: int,
    centre: tuple[float, float],
    side: float,
    moved_SS: npt.NDArray[np.float64],
    path: Path,
) -> Figure:
    figure = pictures.figure(3.6)
    left, right = figure.subplots(1, 2)
    middle, photo = vgg.input[1] / 2, seen(lesson.transform, path)
    title = f"{VGG}: what a cell can see,\nby stage, in pixels"
    pictures.show(left, photo, title, extent=(0, vgg.input[1], vgg.input[1], 0))
    for number, one in enumerate(one for one in vgg.stages if one.field):
        own = max(one.field or (0, 0))
        _square(left, (middle, middle), own, PALETTE.orange)
        if number >= 2:  # the first two are too small for a name
            pictures.write(left, middle, middle - own / 2 + 9, f"{one.name}: {own}", ha="center", **_ON_PHOTO)
    shade_SS = np.sqrt(moved_SS / moved_SS.max())  # the square root, so that faint pixels are seen
    title = f"{stage}: it can see {field} (white),\n90 % of what moves it: {side:.0f} (orange)"
    pictures.show(right, shade_SS, title, cmap=pictures.MAPS)
    _square(right, centre, field, "#ffffff")
    _square(right, centre, side, PALETTE.orange)
    return figure


_ON_PHOTO = {"color": "#1b1b1b", "bbox": {"facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}}


def _square(axes: Any, centre: tuple[float, float], side: float, colour: str) -> None:
    (row, column), half = centre, side / 2
    xs = [column - half, column + half, column + half, column - half, column - half]
    ys = [row - half, row - half, row + half, row + half, row - half]
    axes.plot(xs, ys, color=colour, linewidth=2)


RECEPTIVE_FIELD = Chapter(
    name="receptive-field",
    title="The receptive field",
    question="A cell of a deep stage can see a large square of the photo. Which pixels of the square move it in practice?",
    choices=("all of them, about alike", "mostly those in the middle", "mostly those at the edge"),
    explanation=(
        "VGG (2014) is built of 3 × 3 convolutions alone. Two of them in a row see as much as one of 5 × 5, three as "
        "much as one of 7 × 7, with 27 in place of 49 weights for each pair of channels, and with two more "
        "nonlinearities. Each pooling doubles the step, so that the square which a cell depends on, its receptive "
        "field, grows fast: 212 of 224 pixels at the end of VGG16.",
        "That is what a cell can see. There are many paths from a pixel in the middle to the cell and few from one at "
        "the edge, so that the middle counts more (Luo et al. 2016).",
    ),
    measure=measure,
)
