"""Images that lie at known places in shards: tar files, or tables that another library reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.decode import decode
from zoo_core.data.sources import content_digest
from zoo_core.data.windows import Windows
from zoo_core.errors import DataError, printable

Int64Array = npt.NDArray[np.int64]


class Shard(Protocol):
    """A piece of a data set: read whole when it is indexed, and image by image afterwards."""

    def content(self, offset: int, length: int) -> bytes:
        """The bytes of an image at its indexed place. Raises ZooError when they cannot be read."""


@dataclass(frozen=True, eq=False)
class IndexedImages:
    """Images in shards; image i has `lengths[i]` bytes at `offsets[i]` of shard `shard_of[i]`
    (N,)."""

    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    problems: Mapping[int, str]
    """The reasons why images cannot be used, by index."""
    shards: tuple[Shard, ...]
    shard_of: Int64Array
    offsets: Int64Array
    lengths: Int64Array
    windows: Windows | None = None
    """The windows of an epoch where the shards do not all fit on the disk."""

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        content = self.content(index)
        try:
            return decode(content, at_least=at_least)
        except DataError as error:
            raise DataError(f"{printable(self.names[index])} {error}.") from error.__cause__

    def content(self, index: int) -> bytes:
        shard: Shard = self.shards[self.shard_of[index]]
        content = shard.content(int(self.offsets[index]), int(self.lengths[index]))
        if content_digest(content) != self.digests[index]:
            raise DataError(
                f"{printable(self.names[index])} has changed since the data set was inspected. Put it back as it was, or "
                "begin again."
            )
        return content

    def name(self, index: int) -> str:
        return self.names[index]

    def digest(self, index: int) -> bytes:
        return self.digests[index]

    def take(self, chosen: Sequence[int]) -> IndexedImages:
        """These images alone."""
        places = np.asarray(chosen, dtype=np.int64)
        return replace(
            self,
            names=tuple(self.names[index] for index in chosen),
            digests=tuple(self.digests[index] for index in chosen),
            problems={new: self.problems[old] for new, old in enumerate(chosen) if old in self.problems},
            shard_of=self.shard_of[places],
            offsets=self.offsets[places],
            lengths=self.lengths[places],
            windows=self.windows and self.windows.take(chosen),
        )
