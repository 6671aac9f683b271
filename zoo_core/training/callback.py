"""What a training tells, and to whom."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class EpochReport:
    """One line of a run's metrics. Losses are means over images, `lr` the head's rate at the epoch's first step."""

    epoch: int
    phase: int
    lr: float
    train_loss: float
    val_loss: float
    val_score: float
    metric: str
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        """The higher, the better: the metric's score first, then the loss."""
        return self.val_score, -self.val_loss

    def to_dict(self) -> dict[str, Any]:
        return {"event": "epoch", **asdict(self)}


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
