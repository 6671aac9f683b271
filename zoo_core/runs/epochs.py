"""One epoch of a training, as a line of a run's metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class EpochReport:
    """One line of a run's metrics. Losses are means over images, `lr` the head's rate at the
    epoch's first step."""

    epoch: int
    phase: int
    lr: float
    train_loss: float
    val_loss: float | None
    val_score: float | None
    """None where no images were held out to validate with."""
    metric: str
    seconds: float
    val_error: float | None = None
    """The standard error of the score of an epoch that was the best when it was measured; None of
    others, and where none is known."""
    is_best: bool = field(default=False, compare=False)
    """Whether it is the best one by the run's own rule: so far where a callback hears of it, of all in
    a result; no part of the line."""

    @property
    def loss(self) -> float:
        """The validation loss of an epoch that was measured."""
        assert self.val_loss is not None
        return self.val_loss

    @property
    def score(self) -> float:
        """The validation score of an epoch that was measured."""
        assert self.val_score is not None
        return self.val_score

    def to_dict(self) -> dict[str, Any]:
        line = asdict(self)
        del line["is_best"]
        return {"event": "epoch", **line}
