"""How far a training is, as plain data: what a checkpoint's state.json holds beside the hash of its tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from zoo_core.errors import TrainingError
from zoo_core.runs.epochs import EpochReport

T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """How far a training is: epochs done; of the next one steps done, their summed loss, and seconds spent."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Progress:
    """Where a training stands, how many images go through the network together, the rate that a range test found, how it
    went, in how many processes, and what is kept of the frozen front."""

    position: Position
    micro_batch: int | None
    lr: float | None
    history: tuple[EpochReport, ...]
    processes: int
    kept: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `of` gives an equal progress again."""
        return asdict(self)

    @classmethod
    def of(cls, state: Mapping[str, Any], *, epochs: int, steps: int) -> Progress:
        """Read what `to_dict` wrote, of a training of so many epochs of so many steps.

        Raises TrainingError when it is not of such a training.
        """
        try:
            progress = cls(
                position=_read(Position, state["position"]),
                micro_batch=state["micro_batch"],
                lr=state["lr"],
                history=tuple(_read(EpochReport, report) for report in state["history"]),
                processes=state["processes"],
                kept=state["kept"],
            )
            progress._check(epochs, steps)
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"the newest checkpoint is not one of this run ({error}). Remove the folder checkpoints/ of the run to "
                "start it again from its beginning."
            ) from error
        return progress

    def _check(self, epochs: int, steps: int) -> None:
        at, done = self.position, [report.epoch for report in self.history]
        if not (0 <= at.epoch <= epochs and 0 <= at.step <= (steps if at.epoch < epochs else 0)):
            raise ValueError(f"epoch {at.epoch}, step {at.step} is not in it")
        if (
            done != sorted(set(done))
            or not all(1 <= epoch <= at.epoch for epoch in done)
            or bool(at.epoch) > bool(done)
        ):
            raise ValueError(f"its history does not lead to epoch {at.epoch}")
        if not (self.lr is None or _is(float, self.lr)):
            raise ValueError(f"lr cannot be {self.lr!r:.80}")
        if not _is(str, self.kept):
            raise ValueError(f"kept cannot be {self.kept!r:.80}")
        for name, count in (("micro_batch", self.micro_batch), ("processes", self.processes)):
            if not (_is(int, count) and count >= 1) and not (name == "micro_batch" and count is None):  # type: ignore[operator]
                raise ValueError(f"{name} cannot be {count!r:.80}")


def _read(kind: type[T], data: Any) -> T:
    """A dataclass of finite numbers and texts from plain data."""
    kinds = {"int": int, "float": float, "str": str}
    names = {field.name: kinds[str(field.type)] for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(data, Mapping) or data.keys() != names.keys():
        raise ValueError(f"{data!r:.80} is no {kind.__name__}")
    for name, number in names.items():
        if not _is(number, data[name]):
            raise ValueError(f"{name} cannot be {data[name]!r:.80}")
    return kind(**data)


def _is(kind: type, value: object) -> bool:
    """Whether a value from JSON is of a kind; a whole number will do for a float."""
    if kind is str:
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        return False
    return kind is int or math.isfinite(value)  # type: ignore[arg-type]
