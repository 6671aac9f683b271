"""The callback of a training: it hears of cached images, steps, epochs, and of whatever a person
should know."""

from __future__ import annotations

from typing import Protocol

from zoo_core.runs.epochs import EpochReport


class Callback(Protocol):
    """Follows a training; a progress bar is one."""

    def on_caching(self, done: int, total: int) -> None:
        """The frozen prefix has computed `done` of the `total` images whose features were not
        cached."""

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Step `step` of `steps` in epoch `epoch` is done; all count from 1."""

    def on_loss(self, loss: float, lr: float, images_per_second: float) -> None:
        """The losses were read, on a CPU after each step and on a GPU seldom: their mean over this
        epoch's images so far, the head's learning rate, and the speed."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch is done and evaluated."""

    def message(self, text: str) -> None:
        """A person should know this."""


class NullCallback:
    """Does nothing. A subclass overrides the methods that it needs."""

    def on_caching(self, done: int, total: int) -> None:
        pass

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        pass

    def on_loss(self, loss: float, lr: float, images_per_second: float) -> None:
        pass

    def on_epoch(self, report: EpochReport) -> None:
        pass

    def message(self, text: str) -> None:
        pass
