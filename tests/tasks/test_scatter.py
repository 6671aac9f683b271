"""The picture of numbers: the numbers at its axes are whole, and none runs into another."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from zoo_core.drawing import Figure
from zoo_core.tasks import scatter_picture, task_named


@pytest.mark.parametrize("ends", [(34_000.0, 509_000.0), (1_700_000_053.0, 1_700_259_584.0), (0.0, 1.0), (-3e-7, 2e-7)])
def test_numbers_at_the_axes_of_a_scatter_plot_stand_apart(
    ends: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: '100000200000300000', and '+1.7e9' across the title."""
    true = torch.linspace(*ends, 20, dtype=torch.float64)[:, None].repeat(1, 3)
    task, figures = task_named("regression"), []
    save = scatter_picture.save_figure
    monkeypatch.setattr(
        scatter_picture, "save_figure", lambda figure, path: (figures.append(figure), save(figure, path))
    )
    task.draw(tmp_path / "scatter.png", task.evaluate(true.flip(0), true, 0.0), ["price", "time", "x"])
    figure: Figure = figures[0]
    for axes in figure.axes:
        labels = [one for one in axes.get_xticklabels() if one.get_text()]
        inside = [one for one in labels if ends[0] <= float(one.get_text().replace("\u2212", "-")) <= ends[1]]
        boxes = [one.get_window_extent() for one in inside]
        assert len(inside) >= 2
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
        assert not axes.xaxis.get_offset_text().get_text()
        assert len({one.get_text() for one in inside}) == len(inside)
