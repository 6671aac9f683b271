"""Stores of features that zoo 0.1.0 wrote: taken over where their content can be proven.

They have no checksums, no generation, and keys without the code of the network. So the structure of
a store is checked first, then a sample of its features is computed again and compared: `agrees`. A
single damaged array among right ones can pass, as it did with 0.1.0.
"""

from __future__ import annotations

import math
import os
import stat
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from zoo_core.data.generation import MAGIC
from zoo_core.data.store import Array, by_key
from zoo_core.frozen.storage_types import ON_DISK, as_features, type_of
from zoo_core.settings import CacheType

if sys.platform != "win32":
    import fcntl

ENTRY = np.dtype([("key", "<u8", (2,)), ("offset", "<u8"), ("shape", "<u4", (3,)), ("spare", "<u4")])
SAMPLE = 8  # features that are computed again
TOLERANCE = 4
"""How many rounding errors of the stored type lie between features that agree: processors add in
different orders."""
LEAST_ERROR = 1e-5  # of a float32 sum over the layers of a network, relative to the largest feature


class OldStore:
    """The arrays of a store of zoo 0.1.0. Raises ValueError when its index is not that of its rows,
    OSError when there is none."""

    def __init__(self, folder: Path, dtype: CacheType) -> None:
        self._item = np.dtype(ON_DISK[dtype])
        for name in ("rows", "index"):
            if not stat.S_ISREG(os.lstat(folder / name).st_mode):  # a pipe would be waited for
                raise ValueError(f"{name} is no file")
        self._file = (folder / "rows").open("rb")
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_SH)  # no other process removes it meanwhile
        self._rows = np.memmap(self._file, np.uint8, "r")
        most = len(self._rows) // self._item.itemsize  # an array has one number or more
        entries = np.fromfile(folder / "index", ENTRY, most)
        if not self._are_appended(entries):
            raise ValueError("its arrays overlap or end outside the file")
        self.entries = by_key(entries)

    def __enter__(self) -> OldStore:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()

    def read(self, entries: Array) -> list[Array]:
        """The arrays of these entries."""
        arrays = []
        for offset, shape in zip(entries["offset"].tolist(), entries["shape"].tolist(), strict=True):
            length = math.prod(shape) * self._item.itemsize
            arrays.append(self._rows[offset : offset + length].view(self._item).reshape(shape))
        return arrays

    def _are_appended(self, entries: npt.NDArray[np.void]) -> bool:
        """Whether the arrays lie one after the other. An index whose rows were removed, and begun
        again by others, names arrays that overlap."""
        ordered = entries[np.argsort(entries["offset"], kind="stable")]
        begins = ordered["offset"].astype(np.float64)
        ends = begins + ordered["shape"].astype(np.float64).prod(axis=1) * self._item.itemsize
        inside = (ends > begins).all() and (ends <= len(self._rows)).all()
        return bool(inside and (ends[:-1] <= begins[1:]).all())


def is_old(folder: Path) -> bool:
    """Whether a store may be one of zoo 0.1.0: it has an index, which begins in another way."""
    try:
        if not stat.S_ISREG(os.lstat(folder / "index").st_mode):
            return False
        with (folder / "index").open("rb") as file:
            return file.read(len(MAGIC)) not in (b"", MAGIC)
    except OSError:
        return False


def agrees(old: list[Array], computed: list[Array], dtype: CacheType) -> bool:
    """Whether stored features are those computed now, within the rounding of the stored type and of
    the sums."""
    one, other = (as_features(rows, dtype).double() for rows in (old, computed))
    if one.shape != other.shape:
        return False
    largest = other.abs().flatten(1).amax(1).view(-1, *[1] * (other.ndim - 1))
    error = max(torch.finfo(type_of(dtype)).eps, LEAST_ERROR)
    return bool(((one - other).abs() <= TOLERANCE * error * largest).all())
