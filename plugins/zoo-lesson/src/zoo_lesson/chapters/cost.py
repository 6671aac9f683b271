"""The costs of running a network: parameters, multiply-accumulates, and the time that a photo takes here."""

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
        alt="The parameters, the multiply-accumulates and the milliseconds of each network as bars.",
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
    figure = pictures.figure(3.8)
    ordered = sorted(costs, key=lambda one: -one.gmacs)
    panels = (
        ("Parameters,\nmillions", [one.params / 1e6 for one in ordered], pictures.FROZEN),
        ("Work, billions\nof multiply-\naccumulates", [one.gmacs for one in ordered], PALETTE.blue),
        ("Time of a photo\nhere, milliseconds", [one.mean for one in ordered], PALETTE.orange),
    )
    for number, (axes, (title, values, colour)) in enumerate(zip(figure.subplots(1, 3), panels, strict=True)):
        axes.barh(range(len(values)), values, color=colour, height=0.62)
        for row, value in enumerate(values):
            pictures.write(axes, value + 0.03 * max(values), row, f"{value:.3g}" if value < 100 else f"{value:.0f}")
        axes.set_yticks(range(len(values)), [one.name for one in ordered] if number == 0 else [""] * len(values))
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.set_xlim(0, 1.35 * max(values))
        axes.set_xticks([])
        pictures.dress(axes, title)
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
