"""Progress in a notebook: one output that is drawn anew, a bar and the last epochs."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from zoo_core.html_tables import html_table, shown
from zoo_core.runs.epochs import EpochReport
from zoo_core.training.callback import Callback, NullCallback
from zoo_core.wording import duration, figure_text

PAUSE = 0.25  # seconds between two drawings: each is a message to the browser
LAST = 10  # epochs that are shown


def in_notebook() -> bool:
    """Whether this program is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def default_callback() -> Callback:
    """Progress in a notebook, and silence elsewhere."""
    if not in_notebook():
        return NullCallback()
    shows: Any = importlib.import_module("IPython.display")
    handle = shows.display(shows.HTML("<p>preparing</p>"), display_id=True)
    return NotebookCallback(lambda text: handle.update(shows.HTML(text)))


class NotebookCallback(NullCallback):
    """Draws a training's progress by a function that takes HTML."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.epochs: list[EpochReport] = []
        self.notes: list[str] = []
        self.measured = ""
        self.drawn = 0.0

    def on_caching(self, done: int, total: int) -> None:
        self._show("caching features", done, total, at_once=done == total)

    def on_loss(self, loss: float, lr: float, images_per_second: float) -> None:
        self.measured = f", loss {loss:.3g}, learning rate {lr:.2g}, {images_per_second:,.0f} images a second"

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        self._show(f"epoch {epoch}{self.measured}", step, steps, at_once=False)

    def on_epoch(self, report: EpochReport) -> None:
        self.epochs.append(report)
        self._show(f"epoch {report.epoch} is done", 1, 1, at_once=True)

    def message(self, text: str) -> None:
        self.notes.append(text)
        self._show(text, 0, 0, at_once=True)

    def _show(self, title: str, done: int, total: int, *, at_once: bool) -> None:
        if not at_once and time.perf_counter() - self.drawn < PAUSE:
            return
        bar = f'<progress value="{done}" max="{total}"></progress> ' if total else ""
        self.draw(f"<p>{bar}{shown(title)}</p>{epochs_html(self.epochs[-LAST:], self.notes)}")
        self.drawn = time.perf_counter()


def epochs_html(epochs: list[EpochReport], notes: list[str]) -> str:
    """The epochs as a table; a star marks the best one so far."""
    columns = ("epoch", "train loss", "val loss", "val score", "time", "")
    rows = [
        (
            str(one.epoch),
            f"{one.train_loss:.4f}",
            "-" if one.val_loss is None else f"{one.val_loss:.4f}",
            figure_text(one.val_score),
            duration(one.seconds),
            "* best so far" if one.is_best else "",
        )
        for one in epochs
    ]
    return html_table("Epochs" if rows else "", columns, rows, notes)
