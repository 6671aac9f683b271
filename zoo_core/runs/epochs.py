"""One epoch of a training, as a line of a run's metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from zoo_core.errors import ZooError, brief


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

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> EpochReport:
        """Read `to_dict`'s data, which the trainer's state checks. Raises ZooError for a missing field."""
        try:
            return cls(**{one.name: line[one.name] for one in fields(cls)})
        except KeyError as error:
            raise ZooError(f"an epoch in the run's metrics has no {brief(error.args[0])}.") from error

    def to_dict(self) -> dict[str, Any]:
        return {"event": "epoch", **asdict(self)}
