"""The order of training where images lie in shards that are not all on disk at once.

Shapes: N images, S shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Windows:
    """Which shard each image lies in: `shard_of` (N,), the bytes of each shard: `sizes` (S,), and how many bytes of
    them an epoch may ask for at a time: `room`."""

    shard_of: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    room: int

    def take(self, chosen: Sequence[int]) -> Windows:
        """Of these images only."""
        return replace(self, shard_of=self.shard_of[np.asarray(chosen, dtype=np.int64)])

    def order(self, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """All images once, window by window: the shards in a random order, as many in a window as there is room for,
        and in each window its images in a random order."""
        window_of = np.zeros(len(self.sizes), dtype=np.int64)
        window, used = 0, 0
        for shard in generator.permutation(np.unique(self.shard_of)):
            if used and used + self.sizes[shard] > self.room:
                window, used = window + 1, 0
            window_of[shard] = window
            used += self.sizes[shard]
        shuffled = generator.permutation(len(self.shard_of))
        return shuffled[np.argsort(window_of[self.shard_of[shuffled]], kind="stable")]
