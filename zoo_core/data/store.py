"""A cache of arrays on disk that grows at its end: what one run computed, the next one finds.

A store is a folder with two files. `rows` holds the arrays' bytes, one after the other; `index` one entry of fixed length
for each: its key, its place and its shape. The bytes reach the disk before the entry that names them does, so a process
that is killed leaves a store that is right, if shorter. Several processes may add to one store at once.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

Array = npt.NDArray[Any]
KEY_BYTES = 16
ENTRY = np.dtype([("key", "<u8", (2,)), ("offset", "<u8"), ("shape", "<u4", (3,)), ("spare", "<u4")])
COMMIT_BYTES = 64 * 2**20  # how much may be lost when a process is killed


class Store:
    """Arrays (C, H, W) of one type under keys of 16 bytes. Raises OSError when the disk is full or read-only."""

    def __init__(self, folder: Path, dtype: npt.DTypeLike) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.dtype = np.dtype(dtype)
        self._lock = FileLock(folder / "lock")
        self._rows = os.open(folder / "rows", os.O_RDWR | os.O_CREAT, 0o644)
        self._pending: list[Any] = []
        self._pending_bytes = 0
        os.utime(folder)  # the least recently used store is the first to go
        self.refresh()

    def close(self) -> None:
        """Commit what was added and close the files."""
        if self._rows >= 0:
            try:
                self.commit()
            finally:
                os.close(self._rows)
                self._rows = -1

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def refresh(self) -> None:
        """Read the index again, with what other processes have added since."""
        try:
            data = (self.folder / "index").read_bytes()
        except FileNotFoundError:
            data = b""
        entries = np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
        end = os.fstat(self._rows).st_size
        lengths = entries["shape"].astype(np.uint64).prod(axis=1) * np.uint64(self.dtype.itemsize)
        entries = entries[entries["offset"] + lengths <= end]
        self._entries = entries[np.argsort(entries["key"][:, 0], kind="stable")]

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, keys: Iterable[bytes]) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The entries of these keys, for `read`, and which of them are there."""
        wanted = np.fromiter(keys, f"S{KEY_BYTES}").view("<u8").reshape(-1, 2)
        entries = self._entries  # another thread may commit meanwhile
        if not len(entries):
            return np.zeros(len(wanted), ENTRY), np.zeros(len(wanted), np.bool_)
        places = np.searchsorted(entries["key"][:, 0], wanted[:, 0])
        chosen = entries[np.minimum(places, len(entries) - 1)]
        return chosen, (chosen["key"] == wanted).all(axis=1)

    def read(self, entries: Array) -> list[Array]:
        """The arrays of these entries."""
        places = zip(entries["offset"].tolist(), entries["shape"].tolist(), strict=True)
        with self._named():
            return [self._read(offset, shape) for offset, shape in places]

    def _read(self, offset: int, shape: Sequence[int]) -> Array:
        length = math.prod(shape) * self.dtype.itemsize
        data = os.pread(self._rows, length, offset)
        if len(data) != length:
            raise OSError(f"the cache {self.folder} ends too early; remove that folder")
        return np.frombuffer(data, self.dtype).reshape(shape)

    def add(self, keys: Sequence[bytes], arrays: Sequence[Array]) -> None:
        """Append arrays; they are found after the next commit, which follows by itself every 64 MiB."""
        plain = [np.ascontiguousarray(array, self.dtype) for array in arrays]
        data = b"".join(array.tobytes() for array in plain)
        with self._lock:
            offset = os.lseek(self._rows, 0, os.SEEK_END)
            self._write(data)
        for key, array in zip(keys, plain, strict=True):
            self._pending.append((np.frombuffer(key, "<u8"), offset, array.shape, 0))
            offset += array.nbytes
        self._pending_bytes += len(data)
        if self._pending_bytes >= COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Put what was added on the disk, then into the index."""
        if not self._pending:
            return
        entries = np.zeros(len(self._pending), ENTRY)
        for place, (key, offset, shape, _) in enumerate(self._pending):
            entries[place] = (key, offset, shape, 0)
        os.fsync(self._rows)
        with self._lock, (self.folder / "index").open("ab") as index:
            torn = index.tell() % ENTRY.itemsize
            if torn:
                index.truncate(index.tell() - torn)
            index.write(entries.tobytes())
            index.flush()
            os.fsync(index.fileno())
        self._pending, self._pending_bytes = [], 0
        self.refresh()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        with self._named():
            while view:
                view = view[os.write(self._rows, view) :]

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Give an error of the disk the file's name: the kernel knows only its number."""
        try:
            yield
        except OSError as error:
            error.filename = str(self.folder / "rows")
            raise


def stores(root: Path) -> list[tuple[Path, int]]:
    """The stores under a folder with their sizes in bytes, the least recently used first."""
    folders = [path.parent for path in root.glob("*/*/rows")]
    folders.sort(key=lambda folder: folder.stat().st_mtime)
    return [(folder, sum(file.stat().st_size for file in folder.iterdir())) for folder in folders]


def make_room(root: Path, needed: int, budget: int, *, keep: Iterable[Path] = ()) -> list[Path]:
    """Remove the least recently used stores until `needed` bytes more fit into the budget; return what went."""
    kept = set(keep)
    there = stores(root)
    total = sum(size for _, size in there)
    gone = []
    for folder, size in there:
        if total + needed <= budget:
            break
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
            gone.append(folder)
    return gone
