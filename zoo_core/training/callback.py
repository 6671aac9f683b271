"""Whoever follows a training is told of its steps, its epochs and of whatever a person should know."""

from __future__ import annotations

from typing import Protocol

from zoo_core.runs.epochs import EpochReport


class Callback(Protocol):
    """Who wants to see how the work goes on."""

    def on_caching(self, done: int, total: int) -> None:
        """So many images of those that were missing went through the frozen front."""

    def on_step(self, epoch: int, on_step: int, steps: int) -> None:
        """A training step was done."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch was done."""

    def message(self, text: str) -> None:
        """Something happened that a person should know."""


class NullCallback:
    """A watcher that looks away."""

    def on_caching(self, done: int, total: int) -> None:
        pass

    def on_step(self, epoch: int, on_step: int, steps: int) -> None:
        pass

    def on_epoch(self, report: EpochReport) -> None:
        pass

    def message(self, text: str) -> None:
        pass
