"""First-layer filters, and the parts of one's own photos that excite a channel most.

The picture is that of Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks"
(ECCV 2014, arXiv 1311.2901), without its deconvolutions.

Shapes: N photos, C channels, H height, W width, S side of the image as the network sees it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from zoo_core import Figure, UsageError
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.chapters.feature_maps import by_chance
from zoo_lesson.lesson import Lesson, Maps, seen

TOP = 9  # photos: the 3 x 3 of the paper
CHANNELS = 4  # that are shown of each stage
FILTERS = 32
LEAST = 24  # pixels of a patch, so that something can be recognised
TILE = 48  # pixels of a patch in the picture


def measure(lesson: Lesson) -> Finding:
    stages = [lesson.maps(stage) for stage in lesson.stages]
    purities = [_purities(maps) for maps in stages]
    shares = [float(purity_C.mean()) for purity_C in purities]
    found = [intervals.of_mean(purity_C) for purity_C in purities]
    chance = by_chance(stages[0].labels_N)
    first, last = lesson.stages[0], lesson.stages[-1]
    sentence = (
        f"Of two photos among the {_top(stages[0])} that excite a channel most, both are of one class in "
        f"{intervals.percent(shares[0], found[0])} of the cases at {first} and in {intervals.percent(shares[-1], found[-1])} "
        f"at {last}; by chance it would be {100 * chance:.1f} %. The intervals are over the channels."
    )
    return Finding(
        sentence=sentence,
        choice=0 if found[-1][0] <= chance else 1 if shares[-1] < 2 * chance else 2,
        figure=_draw(lesson, stages),
        alt=f"The filters of the first layer; for {', '.join(lesson.stages)} the patches of photos that excite a channel.",
        numbers={"stages": lesson.stages, "shares": shares, "intervals": found, "chance": chance},
    )


def _top(maps: Maps) -> int:
    return min(TOP, max(2, len(maps.labels_N) // 4))


def _strongest(maps: Maps) -> npt.NDArray[np.int64]:
    """The photos (top, C) with the highest values of each channel, the highest first."""
    peaks_NC = maps.features_NCHW.max((2, 3))
    return np.argsort(-peaks_NC, axis=0, kind="stable")[: _top(maps)]


def _purities(maps: Maps) -> npt.NDArray[np.float64]:
    """For each channel that is not the same everywhere, the share of pairs of its strongest photos that are of one class."""
    alive_C = maps.features_NCHW.max((2, 3)).std(0) > 1e-6
    labels_TC = maps.labels_N[_strongest(maps)][:, alive_C]
    top = len(labels_TC)
    pairs_C = (labels_TC[:, None] == labels_TC[None]).sum((0, 1)) - top
    purities_C: npt.NDArray[np.float64] = pairs_C / (top * (top - 1))
    return purities_C


def _selective(maps: Maps) -> list[int]:
    """The channels whose strongest photos stand out most from all others."""
    peaks_NC = maps.features_NCHW.max((2, 3))
    strongest_TC = np.take_along_axis(peaks_NC, _strongest(maps), axis=0)
    margin_C = (strongest_TC.mean(0) - peaks_NC.mean(0)) / (peaks_NC.std(0) + 1e-6)
    return [int(channel) for channel in np.argsort(-margin_C, kind="stable")[:CHANNELS]]


def _patch(lesson: Lesson, maps: Maps, photo: int, channel: int) -> npt.NDArray[np.uint8]:
    """The part of a photo that the strongest cell of a channel sees, as a tile."""
    from PIL import Image

    pixels_SSC = seen(lesson.transform, maps.paths[photo])
    side = len(pixels_SSC)
    stage = next(one for one in lesson.profile.stages if one.name == maps.stage)
    cells_HW = maps.features_NCHW[photo, channel]
    cell = np.unravel_index(int(cells_HW.argmax()), cells_HW.shape)
    field = min(side, max(LEAST, *(stage.field or (side, side))))
    top, left = (
        int(np.clip((int(place) + 0.5) * side / cells - field / 2, 0, side - field))
        for place, cells in zip(cell, cells_HW.shape, strict=True)
    )
    part = Image.fromarray(pixels_SSC[top : top + field, left : left + field])
    return np.asarray(part.resize((TILE, TILE), Image.Resampling.BICUBIC))


def _filters(lesson: Lesson) -> npt.NDArray[np.float64]:
    """Filters of the first convolution (M, H, W, 3), each from its lowest to its highest value."""
    first = next((one for one in lesson.model.backbone.modules() if isinstance(one, nn.Conv2d)), None)
    if first is None:
        raise UsageError(f"{lesson.backbone} has no convolution. Choose another --backbone.")
    weights_MHWC = first.weight.detach().double().numpy()[:FILTERS].transpose(0, 2, 3, 1)
    low, high = weights_MHWC.min((1, 2, 3), keepdims=True), weights_MHWC.max((1, 2, 3), keepdims=True)
    scaled = (weights_MHWC - low) / np.maximum(high - low, 1e-12)
    return np.repeat(scaled, 3, 3) if scaled.shape[3] == 1 else scaled[..., :3]


def _draw(lesson: Lesson, stages: list[Maps]) -> Figure:
    figure = pictures.figure(6.6)
    grid = figure.add_gridspec(1 + len(stages), CHANNELS, height_ratios=(0.62, *[1] * len(stages)))
    filters = [(255 * one).round().astype(np.uint8) for one in _filters(lesson)]
    enlarged = [one.repeat(36 // len(one), 0).repeat(36 // len(one), 1) for one in filters]
    columns = 16 if len(enlarged) > 16 else len(enlarged)
    pictures.show(figure.add_subplot(grid[0, :]), pictures.mosaic(enlarged, columns, gap=5), _told(filters))
    for row, maps in enumerate(stages, 1):
        strongest = _strongest(maps)
        for place, channel in enumerate(_selective(maps)):
            tiles = [_patch(lesson, maps, int(photo), channel) for photo in strongest[:, channel]]
            axes: Any = figure.add_subplot(grid[row, place])
            pictures.show(axes, pictures.mosaic(tiles, 3), f"{maps.stage}, channel {channel}")
    return figure


def _told(filters: list[npt.NDArray[np.uint8]]) -> str:
    side = len(filters[0])
    return f"{len(filters)} filters of the first layer, {side} × {side} pixels"


PATCHES = Chapter(
    name="patches",
    title="First-layer filters and the patches that excite a channel",
    question=f"Take the {TOP} photos that excite a channel of the last stage most. How often are two of them of one class?",
    choices=("no more often than by chance", "more often, up to twice", "more than twice as often"),
    explanation=(
        "In 2013 Zeiler and Fergus asked what the channels of AlexNet look for. They took the parts of photos that "
        "excite a channel most and laid them side by side. In the first layer one can look at the filters themselves: "
        "edges in all directions, and colours.",
        "Deeper channels see larger parts, and the patches of one have more in common than a colour: a texture, a part, "
        "a kind of thing. What they saw told them what to change in AlexNet, and their network, ZFNet, made fewer errors.",
    ),
    measure=measure,
)
