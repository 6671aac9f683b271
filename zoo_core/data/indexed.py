"""Images of which an index tells where they lie: in tar files, or in tables that another library reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.decode import decode
from zoo_core.data.sources import content_digest
from zoo_core.data.windows import Windows
from zoo_core.errors import DataError, printable

Numbers = npt.NDArray[np.int64]


class Shard(Protocol):
    """A part of a data set that is read as a whole when it is indexed, and image by image afterwards."""

    def content(self, offset: int, length: int) -> bytes:
        """An image's bytes at the place that the index tells. Raises ZooError when they cannot be had."""


@dataclass(frozen=True, eq=False)
class IndexedImages:
    """Images in shards: `shard_of`, `offsets` and `lengths` (N,) are the place of each.

    `problems` tells what is wrong with an image that cannot be read. `windows` is for those that are not all on disk.
    """

    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    problems: Mapping[int, str]
    shards: tuple[Shard, ...]
    shard_of: Numbers
    offsets: Numbers
    lengths: Numbers
    windows: Windows | None = None

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        content = self.shards[self.shard_of[index]].content(int(self.offsets[index]), int(self.lengths[index]))
        name = printable(self.names[index])
        if content_digest(content) != self.digests[index]:
            raise DataError(f"{name} is no longer what it was when the data set was looked at. Start again.")
        try:
            return decode(content, at_least=at_least)
        except DataError as error:
            raise DataError(f"{name} {error}.") from error.__cause__

    def name(self, index: int) -> str:
        return self.names[index]

    def digest(self, index: int) -> bytes:
        return self.digests[index]
