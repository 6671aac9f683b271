"""Plain against residual networks (ResNet), trained from scratch on the reader's photos."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from zoo_core import PALETTE, Figure
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.lesson import Lesson

SHALLOW, DEEP = 8, 44  # layers
EPOCHS = 8
CLEARLY = 0.02  # of the training loss: a smaller difference is none


def network(depth: int, *, shortcut: bool) -> str:
    """The name of a network, as the option --backbone has it."""
    return f"cifar_resnet:{depth}" + ("" if shortcut else ",shortcut=false")


PLAIN = (network(SHALLOW, shortcut=False), network(DEEP, shortcut=False))
RESIDUAL_ONES = (network(SHALLOW, shortcut=True), network(DEEP, shortcut=True))


def measure(lesson: Lesson) -> Finding:
    folder = lesson.run("depth")
    trained = ("--weights", "none", "--strategy", "full", "--epochs", EPOCHS, "--patience", EPOCHS)  # none ends early
    told = (*trained, "--data", lesson.photos.folder, "--out", folder)
    lesson.zoo("compare", "--backbone", ",".join((*PLAIN, *RESIDUAL_ONES)), *told)
    pair = lesson.zoo("compare", "--backbone", f"{PLAIN[1]},{RESIDUAL_ONES[1]}", *told)
    curves = _curves(lesson, folder)
    score = {_name(row["backbone"]): (row["score"], row["interval"]) for row in pair["results"]}
    images = pair["results"][0]["images"]
    difference, interval = _advantage(pair["difference"])
    last = {name: curve[-1] for name, curve in curves.items()}
    sentence = (
        f"After {EPOCHS} epochs the plain network of {DEEP} layers has a training loss of {last[PLAIN[1]]:.2f} (that of "
        f"{SHALLOW} layers {last[PLAIN[0]]:.2f}), the residual one of {DEEP} layers {last[RESIDUAL_ONES[1]]:.2f}; of {images} "
        f"test photos the plain one answers {intervals.percent(*score[PLAIN[1]])} rightly, the residual one "
        f"{intervals.percent(*score[RESIDUAL_ONES[1]])}: a difference of {intervals.points(difference, interval)}."
    )
    gain = last[PLAIN[0]] - last[PLAIN[1]]
    return Finding(
        sentence=sentence,
        choice=2 if abs(gain) < CLEARLY * last[PLAIN[0]] else 0 if gain > 0 else 1,
        figure=_draw(curves, score, images),
        alt="Training loss by epoch: two plain networks on the left, two residual ones on the right.",
        numbers={"train_loss": last, "scores": score, "difference": difference, "interval": interval, "images": images},
    )


def _name(backbone: str) -> str:
    """The name of a network as it was given, however zoo orders its options."""
    depth = DEEP if str(DEEP) in backbone else SHALLOW
    return network(depth, shortcut="shortcut=false" not in backbone)


def _advantage(difference: dict[str, Any] | None) -> tuple[float, tuple[float, float]]:
    """The accuracy of the residual network less that of the plain one, with its interval."""
    assert difference is not None  # two candidates answered the same photos
    low, high = difference["interval"]
    if _name(difference["first"]["backbone"]) == RESIDUAL_ONES[1]:
        return difference["difference"], (low, high)
    return -difference["difference"], (-high, -low)


def _curves(lesson: Lesson, folder: Path) -> dict[str, list[float]]:
    """The training loss of each network by epoch, from the records of the runs."""
    runs = lesson.zoo("runs", folder)["runs"]
    curves: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for line in (Path(run["directory"]) / "metrics.jsonl").read_text("utf-8").splitlines():
            record = json.loads(line)
            if record["event"] == "epoch":
                curves[_name(run["backbone"])].append(record["train_loss"])
    return dict(curves)


def _draw(curves: dict[str, list[float]], score: dict[str, Any], images: int) -> Figure:
    figure = pictures.figure(4.7)
    grid = figure.add_gridspec(2, 2, height_ratios=(2.4, 1))
    values = [value for curve in curves.values() for value in curve]
    for place, (title, pair) in enumerate((("plain", PLAIN), ("residual", RESIDUAL_ONES))):
        axes: Any = figure.add_subplot(grid[0, place])
        for name, depth, colour, line in zip(
            pair, (SHALLOW, DEEP), (PALETTE.blue, PALETTE.vermilion), ("--", "-"), strict=True
        ):
            epochs = range(1, len(curves[name]) + 1)
            axes.plot(epochs, curves[name], line, color=colour, linewidth=2.2, label=f"{depth} layers")
        axes.set_ylim(0.95 * min(values), 1.03 * max(values))
        axes.set_xlabel("epoch")
        pictures.dress(axes, f"Training loss, {title}", grid="y")
        pictures.legend(axes, loc="upper right")
    lower: Any = figure.add_subplot(grid[1, :])
    rows = [score[PLAIN[1]], score[RESIDUAL_ONES[1]]]
    names = [f"plain, {DEEP} layers", f"residual, {DEEP} layers"]
    pictures.whiskers(lower, names, [row[0] for row in rows], [row[1] for row in rows], [PALETTE.vermilion] * 2)
    pictures.dress(lower, f"Of {images} test photos answered rightly, %", grid="x")
    return figure


RESIDUAL = Chapter(
    name="residual",
    title="Plain against residual networks",
    question=f"Two plain networks have {SHALLOW} and {DEEP} layers. Which has the lower training loss after {EPOCHS} epochs?",
    choices=("the deep one: it can do all that the other can, and more", "the shallow one", "they are alike"),
    explanation=(
        "A deeper network contains the shallower one: its further layers need only pass on what they get. Yet plain "
        "networks beyond some twenty layers had a higher loss on the very images that they were trained on (He et al. "
        "2015). It is not overfitting; the gradients find no way to a good solution.",
        "A residual block adds its input to what its layers compute. Layers that have nothing to add need only learn "
        "zero, and gradients reach the first layers by the shortcuts. The shortcuts here have no parameters: both "
        "networks have the same number.",
    ),
    measure=measure,
)
