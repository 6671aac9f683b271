"""The savings of 1x1 convolutions (GoogLeNet): the network with them, and without.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from zoo_core import PALETTE, Chain, Figure, Transform, UsageError, create_model
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.lesson import Lesson

NETWORK = "googlenet"
PHOTOS = 10
ALIKE, TWICE = 1.3, 2.5  # times as many multiply-accumulates: the bounds of the choices


def measure(lesson: Lesson) -> Finding:
    lesson.zoo("info", NETWORK)
    networks = [_network(lesson), _without(_network(lesson))]
    paths = lesson.few(PHOTOS)
    sums = [_multiplications(base, _photo(transform, paths[0])) for base, transform in networks]
    seconds: tuple[list[float], list[float]] = ([], [])
    for path in (paths[0], *paths):  # the first one costs extra
        for own, (base, transform) in zip(seconds, networks, strict=True):
            own.append(_seconds(base, _photo(transform, path)))
    first, second = seconds[0][1:], seconds[1][1:]
    more = sum(sums[1].values()) / sum(sums[0].values())
    slower, interval = sum(second) / sum(first), intervals.of_ratio(second, first)
    sentence = (
        f"Without its 1 × 1 reductions {NETWORK} computes {more:.1f} times as much "
        f"({sum(sums[1].values()) / 1e9:.2f} in place of {sum(sums[0].values()) / 1e9:.2f} billion multiply-accumulates), "
        f"and {len(paths)} photos took {intervals.times(slower, interval)} as long on this machine."
    )
    return Finding(
        sentence=sentence,
        choice=0 if more < ALIKE else 1 if more < TWICE else 2,
        figure=_draw(sums[0], sums[1], first, second),
        alt="The multiply-accumulates of each inception module with the reductions and without, and the times.",
        numbers={"more": more, "slower": slower, "interval": interval, "photos": len(paths)},
    )


def _network(lesson: Lesson) -> tuple[Chain, Transform]:
    """The conv base and its preprocessing; with random weights, for the work is the same with any."""
    model = create_model(NETWORK, num_classes=2, weights="none", catalog=lesson.catalog).eval()
    return model.backbone, Transform(model.design.preprocessing)


def _without(network: tuple[Chain, Transform]) -> tuple[Chain, Transform]:
    """The same network whose larger convolutions take all channels, without a 1 x 1 before them."""
    base, transform = network
    pairs = [one for one in base.modules() if isinstance(one, nn.Sequential) and len(one) == 2]
    found = [pair for pair in pairs if _kernel(pair[0]) == (1, 1) and _kernel(pair[1]) not in (None, (1, 1))]
    for pair in found:
        name, larger = next((name, one) for name, one in pair[1].named_modules() if isinstance(one, nn.Conv2d))
        channels = next(one for one in pair[0].modules() if isinstance(one, nn.Conv2d)).in_channels
        side, around = larger.kernel_size[0], larger.kernel_size[0] // 2
        pair[0] = nn.Identity()
        pair[1].set_submodule(name, nn.Conv2d(channels, larger.out_channels, side, padding=around, bias=False))
    if not found:
        raise UsageError(f"{NETWORK} as it is installed has no 1x1 convolution before a larger one.")
    return base, transform


def _kernel(part: nn.Module) -> tuple[int, ...] | None:
    """The size of a part's first convolution."""
    return next((one.kernel_size for one in part.modules() if isinstance(one, nn.Conv2d)), None)


def _photo(transform: Transform, path: Path) -> Tensor:
    with Image.open(path) as image:
        return transform(image)[None]


def _seconds(base: Chain, photo_1CHW: Tensor) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        base(photo_1CHW)
    return time.perf_counter() - started


def _multiplications(base: Chain, photo_1CHW: Tensor) -> dict[str, int]:
    """The multiply-accumulates of the convolutions of each stage."""
    counted: dict[str, int] = {}

    def count(stage: str, layer: nn.Conv2d, output: Tensor) -> None:
        counted[stage] = counted.get(stage, 0) + output.numel() * layer.weight[0].numel()

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, stage=stage: count(stage, layer, output))
        for stage, part in base.named_children()
        for layer in part.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    _seconds(base, photo_1CHW)
    for hook in hooks:
        hook.remove()
    return counted


def _draw(narrow: dict[str, int], wide: dict[str, int], first: list[float], second: list[float]) -> Figure:
    figure = pictures.figure(5.0)
    upper, lower = figure.subplots(2, height_ratios=(3.4, 1))
    modules = [stage for stage in narrow if wide[stage] != narrow[stage]]
    for row, stage in enumerate(modules):
        upper.barh(row - 0.2, wide[stage] / 1e6, 0.38, color=PALETTE.orange)
        upper.barh(row + 0.2, narrow[stage] / 1e6, 0.38, color=PALETTE.blue)
    upper.barh(0, 0, color=PALETTE.orange, label="without 1 × 1")
    upper.barh(0, 0, color=PALETTE.blue, label="with 1 × 1, as published")
    upper.set_yticks(range(len(modules)), modules)
    upper.set_ylim(len(modules) - 0.4, -0.6)
    pictures.dress(upper, "Millions of multiply-accumulates for one photo", grid="x")
    pictures.legend(upper, loc="lower right")
    means = [1000 * sum(own) / len(own) for own in (second, first)]
    ends = [tuple(1000 * end for end in intervals.of_mean(own)) for own in (second, first)]
    names, colours = ["without", "with"], [PALETTE.orange, PALETTE.blue]
    pictures.whiskers(lower, names, means, ends, colours, unit=" ms", factor=1)
    lower.set_xlim(0, 1.15 * max(end[1] for end in ends))
    pictures.dress(lower, "Milliseconds for a photo on this machine", grid="x")
    return figure


ONE_BY_ONE = Chapter(
    name="one-by-one",
    title="What 1 × 1 convolutions save",
    question="GoogLeNet sends features through 1 × 1 convolutions before each larger one. How much would it compute without?",
    choices=("about as much", "about twice as much", "two and a half times as much, or more"),
    explanation=(
        "A 1 × 1 convolution sees a single cell and mixes its channels. In GoogLeNet (2014) several filter sizes stand "
        "side by side, and a 1 × 1 convolution before each larger one takes the many channels down to a few: the large "
        "filters then have a fraction of the work.",
        "Time falls less than the multiplications do: the small convolutions cost their own time, and what is moved "
        "through the memory stays. The weights here are random, for the work is the same with any.",
    ),
    measure=measure,
)
