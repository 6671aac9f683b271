"""Results that are made by hand, and the keys of plain data."""

from __future__ import annotations

from zoo_core.choosing.grid import Cell
from zoo_core.choosing.results import CellResult
from zoo_core.tasks.metrics import ACCURACY


def result(cell: Cell, right: list[bool] | None, *, images: int = 100, **facts: object) -> CellResult:
    known = None if right is None else {f"{number}.jpg": one for number, one in enumerate(right)}
    made = {
        "task": "classification",
        "is_pretrained": cell.candidate.weights != "none",
        "metric": ACCURACY,
        "score_interval": None,
        "score": 0.5 if right is None else sum(right) / len(right),
        "part": "test",
        "images": 20 if right is None else len(right),
        "train_images": round(images * cell.share),
        "seconds": 1.5,
        "trainable_parameters": 850,
        "model_bytes": 250_000,
    }
    return CellResult(cell=cell, right=known, **{**made, **facts})  # type: ignore[arg-type]


def keys_of(value: object) -> set[str]:
    """All keys in plain data, however deep."""
    if isinstance(value, list | tuple):
        return set().union(*map(keys_of, value))
    return set(value) | keys_of(list(value.values())) if isinstance(value, dict) else set()
