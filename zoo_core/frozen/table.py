"""The public table of cached features: a row an image, read from the cache when it is asked for.

Shapes: N images, V views, F features, C channels, H height, W width, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.data.sources import Part, PartName, Source, Targets
from zoo_core.errors import UsageError
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.split import SplitPoint
from zoo_core.frozen.storage_types import as_features, from_rows, images_at_once
from zoo_core.tasks import task_named

Floats = npt.NDArray[np.float32]
Which = int | slice | Sequence[int] | npt.NDArray[Any]
"""The images of an answer: a number, a slice, numbers, or a mask (N)."""


@dataclass(eq=False)
class FeatureTable:
    """The features of all images of a data set, part after part, in the order of the source.

    `table[i]` and `table[start:stop]` read float32 arrays from the cache, `np.asarray(table)` reads
    all. The shape is (N, F) for pooled features, (N, C, H, W) for the maps of a stage and (N, T, C)
    for its tokens; with several views of each image (N, V, ...), of which view 0 is the centre. The
    cache is in use until `close`, or the end of a `with`.
    """

    source: Source
    """The data set, with targets, names and the images themselves."""
    backbone: str
    at: str
    """The stage whose output the features are, or "pooled"."""
    views: int
    image_shape: tuple[int, ...]
    """The shape of the features of one view of an image."""
    num_computed: int
    """The views that the network computed for this table; the cache had all others."""
    cache: FeatureCache
    split: SplitPoint
    entries: npt.NDArray[Any]
    """The places (N, V) in the store of the cache."""
    closed: bool = field(default=False, init=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *((self.views,) if self.views > 1 else ()), *self.image_shape)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, labels or numbers; none for images without."""
        return self.source.classes

    @property
    def outputs(self) -> str:
        """The noun for these names: "classes", "labels" or "numbers"."""
        return task_named(self.source.task).outputs

    @cached_property
    def targets(self) -> Targets:
        """(N,) positions of classes, or (N, K): 0 or 1 for each label, or numbers. K is 0 without
        labels."""
        return np.concatenate([part.targets for part in self.source.parts.values()])

    @cached_property
    def parts(self) -> tuple[PartName, ...]:
        """The part of each image, "train", "val" or "test"; data without parts are "train"."""
        return tuple(name for name, part in self.source.parts.items() for _ in range(len(part)))

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The name of each image: of a file its path in the data folder."""
        return tuple(part.images.name(index) for part, index in self._places())

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """The digest of each image's content: blake2b, 32 hex digits."""
        return tuple(part.images.digest(index).hex() for part, index in self._places())

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, which: Which) -> Floats:
        if self.closed:
            raise UsageError("the table of features is closed. Read it before, or make it again: it computes nothing.")
        entries = self.entries[np.arange(len(self))[which]]
        entries = entries if self.views > 1 else entries[..., 0]
        shape = (*entries.shape, *self.image_shape)
        if not entries.size:
            return np.empty(shape, np.float32)
        rows = as_features(self.cache.store(self.split).read(entries.reshape(-1)), self.cache.dtype)
        features: Floats = from_rows(rows, self.cache.shapes[self.split]).reshape(shape).numpy()
        return features

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)

    def chunks(self) -> Iterator[Floats]:
        """All features, some images at a time."""
        step = images_at_once((self.views, *self.image_shape))
        return (self[start : start + step] for start in range(0, len(self), step))

    def close(self) -> None:
        """Close the files of the cache."""
        self.closed = True
        self.cache.close()

    def __enter__(self) -> FeatureTable:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _places(self) -> Iterator[tuple[Part, int]]:
        return ((part, index) for part in self.source.parts.values() for index in range(len(part)))
