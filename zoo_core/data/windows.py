"""The order of an epoch over images in shards that do not all fit on the disk.

Shapes: N images, S shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Windows:
    """An epoch over shards, as many at a time as the disk has room for."""

    shard_of: npt.NDArray[np.int64]
    """The shard of each image (N,)."""
    sizes: npt.NDArray[np.int64]
    """The bytes of each shard (S,)."""
    room: int
    """The bytes of shards that one window may use."""

    def take(self, chosen: Sequence[int]) -> Windows:
        """The windows of these images alone."""
        return replace(self, shard_of=self.shard_of[np.asarray(chosen, dtype=np.int64)])

    def order(self, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """Every image once (N,): shards in random order, in windows; images random inside a
        window."""
        window_of = np.zeros(len(self.sizes), dtype=np.int64)
        window, used = 0, 0
        for shard in generator.permutation(np.unique(self.shard_of)):
            if used and used + self.sizes[shard] > self.room:
                window, used = window + 1, 0
            window_of[shard] = window
            used += self.sizes[shard]
        shuffled = generator.permutation(len(self.shard_of))
        return shuffled[np.argsort(window_of[self.shard_of[shuffled]], kind="stable")]
