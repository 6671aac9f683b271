"""Targets in files, not yet read: the columns of a table, or one text for each sample.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from zoo_core.errors import DataError, printable

Targets = npt.NDArray[Any]
"""(N,) int64 class indices, or (N, K): 0 or 1 for each label, or numbers, as `stored_numbers` has
them."""

PartName = Literal["train", "val", "test"]
MAX_CELLS = 250_000_000  # targets of a table: as float32 they take 1 GB
MAX_ROUNDING = 1e-3  # of a column's standard deviation


@dataclass(frozen=True)
class TargetColumns:
    """The target columns of a table: `cells` holds a tuple for each row, one text a column.

    `train` are the rows that say which classes or labels exist. `error` makes the DataError that
    names a row's line.
    """

    where: str
    columns: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]
    train: Sequence[int]
    error: Callable[[int, str], DataError]

    def zeros(self, width: int, dtype: npt.DTypeLike = np.float32) -> Targets:
        """An array (N, `width`) for the targets. Raises DataError where that is too large."""
        if len(self.cells) * width > MAX_CELLS:
            raise DataError(
                f"{self.where} has {len(self.cells)} rows of {width} targets; zoo holds {MAX_CELLS} numbers at most."
            )
        return np.zeros((len(self.cells), width), dtype=dtype)


def stored_numbers(values_NK: npt.NDArray[np.float64]) -> Targets:
    """Numbers as float32, or as float64 where float32 would lose the differences of a column.

    Times in seconds since 1970 are such numbers: two of them less than a minute apart become equal.
    """
    rounded = values_NK.astype(np.float32)
    error, spread = np.abs(rounded - values_NK).max(0, initial=0.0), values_NK.std(0) if len(values_NK) else 0.0
    return values_NK if ((error > MAX_ROUNDING * spread) & (spread > 0)).any() else rounded


class Sample(Protocol):
    """An image of a shard or of a data set on the Hub, with its target as a text."""

    @property
    def name(self) -> str: ...

    @property
    def text(self) -> str: ...


Samples = Mapping[PartName, Sequence[Sample]]


def sample_error(sample: Sample, problem: str) -> DataError:
    return DataError(f"the image {printable(sample.name)} {problem}.")
