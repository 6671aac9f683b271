"""The picture of numbers: predicted against true ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.drawing import ROUND, Figure, MaxNLocator, axis_names, save_figure
from zoo_core.wording import number_text

if TYPE_CHECKING:
    from zoo_core.tasks.regression import NumberEvaluation

MAX_PANELS = 9


def draw_scatter(target: Path, evaluation: NumberEvaluation, names: Sequence[str]) -> None:
    """A panel for each of the first nine columns; on the dotted diagonal both numbers agree."""
    panels = min(len(names), MAX_PANELS)
    across = min(panels, 3)
    down = -(-panels // across)
    figure = Figure(figsize=(3.6 * across, 3.4 * down), layout="constrained")
    for place, name in enumerate(axis_names(names[:panels])):
        axes = figure.add_subplot(down, across, place + 1)
        true_N, predicted_N = evaluation.true[:, place], evaluation.predicted[:, place]
        ends = [min(true_N.min(), predicted_N.min()), max(true_N.max(), predicted_N.max())]
        axes.plot(ends, ends, color="grey", linestyle=":")
        axes.scatter(true_N, predicted_N, s=9, alpha=0.6)
        axes.set(xlabel="true", ylabel="predicted", title=f"{name}: R2 {evaluation.r2[place]:.3f}")
        for axis, steps in ((axes.xaxis, 3), (axes.yaxis, 5)):  # side by side there is room for few long numbers
            axis.set_major_locator(MaxNLocator(steps, steps=ROUND))
            axis.set_major_formatter(lambda number, _: number_text(number))
        axes.tick_params(labelsize=8)
    save_figure(figure, target)
