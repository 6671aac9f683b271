"""The curves of a run: all that is drawn lies inside of the picture, beside all else."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from zoo_core.drawing import Figure
from zoo_core.runs import plots
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named


def drawn(
    monkeypatch: pytest.MonkeyPatch, scale: float, count: int, best: int, task: TaskName = "classification"
) -> tuple[Figure, Any]:
    """The figure of so many epochs with losses of this size, drawn, and its renderer."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, target: figures.append(figure))
    epochs = [
        SimpleNamespace(epoch=n, train_loss=1.2 * scale / n, loss=scale / n, val_loss=0.0, score=0.99 + 0.0001 * n)
        for n in range(1, count + 1)
    ]
    plots.plot_curves(Path("curves.png"), cast(Any, epochs), best, task_named(task).metric)
    canvas: Any = FigureCanvasAgg(figures[0])
    canvas.draw()
    return figures[0], canvas.get_renderer()


@pytest.mark.parametrize("task", get_args(TaskName))
@pytest.mark.parametrize("scale", [2e-5, 1e-3, 0.03, 0.2, 1.0, 40.0, 700.0, 3e3, 8e6])
def test_no_number_leaves_the_picture_or_meets_its_neighbour(
    scale: float, task: TaskName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: of small losses the first digits, and the name of the axis, were cut off; and the right axis had its name
    in the left one."""
    figure, renderer = drawn(monkeypatch, scale, 5, 3, task)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        numbers = [tick.label1 for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        for text in (*numbers, axes.yaxis.label, axes.xaxis.label, axes.title):
            place = text.get_window_extent(renderer)
            assert place.x0 >= 0, text.get_text()
            assert place.y0 >= 0, text.get_text()
            assert place.x1 <= figure.bbox.x1, text.get_text()
    left, right = (axes.get_tightbbox(renderer) for axes in figure.axes)
    assert left.x1 < right.x0


@pytest.mark.parametrize("count", [1, 2, 5, 30, 100])
def test_epochs_are_whole_and_the_best_is_named(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: a run of one epoch had five of them, from 0.95 to 1.05."""
    figure, renderer = drawn(monkeypatch, 1.0, count, count)
    for axes in figure.axes:
        first, last = axes.get_xlim()
        ticks = [tick for tick in axes.xaxis.get_major_ticks() if first <= tick.get_loc() <= last]
        assert all(tick.get_loc() == int(tick.get_loc()) for tick in ticks)
        assert 1 <= len(ticks) <= 6
        places = [tick.label1.get_window_extent(renderer) for tick in ticks]
        assert not any(one.overlaps(other) for one, other in combinations(places, 2))
    assert figure.axes[1].get_xlabel() == f"epoch (best: {count})"
