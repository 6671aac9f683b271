"""What it costs to run: parameters, multiply-accumulates, and the time that a photo takes here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from zoo_core import PALETTE, Figure, Transform, UsageError, create_model
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.lesson import Lesson

NETWORKS = ("alexnet", "vgg16", "googlenet", "resnet50", "efficientnet_lite0", "mobilenet_v3_large")
PHOTOS = 6
ALIKE = 0.7  # of the ratio of multiply-accumulates: a ratio of times above it follows them


@dataclass(frozen=True)
class Cost:
    """The cost of a network."""

    name: str
    params: int
    gmacs: float
    milliseconds: tuple[float, ...]
    """For each photo, on this machine."""

    @property
    def mean(self) -> float:
        return sum(self.milliseconds) / len(self.milliseconds)


def measure(lesson: Lesson) -> Finding:
    paths = lesson.few(PHOTOS)
    costs = [_cost(lesson, name, paths) for name in _installed(lesson)]
    light, heavy = (pick(costs, key=lambda one: one.gmacs) for pick in (min, max))
    work = heavy.gmacs / light.gmacs
    slower, interval = heavy.mean / light.mean, intervals.of_ratio(heavy.milliseconds, light.milliseconds)
    sentence = (
        f"{heavy.name} computes {work:.0f} times as much as {light.name} for a photo, and takes "
        f"{intervals.times(slower, interval)} as long on this machine ({heavy.mean:.0f} and {light.mean:.0f} ms; "
        f"{len(paths)} photos, one at a time)."
    )
    return Finding(
        sentence=sentence,
        choice=0 if slower > work * (2 - ALIKE) else 1 if slower >= ALIKE * work else 2,
        figure=_draw(costs),
        alt="Each network by its multiply-accumulates and its milliseconds; larger dots have more parameters.",
        numbers={one.name: {"params": one.params, "gmacs": one.gmacs, "milliseconds": one.mean} for one in costs},
    )


def _installed(lesson: Lesson) -> list[str]:
    """The networks whose plugins are installed."""
    found = []
    for name in NETWORKS:
        try:
            lesson.catalog.backbone(name)
        except UsageError:
            continue
        found.append(name)
    if len(found) < 2:
        raise UsageError(
            f"this chapter compares two networks or more of {', '.join(NETWORKS)}, and {len(found)} of them is "
            "installed. `zoo plugin search` finds their plugins."
        )
    return found


def _cost(lesson: Lesson, name: str, paths: list[Path]) -> Cost:
    """Time a network, without its classifier, with random weights: the work is the same with any."""
    facts = lesson.zoo("info", name)
    model = create_model(name, num_classes=2, weights="none", catalog=lesson.catalog).eval()
    transform, taken = Transform(model.design.preprocessing), []
    for path in (paths[0], *paths):  # the first one costs extra
        with Image.open(path) as image:
            photo_1CHW = transform(image)[None]
        started = time.perf_counter()
        with torch.inference_mode():
            model(photo_1CHW)
        taken.append(1000 * (time.perf_counter() - started))
    return Cost(name, facts["params"] or 0, facts["gmacs"] or 0.0, tuple(taken[1:]))


def _draw(costs: list[Cost]) -> Figure:
    figure = pictures.figure(4.6)
    axes = figure.subplots()
    largest = max(one.params for one in costs)
    for place, one in enumerate(sorted(costs, key=lambda one: one.gmacs)):
        axes.scatter(
            one.gmacs, one.mean, s=40 + 900 * one.params / largest, color=PALETTE.blue, alpha=0.35, linewidth=0
        )
        axes.plot(one.gmacs, one.mean, "o", color=PALETTE.blue, markersize=4)
        side = -1 if place % 2 == 0 else 1  # neighbours have their names on different sides
        axes.annotate(
            f"{one.name}\n{one.params / 1e6:.1f} M, {one.mean:.0f} ms",
            (one.gmacs, one.mean),
            (9 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            size=pictures.TEXT,
            color=PALETTE.ink,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.4, y=0.16)
    axes.set_xlabel("billions of multiply-accumulates for a photo")
    axes.set_ylabel("milliseconds for a photo")
    pictures.dress(axes, "Work and time; the larger a dot, the more parameters", grid="both")
    return figure


COST = Chapter(
    name="cost",
    title="What it costs to run",
    question="VGG16 computes many times as much as a small network of today. How much longer does it take for a photo?",
    choices=("even longer than that", "about as much longer", "longer, but by far less than that"),
    explanation=(
        "Parameters take memory, multiply-accumulates take time, and neither says all. AlexNet and VGG16 have most of "
        "their parameters in the classifier; VGG16 computes twenty times as much as AlexNet. GoogLeNet, ResNet and the "
        "networks for phones have a higher accuracy on ImageNet with less work than VGG16.",
        "Time does not follow the multiply-accumulates alone: large convolutions keep a processor busy, while many small "
        "layers wait for the memory. What counts is the time on the machine that will run it, so measure there.",
    ),
    measure=measure,
)
