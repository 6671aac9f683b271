"""Tells the followers of a training of its steps and epochs: the run directory, the callback and
the trackers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zoo_core.runs.directory import RunWriter
from zoo_core.runs.epochs import EpochReport
from zoo_core.training.callback import Callback
from zoo_core.training.stopping import StopRequest
from zoo_core.training.tracking import Trackers


@dataclass
class Recording:
    """Writes each epoch to the run, if this is the first rank, before the callback and the trackers
    hear of it.

    An error of the callback is a request to stop, so that all that was done is saved before it is
    raised. One at the first step is raised at once: nothing was done yet.
    """

    callback: Callback
    writer: RunWriter | None
    trackers: Trackers
    stop_request: StopRequest
    has_stepped: bool = False

    def on_caching(self, done: int, total: int) -> None:
        self.callback.on_caching(done, total)

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        with self._stopping():
            self.callback.on_step(epoch, step, steps)
        self.has_stepped = True
        self.trackers.look()

    def on_loss(self, loss: float, lr: float, images_per_second: float) -> None:
        with self._stopping():
            self.callback.on_loss(loss, lr, images_per_second)

    def on_epoch(self, report: EpochReport) -> None:
        if self.writer is not None:
            self.writer.add_metrics(report.to_dict())
        with self._stopping():
            self.callback.on_epoch(report)
        self.trackers.epoch(report)

    def message(self, text: str) -> None:
        self.callback.message(text)

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """Make an error of the callback a stop request; the first is the one that is raised."""
        try:
            yield
        except Exception as error:
            if not self.has_stepped:
                raise
            self.stop_request.error = self.stop_request.error or error
            self.stop_request.signal = self.stop_request.signal or signal.SIGINT
