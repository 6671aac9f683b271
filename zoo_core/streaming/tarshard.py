"""Shards that are tar files: on this machine, or downloaded while they are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

from zoo_core.errors import DataError, printable
from zoo_core.streaming.samples import Sample
from zoo_core.streaming.shard_cache import ShardCache
from zoo_core.streaming.tars import content_at, samples_of


@dataclass(frozen=True)
class LocalTar:
    """A tar file on this machine, read in place."""

    title: str
    path: Path
    identity: str
    remote: ClassVar[bool] = False

    def samples(self, ignored: Counter[str]) -> Iterator[Sample]:
        with self._open() as file:
            yield from samples_of(file, self.title, ignored)

    def content(self, offset: int, length: int) -> bytes:
        with self._open() as file:
            return content_at(file, offset, length)

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise DataError(f"{printable(str(self.path))} cannot be read: {error.strerror or error}.") from error


@dataclass(frozen=True)
class RemoteTar:
    """A tar file that `download_to` writes into the shard cache, where it stays while there is
    room."""

    title: str
    identity: str
    shard_cache: ShardCache
    download_to: Callable[[Path], None]
    remote: ClassVar[bool] = True

    def samples(self, ignored: Counter[str]) -> Iterator[Sample]:
        with self.shard_cache.open(self.identity, self.title, self.download_to) as file:
            yield from samples_of(file, self.title, ignored)

    def content(self, offset: int, length: int) -> bytes:
        with self.shard_cache.open(self.identity, self.title, self.download_to) as file:
            return content_at(file, offset, length)
