"""An append-only cache of arrays on disk. Nothing is read from it that is not proven to be what was
written.

A store is a folder with two files that grow at their ends. `rows` holds the bytes of the arrays;
`index` has one entry of fixed length for each array: key, place, shape and checksum. The proof has
three parts:

- Both files begin with the generation of the store, 16 random bytes. Two files of different generations, such as an index
  whose rows were removed and begun again, are replaced by empty ones.
- The checksum covers generation, key, shape and content, so neither a changed array nor a changed entry is believed.
- A process holds a store that it uses: another can add to it but not remove it, unless by hand. Both files stay open, so
  even then nothing is added to an index of other rows.

The bytes of an array reach the disk before the entry that names them does: a process that is killed
leaves a store that is right, if shorter. Several processes may add to one store at once.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from zoo_core.data.generation import ENTRY, HEADER_BYTES, begin_generation, read_generation
from zoo_core.errors import DataError

if sys.platform != "win32":
    import fcntl

Array = npt.NDArray[Any]
KEY_BYTES = 16
NAMED_BYTES = 28  # of an entry: key and shape, which the checksum covers as well
COMMIT_BYTES = 64 * 2**20  # how much may be lost when a process is killed
WRITE_BYTES = 2**20  # how much is written at a time: a lock for each small array takes longer than the array
OPEN_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
LOCK_TRIES = 20  # a folder that is removed in the same moment again and again is removed by hand


class Store:
    """Arrays (C, H, W) of one type under keys of 16 bytes. Raises OSError when the disk is full or
    read-only.

    `message` is called, at most once, with one line about content that did not pass its proof.
    """

    def __init__(self, folder: Path, dtype: npt.DTypeLike, message: Callable[[str], None] = lambda text: None) -> None:
        self.folder = folder
        self.dtype = np.dtype(dtype)
        self._message = message
        self._told = False
        self._reading = threading.Lock()
        self._lock = FileLock(folder / "lock")
        self._unwritten: list[tuple[Array, bytes]] = []
        self._unwritten_bytes = 0
        self._pending: list[Array] = []
        self._pending_bytes = 0
        self._rows, self._index, self.generation = self._open()
        os.utime(folder)  # the least recently used store is evicted first
        self.refresh()

    def close(self) -> None:
        """Commit what was added, close the files and let go of the store."""
        if self._rows >= 0:
            try:
                self.commit()
            finally:
                os.close(self._rows)
                os.close(self._index)
                self._rows = -1

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def refresh(self) -> None:
        """Read the index again, with the entries that other processes have added since."""
        most = os.fstat(self._rows).st_size // self.dtype.itemsize * ENTRY.itemsize  # an array has one number or more
        length = min(os.fstat(self._index).st_size - HEADER_BYTES, most)
        data = self._read_at(self._index, max(0, length), HEADER_BYTES)
        end = os.fstat(self._rows).st_size  # after the index: the rows of all its entries were written before them
        entries = np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
        lengths = entries["shape"].astype(np.float64).prod(axis=1) * self.dtype.itemsize  # float64: it cannot overflow
        inside = (lengths > 0) & (entries["offset"].astype(np.float64) + lengths <= end)
        if not inside.all():
            self._tell("holds damaged entries")
        # The newest first, so that an array added again for one that was damaged is found.
        self._entries = by_key(entries[inside][::-1])

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, keys: Iterable[bytes]) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The entries of these keys, for `read`, and a mask of those that exist. Their content is
        not proven yet."""
        return lookup(self._entries, keys)

    def intact(self, entries: Array) -> npt.NDArray[np.bool_]:
        """A mask of the entries whose arrays are those that were added."""
        return np.fromiter((array is not None for array in self._arrays(entries)), np.bool_, len(entries))

    def read(self, entries: Array) -> list[Array]:
        """The arrays of these entries. Raises DataError when one is not what was added."""
        arrays = list(self._arrays(entries))
        if any(array is None for array in arrays):
            raise DataError(
                f"the cache {self.folder} was changed while it was used. Give the command again: what is damaged there "
                "is made anew."
            )
        return arrays  # type: ignore[return-value]

    def get(self, key: bytes) -> Array | None:
        """The array of a key; None when the store has none, or none that is what was added."""
        entries, found = self.find([key])
        return next(self._arrays(entries)) if found[0] else None

    def add(self, keys: Sequence[bytes], arrays: Sequence[Array]) -> None:
        """Append arrays; they are found after the next commit, which follows by itself every 64
        MiB."""
        plain = [np.ascontiguousarray(array, self.dtype) for array in arrays]
        data = b"".join(array.tobytes() for array in plain)
        entries, offset = np.zeros(len(plain), ENTRY), self._unwritten_bytes
        for entry, key, array in zip(entries, keys, plain, strict=True):
            whole = key.ljust(KEY_BYTES, b"\0")  # numpy's bytes leave out zeros at the end
            entry["key"], entry["shape"], entry["offset"] = np.frombuffer(whole, "<u8"), array.shape, offset
            entry["checksum"] = crc32(array.data, crc32(entry.tobytes()[:NAMED_BYTES], crc32(self.generation)))
            offset += array.nbytes
        self._unwritten.append((entries, data))
        self._unwritten_bytes += len(data)
        if self._unwritten_bytes >= WRITE_BYTES:
            self._write_rows()
        if self._pending_bytes >= COMMIT_BYTES:
            self.commit()

    def _write_rows(self) -> None:
        """Append the arrays that wait in memory, whose offsets begin at 0, to the rows."""
        unwritten, self._unwritten, count = self._unwritten, [], self._unwritten_bytes
        self._unwritten_bytes = 0
        if not unwritten:
            return
        with self._locked(), self._reading, self._naming_rows():
            end = os.lseek(self._rows, 0, os.SEEK_END)
            _write(self._rows, b"".join(data for _, data in unwritten))
        for entries, _ in unwritten:
            entries["offset"] += np.uint64(end)
            self._pending.append(entries)
        self._pending_bytes += count

    def commit(self) -> None:
        """Put what was added on the disk, then into the index."""
        self._write_rows()
        if not self._pending:
            return
        os.fsync(self._rows)
        with self._locked():
            length = os.fstat(self._index).st_size
            torn = (length - HEADER_BYTES) % ENTRY.itemsize
            if torn:  # a process was killed while it wrote its last entry
                os.ftruncate(self._index, length - torn)
            _write(self._index, b"".join(entries.tobytes() for entries in self._pending))
            os.fsync(self._index)
        self._pending, self._pending_bytes = [], 0
        self.refresh()

    def _open(self) -> tuple[int, int, bytes]:
        """Open and hold both files, begun anew where they are not a pair; return them and their
        generation."""
        while True:
            opened = []
            with suppress(FileNotFoundError):  # another process removed the folder just now
                self._make_folder()
                with self._locked():
                    generation = read_generation(self.folder, self.dtype.itemsize)
                    if generation is None:
                        if any(os.path.lexists(self.folder / name) for name in ("rows", "index")):
                            self._tell("was damaged")
                        generation = begin_generation(self.folder)
                    opened += [os.open(self.folder / name, OPEN_FLAGS) for name in ("rows", "index")]
                _hold(opened[0])
                if os.path.samestat(os.fstat(opened[0]), os.stat(self.folder / "rows")):
                    return opened[0], opened[1], generation
            for file in opened:
                os.close(file)

    def _make_folder(self) -> None:
        """Make the folder. One that another process removes between mkdir's look and its own counts as a
        file that is in the way."""
        for left in reversed(range(LOCK_TRIES)):
            try:
                return self.folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                if not left:
                    raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only process that writes. A folder that somebody removed by hand has no other
        writers."""
        with ExitStack() as held:
            for left in reversed(range(LOCK_TRIES)):
                try:
                    with suppress(FileNotFoundError):
                        held.enter_context(self._lock)
                    break
                except FileExistsError:  # another process removed the folder while it was being made
                    if not left:
                        raise
            yield

    def _arrays(self, entries: Array) -> Iterator[Array | None]:
        """The array of each entry, None in place of one that does not pass its proof."""
        begun, names = crc32(self.generation), memoryview(entries.tobytes())
        fields = zip(*(entries[name].tolist() for name in ("offset", "shape", "checksum")), strict=True)
        with self._naming_rows():
            for place, (offset, shape, checksum) in enumerate(fields):
                data = self._read_at(self._rows, math.prod(shape) * self.dtype.itemsize, offset)
                start = place * ENTRY.itemsize
                if crc32(data, crc32(names[start : start + NAMED_BYTES], begun)) == checksum:
                    yield np.frombuffer(data, self.dtype).reshape(shape)
                else:
                    self._tell("holds damaged arrays")
                    yield None

    def _read_at(self, file: int, length: int, offset: int) -> bytes:
        if hasattr(os, "pread"):  # Windows has none
            return os.pread(file, length, offset)
        with self._reading:  # threads share the file's position, also one that writes
            os.lseek(file, offset, os.SEEK_SET)
            return os.read(file, length)

    def _tell(self, fault: str) -> None:
        if not self._told:
            self._told = True
            self._message(f"the cache {self.folder} {fault}: what is not proven to be right is made anew")

    @contextmanager
    def _naming_rows(self) -> Iterator[None]:
        """Give an error of the disk the file's name: the kernel knows only its number."""
        try:
            yield
        except OSError as error:
            error.filename = str(self.folder / "rows")
            raise


def by_key(entries: Array) -> Array:
    """Entries in the order that `lookup` needs; of those with equal keys the first stays the
    first."""
    return entries[np.argsort(entries["key"][:, 0], kind="stable")]


def lookup(entries: Array, keys: Iterable[bytes]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The first entry of each key, and a mask of the keys that have one."""
    wanted = np.fromiter(keys, f"S{KEY_BYTES}").view("<u8").reshape(-1, 2)
    if not len(entries):
        return np.zeros(len(wanted), entries.dtype), np.zeros(len(wanted), np.bool_)
    places = np.searchsorted(entries["key"][:, 0], wanted[:, 0])
    chosen = entries[np.minimum(places, len(entries) - 1)]
    return chosen, (chosen["key"] == wanted).all(axis=1)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _hold(rows: int) -> None:
    """Hold a store until its rows are closed, together with others. Windows removes no file that is
    open anyway."""
    if sys.platform != "win32":
        fcntl.flock(rows, fcntl.LOCK_SH)
