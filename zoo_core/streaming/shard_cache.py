"""A folder that holds shards from afar while they are needed: when it is full, the least recently used goes first."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from zoo_core.errors import DataError, FullError, OversizeError, printable
from zoo_core.paths import cache_dir, written_whole

ENDING = ".tar"
KEY_DIGITS = 32


@dataclass(frozen=True)
class ShardCache:
    """At most `room` bytes of shards lie in the folder, and what is being fetched is whole only when it has its room; until
    then it comes on top."""

    room: int

    @property
    def folder(self) -> Path:
        return cache_dir() / "shards"

    def open(self, identity: str, title: str, download_to: Callable[[Path], None]) -> BinaryIO:
        """A shard's file, open for reading; `download_to` writes it where it is not there.
        Threads and processes may ask at once.

        What is open can be read to its end even when the shard has to go meanwhile.
        """
        path = self.folder / f"{blake2b(identity.encode(), digest_size=KEY_DIGITS // 2).hexdigest()}{ENDING}"
        try:
            return _used(path)
        except FileNotFoundError:
            pass
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")), ExitStack() as held:
            with suppress(FileNotFoundError):
                return _used(path)  # another brought it meanwhile
            with written_whole(path) as temporary:
                self._download(download_to, temporary, title)
                held.enter_context(FileLock(self.folder / "room.lock"))  # until it has taken its place
                self._make_room()
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
            told = f"Or give --data a disk_gb smaller than {self.room / 1e9:.3g}: then fewer shards lie there at once."
            raise FullError(f"{error} {told}") from error

    def _make_room(self) -> None:
        """Remove what a killed process left, then the least recently used shards, until all that lies here has room.

        What is just being fetched counts, and stays.
        """
        total, there = 0, []
        for path in self.folder.glob(f"*{ENDING}"):
            with suppress(FileNotFoundError):  # another process may clear the folder
                facts = path.stat()
                if not path.name.startswith("."):
                    there.append((facts.st_mtime_ns, facts.st_size, path))
                elif not self._is_coming(path):
                    path.unlink()
                    continue
                total += facts.st_size
        for _, size, path in sorted(there):
            if total <= self.room:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _is_coming(self, partial: Path) -> bool:
        """Whether somebody is still writing a file that is not whole: then its shard is locked."""
        try:
            with FileLock(self.folder / f"{partial.name[1 : 1 + KEY_DIGITS]}.lock", timeout=0):
                return False
        except Timeout:
            return True


def _used(path: Path) -> BinaryIO:
    """Open a shard and note that it was used."""
    file = path.open("rb")
    with suppress(OSError):
        os.utime(path)
    return file
