"""What stands at a cut for every image: computed once, kept on disk, read again in every epoch and by later runs.

Shapes: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
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
from zoo_core.devices.transfer import is_accelerator, to_cpu_async, to_device
from zoo_core.devices.world import World
from zoo_core.errors import TrainingError
from zoo_core.frozen.inputs import CachedFeatures, IntArray, group_size
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.frozen.storage_types import ON_DISK, as_features, as_rows, type_of
from zoo_core.settings import Augment, CacheType
from zoo_core.specs import Preprocessing

CacheItem = tuple[Batches, ImageView]
Read = list[tuple[Preprocessing | None, Tensor]]
"""Bytes of images with how they are to be normalised, or what is kept at a cut."""
Outputs = dict[SplitPoint, npt.NDArray[Any]]


@dataclass(frozen=True)
class CacheItems:
    """What is to be kept, one after the other: so many views of every image of each part.

    Rows have numbers and are made when they are looked at: a list of a million would take more memory than the network.
    """

    parts: tuple[tuple[Batches, int], ...]

    def __len__(self) -> int:
        return sum(len(batches.part) * views for batches, views in self.parts)

    def __getitem__(self, number: int) -> CacheItem:
        for batches, views in self.parts:
            count = len(batches.part) * views
            if number < count:
                return batches, divmod(number, views)
            number -= count
        raise IndexError(number)

    def __iter__(self) -> Iterator[CacheItem]:
        return (self[number] for number in range(len(self)))


@dataclass
class FeatureCache:
    """Keeps what a front gives for the images of a run."""

    root: Path
    identity: str
    """What stands for the code of the front: its plugin, version and options."""
    shapes: Mapping[SplitPoint, tuple[int, ...]]
    augment: Augment
    dtype: CacheType
    device: torch.device
    workers: int
    keys: Mapping[SplitPoint, str] = field(default_factory=dict)
    num_computed: int = 0
    """How many images went through a stage of the front; 0 when everything was found."""
    _stores: dict[SplitPoint, Store] = field(default_factory=dict)

    def store(self, cut: SplitPoint) -> Store:
        if cut not in self._stores:
            self._stores[cut] = Store(self.folder(cut), ON_DISK[self.dtype])
        return self._stores[cut]

    def folder(self, cut: SplitPoint) -> Path:
        return self.root / "features" / f"{self.keys[cut]}-{self.dtype}"

    def close(self) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def build(
        self,
        make_front: Callable[[], FrozenPrefix],
        splits: Iterable[SplitPoint],
        rows: CacheItems,
        world: World,
        watch: Watch,
    ) -> None:
        """Compute and keep what is missing at these cuts, each process its share of what its machine lacks; `watch` is
        told (rows done, rows)."""
        ordered = sorted(splits)
        missing = self._missing(ordered, rows)
        beside = world.ranks_sharing(self.root)  # which waits: nobody adds before everybody has looked
        with world.raise_together():
            if len(missing):
                start = self._start(ordered[0], rows, missing)
                size = group_size(self.device)
                groups = [missing[place : place + size] for place in range(0, len(missing), size)]
                self._keep(make_front(), start, rows, world.shard(groups, beside), watch)
        for cut in ordered:
            self.store(cut).refresh()

    def _keep(
        self, front: FrozenPrefix, start: SplitPoint, rows: CacheItems, groups: Sequence[IntArray], watch: Watch
    ) -> None:
        done, total = 0, sum(map(len, groups))
        try:
            for group, outputs in self._outputs(
                front, start, ([rows[int(number)] for number in group] for group in groups)
            ):
                keys = [self.key(*row) for row in group]
                for cut, arrays in outputs.items():
                    self.store(cut).add(keys, list(arrays))
                done += len(group)
                self.num_computed += len(group)
                watch(done, total)
        finally:
            for cut in front.splits:
                self.store(cut).commit()

    def kept(self, cut: SplitPoint, batches: Batches, views: int) -> CachedFeatures:
        """The feed of a part's rows, which were built."""
        entries, found = self.store(cut).find(self.key(*row) for row in CacheItems(((batches, views),)))
        if not found.all():
            raise TrainingError(f"the cache {self.folder(cut)} was removed or changed during the run. Start again.")
        flat = len(self.shapes[cut]) == 1
        return CachedFeatures(self.store(cut), entries.reshape(-1, views), self.dtype, self.device, flat)

    def key(self, batches: Batches, seen: ImageView) -> bytes:
        """The key of one image's view: its content, and for all but the centre how it was varied."""
        index, view = seen
        digest = batches.part.images.digest(index)
        if view == CENTRE:
            return digest
        return hashlib.blake2b(digest + f"{self.augment} {view}".encode(), digest_size=16).digest()

    def _missing(self, splits: Sequence[SplitPoint], rows: CacheItems) -> IntArray:
        """The numbers of the rows that are not kept at all of these cuts; of equal images only the first."""
        keys = np.fromiter((self.key(*row) for row in rows), "S16", len(rows))
        there = np.logical_and.reduce([self.store(cut).find(keys)[1] for cut in splits])
        missing = np.flatnonzero(~there)
        _, first = np.unique(keys[missing], return_index=True)
        return missing[np.sort(first)]

    def _start(self, first: SplitPoint, rows: CacheItems, missing: IntArray) -> SplitPoint:
        """The latest cut up to the first of those asked for at which all missing rows are kept already, and exactly:
        what comes out must not depend on what happened to be there."""
        if self.dtype != "float32":
            return SplitPoint(0)
        keys = np.fromiter((self.key(*rows[int(number)]) for number in missing), "S16", len(missing))
        for stages in range(first.stages, 0, -1):
            cut = SplitPoint(stages)
            if cut <= first and self.folder(cut).is_dir() and self.store(cut).find(keys)[1].all():
                return cut
        return SplitPoint(0)

    def _outputs(
        self, front: FrozenPrefix, start: SplitPoint, groups: Iterable[Sequence[CacheItem]]
    ) -> Iterator[tuple[Sequence[CacheItem], Outputs]]:
        """Each group with what stands at each cut, in order. Lanes read the images. On a CPU they compute too, each with
        one thread; a device that computes apart is given a group while the one before is fetched."""
        apart = is_accelerator(self.device)
        threads = torch.get_num_threads()

        def lane(group: Sequence[CacheItem]) -> Read | Outputs:
            read = self._read(start, group)
            return read if apart else self._computed(front, start, read)()

        def begin(group: Sequence[CacheItem]) -> list[Future[Any]]:
            return [pool.submit(lane, group)]

        try:
            with (
                ThreadPoolExecutor(self.workers, "zoo-front", initializer=lambda: torch.set_num_threads(1)) as pool,
                closing(prefetch(groups, begin, 2 * self.workers)) as done,
            ):
                if apart:
                    computed = ((group, self._computed(front, start, read)) for group, (read,) in done)
                    yield from ((group, fetch()) for group, fetch in lagged(computed))
                else:
                    yield from ((group, outputs) for group, (outputs,) in done)
        finally:
            torch.set_num_threads(threads)

    def _read(self, start: SplitPoint, group: Sequence[CacheItem]) -> Read:
        """What a group begins with: images, or what is kept at an earlier cut."""
        if start.stages:
            store = self.store(start)
            entries, _ = store.find([self.key(*row) for row in group])
            return [(None, as_features(store.read(entries), self.dtype))]
        parts = groupby(group, key=lambda row: row[0])
        return [(batches.preprocessing, batches.load_batch([seen for _, seen in rows])) for batches, rows in parts]

    def _computed(self, front: FrozenPrefix, start: SplitPoint, read: Read) -> Callable[[], Outputs]:
        """Let the front compute; what comes back waits until that is done and gives what is to be kept."""
        inputs = torch.cat([self._begun(*part) for part in read])
        count = len(inputs)
        # Always as many images at once: the last bits of a result may depend on their number.
        padding = group_size(self.device) - count
        if padding > 0:
            inputs = torch.cat([inputs, inputs[-1:].expand(padding, *inputs.shape[1:])])
        found = front(inputs.contiguous(memory_format=torch.channels_last), start)
        outputs = {cut: output[:count] for cut, output in found.items() if cut != start}
        fetch = to_cpu_async({cut: self._to_storage(output) for cut, output in outputs.items()})
        return lambda: {cut: self._checked(kept, outputs[cut]) for cut, kept in fetch().items()}

    def _begun(self, preprocessing: Preprocessing | None, tensor: Tensor) -> Tensor:
        if preprocessing is not None:
            return normalised(tensor, preprocessing, self.device)
        return to_device(tensor, self.device).float().permute(0, 3, 1, 2)

    def _to_storage(self, output: Tensor) -> Tensor:
        """(B, C, H, W) as (B, H, W, C), and (B, F) as (B, 1, 1, F), in the type in which it is kept."""
        ordered = output.permute(0, 2, 3, 1) if output.ndim == 4 else output.flatten(1)[:, None, None]
        return ordered.to(type_of(self.dtype)).contiguous()

    def _checked(self, kept: Tensor, output: Tensor) -> npt.NDArray[Any]:
        if not kept.isfinite().all():
            if not output.isfinite().all():
                raise TrainingError("the features of the images are not finite numbers. Are the weights sound?")
            raise TrainingError(
                f"the frozen part of the network gives numbers that {self.dtype} cannot hold. "
                "Give --cache-dtype bfloat16 (less exact) or float32 (twice as large), or --cached-views 0 to keep nothing."
            )
        return as_rows(kept, self.dtype)
