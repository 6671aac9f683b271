"""Images of a part as batches of bytes. Threads decode ahead; what was made small once is kept where a store is given.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from zoo_core.data.on_device import cut_together
from zoo_core.data.prefetch import prefetch
from zoo_core.data.sources import Part
from zoo_core.data.store import Store
from zoo_core.data.transforms import CENTRE, Crop, Pixels, crop_of, cut, resized, shorter_side
from zoo_core.data.windows import Windows
from zoo_core.devices.transfer import is_accelerator, to_device
from zoo_core.settings import Augment
from zoo_core.specs import Preprocessing

T = TypeVar("T")
AHEAD = 3  # batches that are decoded while one is computed

ImageView = tuple[int, int]
"""An image of a part by its position, and the number of its view."""


@dataclass(frozen=True)
class Batches:
    """The images of a part, as the network sees them."""

    part: Part
    preprocessing: Preprocessing
    batch_size: int
    workers: int
    augment: Augment = "none"
    resized: Store | None = None
    """Where images that were made small are kept, for later epochs and runs."""

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each image once, as in evaluation: bytes (B, C, H, W), and targets (B) or (B, K)."""
        groups = [[(index, CENTRE) for index in group] for group in in_groups(range(len(self.part)), self.batch_size)]
        for group, pixels_BCHW in zip(groups, self.batches(groups), strict=True):
            yield pixels_BCHW, self.targets([index for index, _ in group])

    def targets(self, indices: Sequence[int]) -> Tensor:
        """The targets (B) or (B, K) of these images."""
        return torch.from_numpy(self.part.targets[np.asarray(indices)])

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        """Bytes (B, C, H, W), in channels-last order, of each group; the next ones are decoded meanwhile."""
        return map(_batch, self.map_images(groups, self._cut))

    def batches_on(self, device: torch.device, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        """`of`, on a device. One that computes apart cuts out itself what is cropped by chance, a batch at once."""
        if self.augment == "crop-flip" and is_accelerator(device):
            return (
                cut_together(pairs, self.preprocessing, device) for pairs in self.map_images(groups, lambda *pair: pair)
            )
        return (to_device(pixels_BCHW, device) for pixels_BCHW in self.batches(groups))

    def map_images(self, groups: Iterable[Sequence[ImageView]], work: Callable[[Pixels, Crop], T]) -> Iterator[list[T]]:
        """For each group what `work` makes of each image that was made small and what is to be seen of it. Threads do it
        for the next groups meanwhile."""

        def begin(group: Sequence[ImageView]) -> list[Future[tuple[T, Pixels | None]]]:
            return [pool.submit(self._one, work, index, view) for index, view in group]

        with ThreadPoolExecutor(self.workers, "zoo-decode") as pool, closing(prefetch(groups, begin, AHEAD)) as done:
            for group, results in done:
                yield self._keeping(group, results)
        if self.resized is not None:
            self.resized.commit()

    def load_batch(self, group: Sequence[ImageView]) -> Tensor:
        """Bytes (B, C, H, W) of one group, read in this thread; nothing is kept."""
        read = {index: self._small(index) for index in {index for index, _ in group}}
        return _batch([self._cut(read[index][0], self._crop(*read[index][:2], view)) for index, view in group])

    def _keeping(self, group: Sequence[ImageView], results: list[tuple[T, Pixels | None]]) -> list[T]:
        if self.resized is not None:
            new = {index: small for (index, _), (_, small) in zip(group, results, strict=True) if small is not None}
            if new:
                self.resized.add([self.part.images.digest(index) for index in new], list(new.values()))
        return [result for result, _ in results]

    def _one(self, work: Callable[[Pixels, Crop], T], index: int, view: int) -> tuple[T, Pixels | None]:
        """What `work` makes of an image, and the image made small where it was not in the store yet."""
        small, digest, new = self._small(index)
        return work(small, self._crop(small, digest, view)), small if new else None

    def _crop(self, small: Pixels, digest: bytes, view: int) -> Crop:
        return crop_of(small, self.preprocessing.size, self.augment, view, digest)

    def _cut(self, small: Pixels, crop: Crop) -> Pixels:
        return cut(small, crop, self.preprocessing)

    def _small(self, index: int) -> tuple[Pixels, bytes, bool]:
        """An image made small, its digest, and whether it is not in the store yet."""
        digest = self.part.images.digest(index)
        if self.resized is not None:
            entry, found = self.resized.find([digest])
            if found[0]:
                return self.resized.read(entry)[0], digest, False
        image = self.part.images.read(index, at_least=shorter_side(self.preprocessing))
        return resized(image, self.preprocessing), digest, True


def resized_store(root: Path, preprocessing: Preprocessing) -> Store:
    """Where images made small for this preprocessing are kept."""
    side, how = shorter_side(preprocessing), preprocessing.interpolation
    name = blake2b(f"1 {side} {how} {preprocessing.channels}".encode(), digest_size=16).hexdigest()
    return Store(root / "pixels" / name, np.uint8)


def _batch(pixels: Sequence[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def in_groups(order: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut a sequence into groups of `size`; the last may be shorter."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def training_groups(
    count: int, size: int, *, seed: int, epoch: int, windows: Windows | None = None, least: int = 2
) -> list[Sequence[int]]:
    """The images of each step of an epoch: all of them once, in the order that seed and epoch decide.

    Where not all are on disk at once they come window by window. If fewer than `least` are left over they join the step
    before: batch normalisation cannot learn from a single one.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(count) if windows is None else windows.order(generator)
    groups = in_groups([int(index) for index in order], size)
    if len(groups) > 1 and len(groups[-1]) < min(least, size):
        groups[-2:] = [[*groups[-2], *groups[-1]]]
    return groups


def training_steps(count: int, size: int, *, least: int = 2) -> int:
    """How many groups `training_groups` gives."""
    full, rest = divmod(count, size)
    return max(1, full + (rest >= min(least, size)))


def default_workers() -> int:
    """As many decoding threads as there are cores to use, and no more than 16."""
    return max(1, min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
