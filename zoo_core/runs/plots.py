"""The pictures of a run: how it learnt, and what it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo_core.errors import printable
from zoo_core.freezing.plan import Plan
from zoo_core.paths import written_whole
from zoo_core.training.metrics import Evaluation
from zoo_core.training.watcher import EpochReport

MAX_LABELLED_CLASSES = 40


def plot_curves(target: Path, epochs: Sequence[EpochReport], best: int) -> None:
    """Draw losses and accuracy by epoch to a PNG file; a line marks the best epoch."""
    numbers = [report.epoch for report in epochs]
    figure = Figure(figsize=(9, 3.6))  # with fixed margins: to find out how much room the labels need costs 0.1 s
    losses, accuracy = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.91, wspace=0.16)
    losses.plot(numbers, [report.train_loss for report in epochs], marker="o", label="training")
    losses.plot(numbers, [report.val_loss for report in epochs], marker="o", label="validation")
    losses.set(xlabel="epoch", ylabel="cross-entropy", title="Loss")
    losses.legend()
    accuracy.plot(numbers, [100 * report.val_accuracy for report in epochs], marker="o", color="tab:green")
    accuracy.axvline(best, color="grey", linestyle=":", label=f"best epoch: {best}")
    accuracy.set(xlabel="epoch", ylabel="%", title="Validation accuracy")
    accuracy.legend()
    for axes in (losses, accuracy):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _save(figure, target)


def plot_confusion(target: Path, evaluation: Evaluation, classes: Sequence[str]) -> None:
    """Draw the share of each class's images that was called each class to a PNG file."""
    totals = evaluation.confusion.sum(axis=1, keepdims=True)
    shares = evaluation.confusion / np.maximum(totals, 1)
    side = min(14.0, max(4.5, 0.5 * len(classes) + 2))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class's images")
    axes.set(xlabel="answer", ylabel="true class", title=f"Accuracy {100 * evaluation.accuracy:.1f} %")
    if len(classes) <= MAX_LABELLED_CLASSES:
        # a dollar sign would start a formula
        names = [printable(name)[:24].replace("$", r"\$") for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90)
        axes.set_yticks(range(len(classes)), names)
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(evaluation.confusion):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    _save(figure, target)


def _save(figure: Figure, target: Path) -> None:
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    with written_whole(target) as temporary:
        canvas.print_png(temporary)  # type: ignore[no-untyped-call]  # `savefig` would draw twice: the first time for nothing


def plot_plan(target: Path, plan: Plan, title: str) -> None:
    """Draw a freeze plan to a PNG file: stages by epochs, the darker the higher the share of the learning rate."""
    shares = np.repeat(
        [[rule.lr for rule in phase.rules] for phase in plan.phases], [p.epochs for p in plan.phases], axis=0
    )
    figure = Figure(
        figsize=(max(5.0, 0.35 * plan.epochs + 3), max(2.5, 0.35 * len(plan.rows) + 1.5)), layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(shares.T, cmap="Greens", vmin=0, vmax=max(1.0, shares.max()), aspect="auto")
    figure.colorbar(image, ax=axes, label="share of the learning rate (0: frozen)")
    axes.set(xlabel="epoch", title=title)
    axes.set_xticks(range(plan.epochs), [str(epoch) for epoch in range(1, plan.epochs + 1)])
    axes.set_yticks(range(len(plan.rows)), plan.rows)
    axes.set_xticks(np.arange(-0.5, plan.epochs), minor=True)
    axes.set_yticks(np.arange(-0.5, len(plan.rows)), minor=True)
    axes.grid(which="minor", color="white")
    axes.tick_params(which="minor", length=0)
    _save(figure, target)
