"""What stands at a cut for every image: computed once, kept on disk, read again in every epoch and by later runs.

Shapes: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zoo_core.config import Augment
from zoo_core.data.batches import Batches, Seen, in_groups, normalised
from zoo_core.data.store import Store
from zoo_core.data.transforms import CENTRE
from zoo_core.errors import TrainingError
from zoo_core.training.front import Cut, Front
from zoo_core.training.world import World

CPU_GROUP = 8  # images that go through the front together: what is between two layers stays in the processor's cache
DEVICE_GROUP = 64

Rows = Sequence[tuple[Batches, Seen]]
Watch = Callable[[int, int], None]


class Feed(Protocol):
    """Gives a training or an evaluation what it computes with."""

    def of(self, groups: Iterable[Sequence[Seen]]) -> Iterator[Tensor]:
        """What stands at the cut for each group of images, on the device."""


@dataclass(frozen=True)
class Pixels:
    """Normalised images (B, C, H, W): nothing is frozen at the front."""

    batches: Batches
    device: torch.device

    def of(self, groups: Iterable[Sequence[Seen]]) -> Iterator[Tensor]:
        for pixels_BCHW in self.batches.of(groups):
            yield normalised(pixels_BCHW, self.batches.preprocessing, self.device)


@dataclass(frozen=True)
class Computed:
    """What the frozen front gives, computed anew each time: every epoch sees the images in fresh views."""

    pixels: Pixels
    front: Front
    cut: Cut

    def of(self, groups: Iterable[Sequence[Seen]]) -> Iterator[Tensor]:
        size = group_size(self.pixels.device)
        for images_BCHW in self.pixels.of(groups):
            parts = [self.front(part)[self.cut] for part in torch.split(images_BCHW, size)]
            yield torch.cat(parts).clone()  # autograd may not see a tensor of inference mode


@dataclass(frozen=True)
class Kept:
    """What was kept at a cut."""

    store: Store
    entries: dict[Seen, Any]
    device: torch.device
    flat: bool

    def of(self, groups: Iterable[Sequence[Seen]]) -> Iterator[Tensor]:
        for group in groups:
            rows = self.store.read(self.entries[one] for one in group)
            flow = torch.from_numpy(np.stack(rows)).to(self.device, non_blocking=True).float()
            yield flow.flatten(1) if self.flat else flow.permute(0, 3, 1, 2)


@dataclass
class Features:
    """Keeps what a front gives for the images of a run."""

    root: Path
    identity: str
    """What stands for the code of the front: its plugin, version and options."""
    shapes: Mapping[Cut, tuple[int, ...]]
    augment: Augment
    dtype: str
    device: torch.device
    lanes: int
    keys: Mapping[Cut, str] = field(default_factory=dict)
    forwards: int = 0
    """How many images went through a stage of the front; 0 when everything was found."""
    _stores: dict[Cut, Store] = field(default_factory=dict)

    def store(self, cut: Cut) -> Store:
        if cut not in self._stores:
            self._stores[cut] = Store(self.folder(cut), self.dtype)
        return self._stores[cut]

    def folder(self, cut: Cut) -> Path:
        return self.root / "features" / f"{self.keys[cut]}-{self.dtype}"

    def close(self) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def build(
        self, make_front: Callable[[], Front], cuts: Iterable[Cut], rows: Rows, world: World, watch: Watch
    ) -> None:
        """Compute and keep what is missing at these cuts, each process its share; `watch` is told (rows done, rows)."""
        ordered = sorted(cuts)
        missing = self._missing(ordered, rows)
        world.barrier()  # nobody adds before everybody has looked
        if missing:
            start = self._start(ordered[0], missing)
            groups = world.share(in_groups(missing, group_size(self.device)))
            with world.as_one():
                self._keep(make_front(), start, groups, watch)
            for cut in ordered:
                self.store(cut).refresh()

    def _keep(self, front: Front, start: Cut, groups: Sequence[Rows], watch: Watch) -> None:
        done, total = 0, sum(map(len, groups))
        try:
            for group, outputs in self._outputs(front, start, groups):
                keys = [self.key(*row) for row in group]
                for cut, arrays in outputs.items():
                    self.store(cut).add(keys, list(arrays))
                done += len(group)
                self.forwards += len(group)
                watch(done, total)
        finally:
            for cut in front.cuts:
                self.store(cut).commit()

    def kept(self, cut: Cut, batches: Batches, seen: Sequence[Seen]) -> Kept:
        """The feed of rows that were built."""
        entries, found = self.store(cut).find([self.key(batches, one) for one in seen])
        if not found.all():
            raise TrainingError(f"the cache {self.folder(cut)} was removed or changed during the run. Start again.")
        flat = len(self.shapes[cut]) == 1
        return Kept(self.store(cut), dict(zip(seen, entries, strict=True)), self.device, flat)

    def key(self, batches: Batches, seen: Seen) -> bytes:
        """The key of one image's view: its content, and for all but the centre how it was varied."""
        index, view = seen
        digest = batches.part.images.digest(index)
        if view == CENTRE:
            return digest
        return hashlib.blake2b(digest + f"{self.augment} {view}".encode(), digest_size=16).digest()

    def _missing(self, cuts: Iterable[Cut], rows: Rows) -> Rows:
        if not rows:
            return rows
        keys = [self.key(*row) for row in rows]
        there = np.logical_and.reduce([self.store(cut).find(keys)[1] for cut in cuts])
        first: dict[bytes, tuple[Batches, Seen]] = {}
        for key, row, found in zip(keys, rows, there, strict=True):
            if not found:
                first.setdefault(key, row)  # equal images are computed once
        return list(first.values())

    def _start(self, first: Cut, missing: Rows) -> Cut:
        """The latest cut up to the first of those asked for at which all missing rows are kept already, and exactly:
        what comes out must not depend on what happened to be there."""
        if self.dtype != "float32":
            return Cut(0)
        keys = [self.key(*row) for row in missing]
        for stages in range(first.stages, 0, -1):
            cut = Cut(stages)
            if cut <= first and self.folder(cut).is_dir() and self.store(cut).find(keys)[1].all():
                return cut
        return Cut(0)

    def _outputs(
        self, front: Front, start: Cut, groups: Sequence[Rows]
    ) -> Iterator[tuple[Rows, dict[Cut, np.ndarray[Any, Any]]]]:
        """Each group with what stands at each cut, in order. On a CPU each lane decodes and computes with one thread."""
        if self.device.type != "cpu":
            yield from ((group, self._through(front, start, group)) for group in groups)
            return
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(self.lanes, "zoo-front", initializer=lambda: torch.set_num_threads(1)) as pool:
            waiting: list[tuple[Rows, Future[dict[Cut, np.ndarray[Any, Any]]]]] = []
            coming = iter(groups)
            try:
                while True:
                    for group in islice(coming, 2 * self.lanes - len(waiting)):
                        waiting.append((group, pool.submit(self._through, front, start, group)))
                    if not waiting:
                        break
                    group, future = waiting.pop(0)
                    yield group, future.result()
            finally:
                for _, future in waiting:
                    future.cancel()
                pool.shutdown()
                torch.set_num_threads(threads)

    def _through(self, front: Front, start: Cut, group: Rows) -> dict[Cut, np.ndarray[Any, Any]]:
        flow = self._begin(start, group)
        # Always as many images at once: the last bits of a result may depend on their number.
        padding = group_size(self.device) - len(group)
        if padding > 0:
            flow = torch.cat([flow, flow[-1:].expand(padding, *flow.shape[1:])])
        outputs = front(flow.contiguous(memory_format=torch.channels_last), start)
        return {cut: self._as_kept(output[: len(group)]) for cut, output in outputs.items() if cut != start}

    def _begin(self, start: Cut, group: Rows) -> Tensor:
        if start.stages:
            store = self.store(start)
            entries, _ = store.find([self.key(*row) for row in group])
            return torch.from_numpy(np.stack(store.read(entries))).to(self.device).float().permute(0, 3, 1, 2)
        parts = groupby(group, key=lambda row: row[0])
        pixels = [(batches, batches.here([seen for _, seen in rows])) for batches, rows in parts]
        return torch.cat([normalised(bytes_BCHW, own.preprocessing, self.device) for own, bytes_BCHW in pixels])

    def _as_kept(self, output: Tensor) -> np.ndarray[Any, Any]:
        """(B, C, H, W) as (B, H, W, C), and (B, F) as (B, 1, 1, F), in the type in which it is kept."""
        ordered = output.permute(0, 2, 3, 1) if output.ndim == 4 else output.flatten(1)[:, None, None]
        kept = ordered.to(getattr(torch, self.dtype)).cpu().contiguous().numpy()
        if not np.isfinite(kept).all():
            if not output.isfinite().all():
                raise TrainingError("the features of the images are not finite numbers. Are the weights sound?")
            raise TrainingError(
                f"the frozen part of the network gives numbers that {self.dtype} cannot hold. "
                "Give --cache-dtype float32, or --views 0 to keep nothing."
            )
        return kept


def group_size(device: torch.device) -> int:
    """How many images go through the front together."""
    return CPU_GROUP if device.type == "cpu" else DEVICE_GROUP
