"""The pictures of a run: how it learnt, and how its answers compare with the truth."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo_core.errors import printable
from zoo_core.freezing.plan import Plan
from zoo_core.paths import written_whole
from zoo_core.runs.directory import PICTURES
from zoo_core.runs.epochs import EpochReport
from zoo_core.tasks.metrics import ClassEvaluation, Evaluation, LabelEvaluation, NumberEvaluation

MAX_LABELLED = 40  # names that fit along an axis
MAX_PANELS = 9
ABOVE: dict[str, Any] = {"y": 1.0}  # where a title stands; to find that out costs a fifth of the drawing
CHARACTER = 0.085  # inches, about what one takes beside an axis
SCORES = {
    "accuracy": ("accuracy", "%", 100),
    "mean_average_precision": ("mean average precision", "%", 100),
    "r2": ("R2", "R2", 1),
}
"""How the score of each metric is named, its unit and the factor that gives it."""


def plot_curves(target: Path, epochs: Sequence[EpochReport], best: int) -> None:
    """Draw losses and score by epoch to a PNG file; a line marks the best epoch."""
    numbers = [report.epoch for report in epochs]
    figure = Figure(figsize=(9, 3.6))  # with fixed margins: to find out how much room the labels need costs 0.1 s
    losses, scores = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.91, wspace=0.16)
    losses.plot(numbers, [report.train_loss for report in epochs], marker="o", label="training")
    losses.plot(numbers, [report.val_loss for report in epochs], marker="o", label="validation")
    losses.set(xlabel="epoch", ylabel="loss")
    losses.set_title("Loss", **ABOVE)
    losses.legend(loc="upper right")
    name, unit, factor = SCORES[epochs[0].metric]
    scores.plot(numbers, [factor * report.val_score for report in epochs], marker="o", color="tab:green")
    scores.axvline(best, color="grey", linestyle=":", label=f"best epoch: {best}")
    scores.set(xlabel="epoch", ylabel=unit)
    scores.set_title(f"Validation {name}", **ABOVE)
    scores.legend(loc="lower right")
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
    _save(figure, target)


def plot_answers(directory: Path, evaluation: Evaluation, names: Sequence[str]) -> None:
    """Draw what the answers are like to a PNG file, as the task shows it."""
    match evaluation:
        case ClassEvaluation():
            _plot_confusion(directory / PICTURES["classification"], evaluation, names)
        case LabelEvaluation():
            _plot_precisions(directory / PICTURES["multilabel"], evaluation, names)
        case NumberEvaluation():
            _plot_scatter(directory / PICTURES["regression"], evaluation, names)


def _plot_confusion(target: Path, evaluation: ClassEvaluation, classes: Sequence[str]) -> None:
    """The share of each class's images that was called each class: white is none, the darkest blue all."""
    totals = evaluation.confusion.sum(axis=1, keepdims=True)
    shares = evaluation.confusion / np.maximum(totals, 1)
    side = min(14.0, max(4.5, 0.5 * len(classes) + 2))
    figure = Figure(figsize=(side, side))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = _short(classes) if len(classes) <= MAX_LABELLED else ["0000"]
    room = (0.6 + CHARACTER * max(map(len, names))) / side
    figure.subplots_adjust(left=room, right=0.97, bottom=room, top=0.93)
    axes.set(xlabel="answer", ylabel="true class")
    axes.set_title(f"Accuracy {100 * evaluation.accuracy:.1f} %", **ABOVE)
    if len(classes) <= MAX_LABELLED:
        axes.set_xticks(range(len(classes)), names, rotation=90)
        axes.set_yticks(range(len(classes)), names)
    if len(classes) <= 20:
        for (part, column), count in np.ndenumerate(evaluation.confusion):
            if count:
                colour = "white" if shares[part, column] > 0.5 else "black"
                axes.text(column, part, str(count), ha="center", va="center", color=colour, fontsize=8)
    _save(figure, target)


def _plot_precisions(target: Path, evaluation: LabelEvaluation, labels: Sequence[str]) -> None:
    """A bar for each label's average precision, the best at the top."""
    precisions = np.nan_to_num(evaluation.precisions)
    order = np.argsort(precisions, kind="stable")
    figure = Figure(figsize=(6, min(14.0, max(2.5, 0.3 * len(labels) + 1.5))), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(labels)), precisions[order], color="tab:blue")
    axes.set(xlim=(0, 1), xlabel="average precision", title=f"Mean average precision {100 * evaluation.score:.1f} %")
    axes.set_yticks([])
    if len(labels) <= MAX_LABELLED:
        axes.set_yticks(range(len(labels)), _short([labels[index] for index in order]))
    _save(figure, target)


def _plot_scatter(target: Path, evaluation: NumberEvaluation, names: Sequence[str]) -> None:
    """Predicted against true numbers, a panel a column, the first nine; on the line they agree."""
    shown = min(len(names), MAX_PANELS)
    across = min(shown, 3)
    down = -(-shown // across)
    figure = Figure(figsize=(3.6 * across, 3.4 * down), layout="constrained")
    for place, name in enumerate(_short(names[:shown])):
        axes = figure.add_subplot(down, across, place + 1)
        true_N, predicted_N = evaluation.true[:, place], evaluation.predicted[:, place]
        ends = [min(true_N.min(), predicted_N.min()), max(true_N.max(), predicted_N.max())]
        axes.plot(ends, ends, color="grey", linestyle=":")
        axes.scatter(true_N, predicted_N, s=9, alpha=0.6)
        axes.set(xlabel="true", ylabel="predicted", title=f"{name}: R2 {evaluation.r2[place]:.3f}")
    _save(figure, target)


def _short(names: Sequence[str]) -> list[str]:
    return [printable(name)[:24].replace("$", r"\$") for name in names]  # a dollar sign would start a formula


def _save(figure: Figure, target: Path) -> None:
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    with written_whole(target) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it draws a box in its place
        canvas.print_png(temporary)  # type: ignore[no-untyped-call]  # `savefig` would draw twice: the first time for nothing


def plot_plan(target: Path, plan: Plan, title: str) -> None:
    """Draw a freeze plan to a PNG file: stages by epochs, the darker the higher the share of the learning rate."""
    shares = np.repeat(
        [[rule.lr for rule in phase.rules] for phase in plan.phases], [p.epochs for p in plan.phases], axis=0
    )
    figure = Figure(
        figsize=(max(5.0, 0.35 * plan.epochs + 3), max(2.5, 0.35 * len(plan.parts) + 1.5)), layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(shares.T, cmap="Greens", vmin=0, vmax=max(1.0, shares.max()), aspect="auto")
    figure.colorbar(image, ax=axes, label="share of the learning rate (0: frozen)")
    axes.set(xlabel="epoch", title=title)
    axes.set_xticks(range(plan.epochs), [str(epoch) for epoch in range(1, plan.epochs + 1)])
    axes.set_yticks(range(len(plan.parts)), plan.parts)
    axes.set_xticks(np.arange(-0.5, plan.epochs), minor=True)
    axes.set_yticks(np.arange(-0.5, len(plan.parts)), minor=True)
    axes.grid(which="minor", color="white")
    axes.tick_params(which="minor", length=0)
    _save(figure, target)
