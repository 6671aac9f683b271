"""The cache of features: the frozen prefix's outputs for every image, computed once and kept.

Shapes: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo_core.data.batches import Batches, ImageView
from zoo_core.data.on_device import normalised
from zoo_core.data.prefetch import lagged, prefetch
from zoo_core.data.scan import Watch
from zoo_core.data.store import Store
from zoo_core.data.transforms import CENTRE
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.precision import exact_float32
from zoo_core.devices.transfer import to_cpu_async, to_device
from zoo_core.devices.world import World
from zoo_core.errors import TrainingError
from zoo_core.frozen.bfloat16 import SUFFIX, note_of_bfloat16
from zoo_core.frozen.cache_items import CacheItem, CacheItems
from zoo_core.frozen.computing_alone import computing_alone
from zoo_core.frozen.inputs import CachedFeatures, IntArray, group_size
from zoo_core.frozen.keys import FeatureKey
from zoo_core.frozen.one_shape import OneShape
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.frozen.storage_types import ON_DISK, READ_AT_ONCE, as_features, as_rows, from_rows, to_rows
from zoo_core.frozen.taking_over import has_old, take_exact, take_old
from zoo_core.settings import CacheType
from zoo_core.settings.words import PrefixPrecision
from zoo_core.weights_specs import Preprocessing

GroupInputs = list[tuple[Preprocessing | None, Tensor]]
"""Bytes of images with their preprocessing, or features at an earlier split point."""
Outputs = dict[SplitPoint, npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass
class FeatureCache:
    """Computes, stores and finds the features of a run's images at its split points."""

    root: Path
    identity: str
    """Distribution, version and name of the backbone: see `prefix_keys`."""
    shapes: Mapping[SplitPoint, tuple[int, ...]]
    augment: str
    dtype: CacheType
    device: torch.device
    workers: int
    keys: Mapping[SplitPoint, FeatureKey] = field(default_factory=dict)
    message: Callable[[str], None] = lambda text: None
    num_computed: int = 0
    """Images that went through a stage of the prefix to be cached; 0 when all features were found."""
    precision: PrefixPrecision = "float32"
    """In which the prefix computes; the exact cache is always of float32."""
    tells_bfloat16: bool = False
    """Whether to say how much faster bfloat16 would compute many features."""
    exact: FeatureCache | None = None
    """The cache of the same features in float32: those that it has are rounded, not computed."""
    _stores: dict[Path, Store] = field(default_factory=dict, init=False)
    _proven: set[Path] = field(default_factory=set, init=False)
    """Stores whose arrays of this run have passed their proof."""

    def store(self, split: SplitPoint) -> Store:
        folder = self.folder(split)
        if folder not in self._stores:
            self._stores[folder] = Store(folder, ON_DISK[self.dtype], self.message)
        return self._stores[folder]

    def folder(self, split: SplitPoint) -> Path:
        return self.root / "features" / f"{self.keys[split].name}-{self.dtype}{SUFFIX[self.precision]}"

    def close(self) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def build(
        self,
        make_prefix: Callable[[], FrozenPrefix],
        splits: Iterable[SplitPoint],
        items: CacheItems,
        world: World,
        watch: Watch,
    ) -> None:
        """Compute and store the features that are missing at these split points, or are not those that were stored.

        Each process computes its share of those that its machine lacks; `watch` gets (items done, items).
        """
        ordered, prefix = sorted(splits), cache(make_prefix)
        missing = self._missing(ordered, items)
        alone = computing_alone(self.folder(ordered[-1]), len(missing), world, watch, self.message)
        with exact_float32(self.device), alone as has_waited:
            missing = self._missing(ordered, items) if has_waited else missing
            sharing, taken = world.ranks_sharing(self.root), 0  # a barrier: no process adds before all have looked
            with world.raise_together():
                if len(missing) and world.rank == sharing[0]:
                    taken = sum(take_old(self, split, prefix, items, missing) for split in ordered)
                    taken += sum(take_exact(self, split, items, missing) for split in ordered)
            if any(world.all_gather_object(taken)):
                missing = self._missing(ordered, items)
                world.barrier()
            with world.raise_together():
                if len(missing):
                    if self.tells_bfloat16 and (note := note_of_bfloat16(self, prefix(), items, missing)):
                        self.message(note)
                    start = self._start(ordered[0], items, missing)
                    size = group_size(self.device)
                    groups = [missing[place : place + size] for place in range(0, len(missing), size)]
                    stored = {split: missing[self.has(split, self.keys_of(items, missing))] for split in ordered}
                    self._compute(prefix(), start, items, world.shard(groups, sharing), stored, watch)
        for split in ordered:
            self.store(split).refresh()
            self._proven.add(self.folder(split))

    def lacking(self, splits: Iterable[SplitPoint], items: CacheItems) -> IntArray:
        """The numbers of the items that some split point lacks, here and in a store of 0.1.0."""
        keys = self.keys_of(items)
        held = [self.has(split, keys) | has_old(self, split, keys) for split in splits]
        return np.flatnonzero(~np.logical_and.reduce(held))

    def cached(self, split: SplitPoint, batches: Batches, views: int) -> CachedFeatures:
        """The features of a part, which `build` has stored."""
        entries, found = self.store(split).find(self.key(*item) for item in CacheItems(((batches, views),)))
        if not found.all():
            raise TrainingError(f"the cache {self.folder(split)} was changed during the run. Start again.")
        targets, shape = batches.part.targets, self.shapes[split]
        return CachedFeatures(self.store(split), entries.reshape(-1, views), targets, self.dtype, self.device, shape)

    def key(self, batches: Batches, seen: ImageView) -> bytes:
        """The key of one view of an image in a store: the digest of its content, with the augmentation unless the view is
        the centre."""
        index, view = seen
        digest = batches.part.images.digest(index)
        if view == CENTRE:
            return digest
        return hashlib.blake2b(digest + f"{self.augment} {view}".encode(), digest_size=16).digest()

    def keys_of(self, items: CacheItems, numbers: IntArray | None = None) -> npt.NDArray[np.bytes_]:
        """The keys of all items, or of those with these numbers."""
        chosen = items if numbers is None else items.take(numbers)
        return np.fromiter((self.key(*item) for item in chosen), "S16", len(chosen))

    def _missing(self, splits: Sequence[SplitPoint], items: CacheItems) -> IntArray:
        """The numbers of the items whose features are not proven at all these split points; of equal images the first."""
        keys = self.keys_of(items)
        missing = np.flatnonzero(~np.logical_and.reduce([self.has(split, keys) for split in splits]))
        _, first = np.unique(keys[missing], return_index=True)
        return missing[np.sort(first)]

    def has(self, split: SplitPoint, keys: npt.NDArray[np.bytes_]) -> Mask:
        """A mask of the keys whose features are stored and proven to be those that were stored."""
        store = self.store(split)
        store.refresh()
        entries, found = store.find(keys)
        if self.folder(split) in self._proven:
            return found
        places = np.flatnonzero(found)
        chunks = [places[start : start + READ_AT_ONCE] for start in range(0, len(places), READ_AT_ONCE)]
        with ThreadPoolExecutor(self.workers, "zoo-proof") as pool:
            for chunk, intact in zip(chunks, pool.map(lambda chunk: store.intact(entries[chunk]), chunks), strict=True):
                found[chunk] = intact
        return found

    def _start(self, first: SplitPoint, items: CacheItems, missing: IntArray) -> SplitPoint:
        """The latest split point up to `first` at which all missing items are stored in float32, or SplitPoint(0): nothing
        depends on rounded features that happened to be there."""
        if self.dtype != "float32" or self.precision != "float32":
            return SplitPoint(0)
        keys = self.keys_of(items, missing)
        for stages in range(first.stages, 0, -1):
            split = SplitPoint(stages)
            if split <= first and self.folder(split).is_dir() and self.has(split, keys).all():
                return split
        return SplitPoint(0)

    def _compute(
        self,
        prefix: FrozenPrefix,
        start: SplitPoint,
        items: CacheItems,
        groups: Sequence[IntArray],
        stored: Mapping[SplitPoint, IntArray],
        watch: Watch,
    ) -> None:
        """Compute the items of each group, and store what is not `stored` already."""
        done, total = 0, sum(map(len, groups))
        computed = self._outputs(prefix, start, (items.take(group) for group in groups))
        try:
            for numbers, (group, outputs) in zip(groups, computed, strict=True):
                keys = [self.key(*item) for item in group]
                for split, arrays in outputs.items():
                    new = np.flatnonzero(~_are_among(numbers, stored[split]))
                    self.store(split).add([keys[place] for place in new], [arrays[place] for place in new])
                done += len(group)
                self.num_computed += len(group)
                watch(done, total)
        finally:
            for split in prefix.splits:
                self.store(split).commit()

    def _outputs(
        self, prefix: FrozenPrefix, start: SplitPoint, groups: Iterable[Sequence[CacheItem]]
    ) -> Iterator[tuple[Sequence[CacheItem], Outputs]]:
        """Each group with its features at each split point, in order.

        Threads read the images. On a CPU each also computes, with one torch thread; an accelerator is given one group
        while the features of the one before are copied back.
        """
        apart = kind_of(self.device).is_accelerator
        threads = torch.get_num_threads()

        def work(group: Sequence[CacheItem]) -> GroupInputs | Outputs:
            inputs = self._load(start, group)
            return inputs if apart else self._start_prefix(prefix, start, inputs)()

        def begin(group: Sequence[CacheItem]) -> list[Future[Any]]:
            return [pool.submit(work, group)]

        try:
            with (
                ThreadPoolExecutor(self.workers, "zoo-prefix", initializer=lambda: torch.set_num_threads(1)) as pool,
                closing(prefetch(groups, begin, 2 * self.workers)) as done,
            ):
                if apart:
                    started = ((group, self._start_prefix(prefix, start, inputs)) for group, (inputs,) in done)
                    yield from ((group, fetch()) for group, fetch in lagged(started))
                else:
                    yield from ((group, outputs) for group, (outputs,) in done)
        finally:
            torch.set_num_threads(threads)

    def _load(self, start: SplitPoint, group: Sequence[CacheItem]) -> GroupInputs:
        """The inputs of a group: images, or features at an earlier split point."""
        if start.stages:
            store = self.store(start)
            entries, _ = store.find([self.key(*item) for item in group])
            return [(None, as_features(store.read(entries), self.dtype))]
        parts = groupby(group, key=lambda item: item[0])
        return [(batches.preprocessing, batches.load_batch([seen for _, seen in part])) for batches, part in parts]

    def _start_prefix(self, prefix: FrozenPrefix, start: SplitPoint, inputs: GroupInputs) -> Callable[[], Outputs]:
        """Start the prefix on a group. The function returned waits for the features and gives them as arrays."""
        images = torch.cat([self._to_inputs(start, *part) for part in inputs])
        outputs = self._one_shape.features(prefix, start, images)
        fetch = to_cpu_async({split: to_rows(output, self.dtype) for split, output in outputs.items()})
        return lambda: {split: self.checked(stored, outputs[split]) for split, stored in fetch().items()}

    @cached_property
    def _one_shape(self) -> OneShape:
        return OneShape(self.device, self.precision)

    def _to_inputs(self, start: SplitPoint, preprocessing: Preprocessing | None, tensor: Tensor) -> Tensor:
        if preprocessing is not None:
            return normalised(tensor, preprocessing, self.device)
        return from_rows(to_device(tensor, self.device), self.shapes[start])

    def compute(self, prefix: FrozenPrefix, group: Sequence[CacheItem]) -> Outputs:
        """The features of a few images, computed in this thread. Nothing is stored."""
        return self._start_prefix(prefix, SplitPoint(0), self._load(SplitPoint(0), group))()

    def checked(self, stored: Tensor, output: Tensor) -> npt.NDArray[Any]:
        """Features in the cache's type as arrays. Raises TrainingError unless all are finite."""
        if not stored.isfinite().all():
            if not output.isfinite().all():
                raise TrainingError("the features of the images are not finite numbers. Are the weights sound?")
            raise TrainingError(
                f"the frozen part of the network gives numbers that {self.dtype} cannot hold. "
                "Give --cache-dtype bfloat16 (less exact) or float32 (twice as large); a fine-tune with --cached-views 0 "
                "caches nothing."
            )
        return as_rows(stored, self.dtype)


def _are_among(numbers: IntArray, ascending: IntArray) -> Mask:
    """A mask of the numbers that are among others."""
    if not len(ascending):
        return np.zeros(len(numbers), np.bool_)
    places = np.searchsorted(ascending, numbers)
    found: Mask = ascending[np.minimum(places, len(ascending) - 1)] == numbers
    return found
