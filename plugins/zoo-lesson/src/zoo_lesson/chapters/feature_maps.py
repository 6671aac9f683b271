"""Feature maps: what the stages of a network make of a photo.

Shapes: N photos, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core import PALETTE, Figure
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.lesson import Lesson, Maps, seen

MAPS_SHOWN = 6


def measure(lesson: Lesson) -> Finding:
    stages = [lesson.maps(stage) for stage in lesson.stages]
    labels_N = stages[0].labels_N
    alike = [_alike(maps) for maps in stages]
    shares = [float(alike_N.mean()) for alike_N in alike]
    found = [intervals.of_share(int(alike_N.sum()), len(alike_N)) for alike_N in alike]
    chance = by_chance(labels_N)
    told = ", ".join(
        f"for {intervals.percent(share, interval)} by the maps of {maps.stage}"
        for maps, share, interval in zip(stages, shares, found, strict=True)
    )
    sentence = (
        f"Of {len(labels_N)} photos, the most similar other one is of the same class {told}; by chance it would be for "
        f"{100 * chance:.1f} %."
    )
    best, second = np.argsort(shares)[::-1][:2].tolist()
    return Finding(
        sentence=sentence,
        choice=best if found[best][0] > shares[second] else None,  # else the order may be chance
        figure=_draw(lesson, stages, shares, found, chance),
        alt=f"A photo and {MAPS_SHOWN} feature maps at {', '.join(lesson.stages)}; the shares of the sentence as dots.",
        numbers={"stages": lesson.stages, "shares": shares, "intervals": found, "chance": chance},
    )


def by_chance(labels_N: npt.NDArray[np.int64]) -> float:
    """The share of pairs of photos that are of one class."""
    counts = np.bincount(labels_N)
    return float((counts * (counts - 1)).sum() / (len(labels_N) * (len(labels_N) - 1)))


def _alike(maps: Maps) -> npt.NDArray[np.bool_]:
    """Whether the nearest other photo is of the same class (N), by the mean of each map.

    Each mean is measured by its spread over the photos, so that no channel outweighs the others.
    """
    means_NC = maps.features_NCHW.mean((2, 3), dtype=np.float64)
    means_NC = (means_NC - means_NC.mean(0)) / (means_NC.std(0) + 1e-9)
    squares_N = (means_NC**2).sum(1)
    distances_NN = squares_N[:, None] + squares_N - 2 * means_NC @ means_NC.T
    np.fill_diagonal(distances_NN, np.inf)
    alike_N: npt.NDArray[np.bool_] = maps.labels_N[distances_NN.argmin(1)] == maps.labels_N
    return alike_N


def _draw(
    lesson: Lesson, stages: list[Maps], shares: list[float], found: list[tuple[float, float]], chance: float
) -> Figure:
    figure = pictures.figure(6.6)
    halves: Any = figure.subfigures(2, height_ratios=(1.15, 2))
    above, below = halves
    left, dots = above.subplots(1, 2, width_ratios=(1, 1.9))
    shown = len(stages[0].paths) // 2
    pictures.show(left, seen(lesson.transform, stages[0].paths[shown]), "the photo")
    pictures.whiskers(dots, [maps.stage for maps in stages], shares, found, [PALETTE.blue] * len(stages))
    dots.axvline(100 * chance, color=PALETTE.soft, linestyle=":", linewidth=1.5)
    pictures.dress(dots, "Nearest photo is of the same class, %\n(dotted: by chance)", grid="x")
    for maps, row in zip(stages, below.subplots(len(stages), MAPS_SHOWN), strict=True):
        features_CHW = maps.features_NCHW[shown]
        varied = features_CHW.reshape(len(features_CHW), -1).var(1).argsort()[::-1][:MAPS_SHOWN]
        for axes, channel in zip(row, sorted(varied.tolist()), strict=False):
            pictures.show(axes, features_CHW[channel], cmap=pictures.MAPS, interpolation="nearest")
        size = " × ".join(map(str, features_CHW.shape))
        row[0].set_title(f"{maps.stage}: {size}", size=pictures.TEXT, color=PALETTE.ink, loc="left", y=1.0)
    return figure


FEATURE_MAPS = Chapter(
    name="feature-maps",
    title="Feature maps",
    question="The maps of the first stage are sharp, those of the last have a few cells. Which know best what a photo shows?",
    choices=("those of the first stage", "those in the middle", "those of the last stage"),
    explanation=(
        "A channel is a detector that moves over the whole photo, and its feature map says where it found something. "
        "Early maps are large and look like the photo: edges, colours, spots. From stage to stage they get smaller and "
        "more numerous, and each cell sums up a larger part of the photo.",
        "In the last maps nobody recognises the photo, and two photos of one kind of thing have more in common there "
        "than two photos of one colour. That is why a head can be so simple.",
    ),
    measure=measure,
)
