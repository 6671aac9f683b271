"""The curves of a run: all that is drawn lies inside of the picture."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from zoo_core.drawing import Figure
from zoo_core.runs import plots
from zoo_core.tasks import task_named


@pytest.mark.parametrize("scale", [2e-5, 1e-3, 0.03, 0.2, 1.0, 40.0, 700.0, 3e3, 8e6])
def test_no_number_leaves_the_picture(scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: of small losses the first digits, and the name of the axis, were cut off."""
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, target: drawn.append(figure))
    epochs = [
        SimpleNamespace(epoch=1 + n, train_loss=1.2 * scale / (1 + n), loss=scale / (1 + n), val_loss=0.0, score=0.5)
        for n in range(5)
    ]
    plots.plot_curves(tmp_path / "curves.png", cast(Any, epochs), 3, task_named("classification").metric)
    canvas: Any = FigureCanvasAgg(drawn[0])
    canvas.draw()
    for axes in drawn[0].axes:
        for text in (*axes.get_yticklabels(), axes.yaxis.label, axes.xaxis.label, axes.title):
            place = text.get_window_extent(canvas.get_renderer())
            assert place.x0 >= 0, text.get_text()
            assert place.y0 >= 0, text.get_text()
