"""Checks of a checkpoint's plain data: positions, counts and epochs that a training writes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from zoo_core.errors import TrainingError, reason_of
from zoo_core.runs.epochs import EpochReport

POSITION = {"epoch": int, "step": int, "loss_sum": float, "seconds": float}
KINDS = {"int": int, "float": float, "str": str, "float | None": float}
REPORT = {field.name: KINDS[str(field.type)] for field in fields(EpochReport) if field.name != "is_best"}
OPTIONAL = {"val_loss", "val_score", "val_error"}
"""The fields of an epoch report that may be None, as all are without validation images."""
MAX_LR = 1e4  # a hundred times the largest that can be asked for
MAX_COUNT = 2**31


def check_progress(progress: Mapping[str, Any]) -> None:
    """Raise ValueError for values that no training writes."""
    if not (progress["lr"] is None or (_is(float, progress["lr"]) and 0 < progress["lr"] <= MAX_LR)):
        raise ValueError(f"lr cannot be {progress['lr']!r:.80}")
    if not _is(str, progress["kept"]):
        raise ValueError(f"kept cannot be {progress['kept']!r:.80}")
    for name in ("micro_batch", "processes"):
        count = progress[name]
        if not (_is(int, count) and 1 <= count <= MAX_COUNT) and not (name == "micro_batch" and count is None):
            raise ValueError(f"{name} cannot be {count!r:.80}")


def read_fields(kinds: Mapping[str, type], data: Any, name: str) -> dict[str, Any]:
    """Plain data with exactly these keys, whose numbers are finite. Raises ValueError."""
    if not isinstance(data, Mapping) or data.keys() != kinds.keys():
        raise ValueError(f"{data!r:.80} is no {name}")
    for key, kind in kinds.items():
        if not _is(kind, data[key]) and not (key in OPTIONAL and data[key] is None):
            raise ValueError(f"{key} cannot be {data[key]!r:.80}")
    return dict(data)


def read_report(data: Any) -> EpochReport:
    """An epoch from plain data; those of before have no standard error. Raises ValueError."""
    known = {"val_error": None, **data} if isinstance(data, Mapping) else data
    return EpochReport(**read_fields(REPORT, known, "epoch report"))


def _is(kind: type, value: object) -> bool:
    """Whether a value from JSON is of a type; a whole number counts as a float."""
    if kind is str:
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        return False
    return kind is int or math.isfinite(value)  # type: ignore[arg-type]


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a fault of a checkpoint into one error with a next step."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # RuntimeError: torch's, of a generator's state
        raise TrainingError(
            f"the newest checkpoint is not one of this run ({reason_of(error)}). Remove the folder checkpoints/ "
            "of the run to start it again from its beginning."
        ) from error
