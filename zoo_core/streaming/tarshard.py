"""A shard that is a tar file: one that lies here, or one that is brought from afar while it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

from zoo_core.errors import DataError, printable
from zoo_core.streaming.samples import Sample
from zoo_core.streaming.shelf import Shelf
from zoo_core.streaming.tars import content_at, samples_of


@dataclass(frozen=True)
class TarHere:
    """A tar file on this machine; it is read where it lies."""

    title: str
    path: Path
    identity: str
    from_afar: ClassVar[bool] = False

    def samples(self) -> Iterator[Sample]:
        with self._open() as file:
            yield from samples_of(file, self.title)

    def content(self, offset: int, length: int) -> bytes:
        with self._open() as file:
            return content_at(file, offset, length)

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise DataError(f"{printable(str(self.path))} cannot be read: {error.strerror or error}.") from error


@dataclass(frozen=True)
class TarAfar:
    """A tar file that `bring` writes here; it stays on the shelf until others need the room."""

    title: str
    identity: str
    shelf: Shelf
    bring: Callable[[Path], None]
    from_afar: ClassVar[bool] = True

    def samples(self) -> Iterator[Sample]:
        with self.shelf.open(self.identity, self.title, self.bring) as file:
            yield from samples_of(file, self.title)

    def content(self, offset: int, length: int) -> bytes:
        with self.shelf.open(self.identity, self.title, self.bring) as file:
            return content_at(file, offset, length)
