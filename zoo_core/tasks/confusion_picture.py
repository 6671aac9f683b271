"""The picture of a classifier's confusions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.drawing import ABOVE, CHARACTER, MAX_LABELLED, Figure, axis_names, save_figure
from zoo_core.tasks.class_evaluation import MAX_MATRIX, ClassEvaluation
from zoo_core.wording import columns

MAX_COUNTED = 20  # classes whose counts fit into the cells
MOST_PAIRS = 20  # of classes, named beside a matrix without names
PAIRS = 6.0  # inches for them


def draw_confusion(target: Path, evaluation: ClassEvaluation, names: Sequence[str]) -> None:
    """The confusion matrix, a row a true class: white is none of its images, dark blue all.

    Where there are many classes, a row is a block of neighbouring ones, and the most confused pairs
    stand beside it with their names.
    """
    side = min(14.0, max(4.5, 0.5 * len(names) + 2))  # inches
    if len(names) <= MAX_LABELLED:
        figure = Figure(figsize=(side, side))
        axes = figure.subplots()
        labels = axis_names(names)
        room = _draw_matrix(axes, evaluation, names, labels) / side
        figure.subplots_adjust(left=room, right=0.97, bottom=room, top=0.93)
        axes.set_xticks(range(len(names)), labels, rotation=90)
        axes.set_yticks(range(len(names)), labels)
    else:
        side = 9.0
        figure = Figure(figsize=(side + PAIRS, side))
        axes, beside = figure.subplots(1, 2, width_ratios=(side, PAIRS))
        room = _draw_matrix(axes, evaluation, names, ["0000", str(len(names))]) / side
        figure.subplots_adjust(left=0.6 * room, right=0.98, bottom=room, top=0.93, wspace=0.05)
        _draw_pairs(beside, evaluation, names)
    save_figure(figure, target)


def _draw_matrix(axes: Any, evaluation: ClassEvaluation, names: Sequence[str], labels: Sequence[str]) -> float:
    """Draw the matrix; return the inches that its labels take."""
    confusion = evaluation.blocks(MAX_MATRIX)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    last = len(names) - 0.5
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, extent=(-0.5, last, last, -0.5))
    axes.set(xlabel="answer", ylabel="true class")
    axes.set_title(f"Accuracy {100 * evaluation.accuracy:.1f} %", **ABOVE)
    if len(names) <= MAX_COUNTED:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    return 0.6 + CHARACTER * max(map(columns, labels))


def _draw_pairs(axes: Any, evaluation: ClassEvaluation, names: Sequence[str]) -> None:
    """The pairs of classes that are confused most often, a line each."""
    axes.set(xlim=(0, 1), ylim=(MOST_PAIRS, -1))
    axes.set_axis_off()
    axes.set_title("Most confused: class, answer, images", fontsize=10, loc="left", **ABOVE)
    for place, (true, answer, count, of) in enumerate(evaluation.confused_pairs(MOST_PAIRS)):
        one, other = axis_names([names[true], names[answer]])
        axes.text(0.0, place, f"{one} \N{RIGHTWARDS ARROW} {other}", va="center", fontsize=9)
        axes.text(1.0, place, f"{count} of {of}", va="center", ha="right", fontsize=9)
