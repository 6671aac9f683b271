"""Batches of a part's images as bytes. Threads decode ahead; resized images may be stored on disk.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo_core.data.augmentation import UNCHANGED, Augmentation
from zoo_core.data.decode import READER
from zoo_core.data.decoders import Decoders
from zoo_core.data.on_device import crop_together
from zoo_core.data.prefetch import prefetch
from zoo_core.data.sources import Part, content_of
from zoo_core.data.store import Store
from zoo_core.data.transforms import CENTRE, Crop, Pixels, apply_crop, crop_of, decoded_side, resized, resized_side
from zoo_core.data.windows import Windows
from zoo_core.devices.cores import usable_cores
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.transfer import to_device
from zoo_core.weights_specs import Preprocessing

T = TypeVar("T")
PREFETCHED = 3  # batches that are decoded while one is computed

ImageView = tuple[int, int]
"""The index of an image in its part, and the number of its view."""


@dataclass(frozen=True)
class Batches:
    """The images of a part, preprocessed for a network."""

    part: Part
    preprocessing: Preprocessing
    batch_size: int
    workers: int
    augment: Augmentation = UNCHANGED
    resized: Store | None = None
    """The store of resized images, for later epochs and runs; None: every epoch decodes."""
    decoders: Decoders | None = None
    """The processes that decode for this preprocessing; None: the threads do."""

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each image once, in its evaluation view: bytes (B, C, H, W) and targets (B) or (B, K)."""
        groups = [[(index, CENTRE) for index in group] for group in in_groups(range(len(self.part)), self.batch_size)]
        for group, pixels_BCHW in zip(groups, self.batches(groups), strict=True):
            yield pixels_BCHW, self.targets([index for index, _ in group])

    def targets(self, indices: Sequence[int]) -> Tensor:
        """The targets (B) or (B, K) of these images."""
        return torch.from_numpy(self.part.targets[np.asarray(indices)])

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        """Bytes (B, C, H, W) of each group, channels-last in memory; threads decode the next
        ones."""
        return map(_batch, self.map_images(groups, self._view))

    def batches_on(self, device: torch.device, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        """`batches` on a device. An accelerator computes random crops itself, a whole batch at
        once, where nothing follows them."""
        is_crop = "crop" in self.augment.geometry and not self.augment.operations
        if is_crop and kind_of(device).is_accelerator:
            return (
                crop_together(pairs, self.preprocessing, device)
                for pairs in self.map_images(groups, lambda pixels, *view: (pixels, self._crop(pixels, *view)))
            )
        return (to_device(pixels_BCHW, device) for pixels_BCHW in self.batches(groups))

    def map_images(
        self, groups: Iterable[Sequence[ImageView]], work: Callable[[Pixels, int, bytes], T]
    ) -> Iterator[list[T]]:
        """Yield for each group the results of `work(resized image, view, digest)`, in order.

        Threads prefetch the next groups. Newly resized images go to the store.
        """

        def begin(group: Sequence[ImageView]) -> list[Future[tuple[T, Pixels | None]]]:
            return [pool.submit(self._process, work, index, view) for index, view in group]

        with (
            ThreadPoolExecutor(self.workers, "zoo-decode") as pool,
            closing(prefetch(groups, begin, PREFETCHED)) as done,
        ):
            for group, results in done:
                self._store(group, [new for _, new in results])
                yield [result for result, _ in results]
        if self.resized is not None:
            self.resized.commit()

    def load_batch(self, group: Sequence[ImageView]) -> Tensor:
        """Bytes (B, C, H, W) of one group, decoded in this thread; nothing is stored."""
        loaded = {index: self._load_resized(index)[:2] for index in {index for index, _ in group}}
        shown = [(*loaded[index], view) for index, view in group]
        return _batch([self._view(pixels, view, digest) for pixels, digest, view in shown])

    def _store(self, group: Sequence[ImageView], new: Sequence[Pixels | None]) -> None:
        """Add newly resized images to the store, each once."""
        if self.resized is not None:
            added = {index: pixels for (index, _), pixels in zip(group, new, strict=True) if pixels is not None}
            if added:
                self.resized.add([self.part.images.digest(index) for index in added], list(added.values()))

    def _process(self, work: Callable[[Pixels, int, bytes], T], index: int, view: int) -> tuple[T, Pixels | None]:
        """The result of `work` on one image, and the resized image unless the store has it."""
        pixels, digest, is_new = self._load_resized(index)
        return work(pixels, view, digest), pixels if is_new else None

    def _crop(self, pixels: Pixels, view: int, digest: bytes) -> Crop:
        return crop_of(pixels, self.preprocessing.size, self.augment.geometry, view, digest)

    def _view(self, pixels: Pixels, view: int, digest: bytes) -> Pixels:
        """The square of a view: cropped from the resized image, then augmented."""
        square = apply_crop(pixels, self._crop(pixels, view, digest), self.preprocessing)
        return self.augment.changed(square, view, digest)

    def _load_resized(self, index: int) -> tuple[Pixels, bytes, bool]:
        """A resized image, the digest of its content, and whether the store lacks it."""
        digest = self.part.images.digest(index)
        if self.resized is not None:
            pixels = self.resized.get(digest)
            if pixels is not None:
                return pixels, digest, False
        pixels = self._resized_elsewhere(index)
        if pixels is None:
            image = self.part.images.read(index, at_least=decoded_side(self.preprocessing))
            pixels = resized(image, self.preprocessing)
        return pixels, digest, True

    def _resized_elsewhere(self, index: int) -> Pixels | None:
        """A resized image that another process decoded; None where this one has to."""
        content = None if self.decoders is None else content_of(self.part.images, index)
        return None if self.decoders is None or content is None else self.decoders.resized(content)


def resized_store(
    root: Path, preprocessing: Preprocessing, message: Callable[[str], None] = lambda text: None
) -> Store:
    """The store of the images that are resized for this preprocessing, by these rules of reading
    and this Pillow.

    `message` is called with one line about damaged content.
    """
    side, how = resized_side(preprocessing), preprocessing.interpolation
    rules = f"{READER} {side} {how} {preprocessing.channels}"
    if preprocessing.fit != "crop":
        rules += f" {preprocessing.fit} {preprocessing.mean}"
    name = blake2b(rules.encode(), digest_size=16).hexdigest()
    return Store(root / "pixels" / name, np.uint8, message)


def _batch(pixels: Sequence[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def in_groups(order: Sequence[T], size: int) -> list[Sequence[T]]:
    """A sequence in groups of `size`; the last may be shorter."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def training_groups(
    count: int,
    size: int,
    *,
    seed: int,
    epoch: int,
    windows: Windows | None = None,
    chances: npt.NDArray[np.float64] | None = None,
) -> list[Sequence[int]]:
    """The images of each step of an epoch: every index once, shuffled by seed and epoch alone.

    With `chances` (count), which add up to 1, as many are drawn by them, with replacement. With
    `windows` the shuffle goes window by window. A last single image joins the group before it, unless
    all are alone: batch norm cannot train on one.
    """
    generator = np.random.default_rng([seed, epoch])
    if chances is not None:
        order = generator.choice(count, size=count, p=chances)
        order = order if windows is None else order[windows.take(order.tolist()).order(generator)]
    else:
        order = generator.permutation(count) if windows is None else windows.order(generator)
    groups = in_groups([int(index) for index in order], size)
    if len(groups) > 1 and len(groups[-1]) == 1 < size:
        groups[-2:] = [[*groups[-2], *groups[-1]]]
    return groups


def training_steps(count: int, size: int) -> int:
    """The number of groups that `training_groups` returns."""
    full, rest = divmod(count, size)
    return max(1, full + (rest > 1))


def default_workers() -> int:
    """The number of decoding threads: one a usable core, 16 at most."""
    return min(16, usable_cores())
