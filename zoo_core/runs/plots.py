"""The pictures of a run's course: losses and scores by epoch, and a freeze plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo_core.drawing import ABOVE, ROUND, Figure, MaxNLocator, save_figure
from zoo_core.freezing.plan import Plan
from zoo_core.runs.epochs import EpochReport
from zoo_core.tasks.metrics import Metric


def plot_curves(target: Path, epochs: Sequence[EpochReport], best: int, metric: Metric) -> None:
    """Draw losses and score by epoch to a PNG file, as far as they were measured; a line marks the
    best epoch."""
    numbers = [report.epoch for report in epochs]
    figure = Figure(figsize=(9, 3.6))  # fixed margins: a layout that fits the labels costs 0.1 s
    is_measured = epochs[-1].val_loss is not None
    losses, *others = np.atleast_1d(figure.subplots(1, 1 + is_measured))
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.91, wspace=0.22)
    losses.plot(numbers, [report.train_loss for report in epochs], marker="o", label="training")
    if is_measured:
        losses.plot(numbers, [report.loss for report in epochs], marker="o", label="validation")
    losses.set(xlabel="epoch", ylabel="loss")
    losses.set_title("Loss", **ABOVE)
    losses.legend(loc="upper right")
    for scores in others:
        scores.plot(numbers, [metric.factor * report.score for report in epochs], marker="o", color="tab:green")
        scores.axvline(best, color="grey", linestyle=":")
        scores.set(xlabel=f"epoch (best: {best})", ylabel=metric.unit)
        scores.set_title(f"Validation {metric.title}", **ABOVE)
    for axes in (losses, *others):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=ROUND, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=ROUND))
        axes.ticklabel_format(axis="y", scilimits=(-2, 3))  # longer numbers leave the picture
        axes.xaxis.set_label_coords(0.5, -0.1)  # fixed: finding them takes as long as a legend
    save_figure(figure, target)


def plot_plan(target: Path, plan: Plan, rates: Sequence[Mapping[str, float]], title: str) -> None:
    """Draw a freeze plan to a PNG file: stages by epochs, darker where the rate in a phase is higher."""
    by_phase = np.array([[of_phase[part] for part in plan.parts] for of_phase in rates])
    shares = np.repeat(by_phase / by_phase.max(), [phase.epochs for phase in plan.phases], axis=0)
    figure = Figure(
        figsize=(max(5.0, 0.35 * plan.epochs + 3), max(2.5, 0.35 * len(plan.parts) + 1.5)), layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(shares.T, cmap="Greens", vmin=0, vmax=1, aspect="auto")
    figure.colorbar(image, ax=axes, label="share of the highest learning rate (0: frozen)")
    axes.set(xlabel="epoch", title=title)
    axes.set_xticks(range(plan.epochs), [str(epoch) for epoch in range(1, plan.epochs + 1)])
    axes.set_yticks(range(len(plan.parts)), plan.parts)
    axes.set_xticks(np.arange(-0.5, plan.epochs), minor=True)
    axes.set_yticks(np.arange(-0.5, len(plan.parts)), minor=True)
    axes.grid(which="minor", color="white")
    axes.tick_params(which="minor", length=0)
    save_figure(figure, target)
