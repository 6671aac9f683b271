"""One epoch of a training, as a line of a run's metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class EpochReport:
    """One line of a run's metrics. Losses are means over images, `lr` the head's rate at the
    epoch's first step."""

    epoch: int
    phase: int
    lr: float
    train_loss: float
    val_loss: float
    val_score: float
    metric: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {"event": "epoch", **asdict(self)}
