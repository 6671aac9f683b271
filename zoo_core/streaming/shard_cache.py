"""A folder of downloaded shards of limited size: the least recently used shard is removed for a new
one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from zoo_core.data.eviction import evict
from zoo_core.errors import DataError, FullError, OversizeError, printable
from zoo_core.paths import cache_dir, written_whole

ENDING = ".tar"
KEY_DIGITS = 32


@dataclass(frozen=True)
class ShardCache:
    """At most `room` bytes of shards stay in the folder. A download comes on top of them until it
    is complete."""

    room: int

    @property
    def folder(self) -> Path:
        return cache_dir() / "shards"

    def open(self, identity: str, title: str, download_to: Callable[[Path], None]) -> BinaryIO:
        """Open the file of a shard for reading; `download_to` writes it when the folder lacks it.

        Threads and processes may call this at once. An open file can be read to its end even after
        its shard was removed. Raises DataError when the shard is larger than the room, FullError
        when the disk is full.
        """
        path = self.folder / f"{blake2b(identity.encode(), digest_size=KEY_DIGITS // 2).hexdigest()}{ENDING}"
        try:
            return _open_used(path)
        except FileNotFoundError:
            pass
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")), ExitStack() as held:
            with suppress(FileNotFoundError):
                return _open_used(path)  # another process has downloaded it meanwhile
            with written_whole(path) as temporary:
                self._download(download_to, temporary, title)
                held.enter_context(FileLock(self.folder / "room.lock"))  # until the file has its final name
                evict(self._shards(), self.room, _unlink, keep=(temporary,))
                return temporary.open("rb")

    def _download(self, download_to: Callable[[Path], None], temporary: Path, title: str) -> None:
        try:
            download_to(temporary)
            if temporary.stat().st_size > self.room:
                raise OversizeError
        except OversizeError:
            raise DataError(
                f"the shard {printable(title)} has more than {self.room / 1e9:.3g} GB, and only so much of shards may "
                "lie on disk. Give --data a larger disk_gb."
            ) from None
        except FullError as error:
            hint = f"Or give --data a disk_gb smaller than {self.room / 1e9:.3g}: then fewer shards lie there at once."
            raise FullError(f"{error} {hint}") from error

    def _shards(self) -> list[tuple[Path, int]]:
        """The files with their bytes, the least recently used first; those of killed downloads are
        removed before.

        A download in progress counts, and `_unlink` leaves it.
        """
        found = []
        for path in self.folder.glob(f"*{ENDING}"):
            with suppress(FileNotFoundError):  # another process may clear the folder
                facts = path.stat()
                if path.name.startswith(".") and not self._is_downloading(path):
                    path.unlink()
                else:
                    found.append((facts.st_mtime_ns, path, facts.st_size))
        return [(path, size) for _, path, size in sorted(found)]

    def _is_downloading(self, partial: Path) -> bool:
        """Whether a process still writes a temporary file: it holds the lock of its shard."""
        try:
            with FileLock(self.folder / f"{partial.name[1 : 1 + KEY_DIGITS]}.lock", timeout=0):
                return False
        except Timeout:
            return True


def _unlink(path: Path) -> bool:
    if path.name.startswith("."):  # another process downloads it
        return False
    path.unlink(missing_ok=True)
    return True


def _open_used(path: Path) -> BinaryIO:
    """Open a shard and note the time of its use."""
    file = path.open("rb")
    with suppress(OSError):
        os.utime(path)
    return file
