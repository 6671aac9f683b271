"""What a training computes with, group by group: images, or what the frozen front of the model makes of them.

Shapes: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo_core.data.batches import Batches, ImageView
from zoo_core.data.on_device import normalised
from zoo_core.data.store import Store
from zoo_core.devices.transfer import free_memory, is_accelerator, to_device
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.frozen.storage_types import as_features, item_bytes, type_of
from zoo_core.settings import CacheType

CPU_GROUP = 8  # images that go through the front together: what is between two layers stays in the processor's cache
DEVICE_GROUP = 64
HELD_SHARE = 0.25  # of a device's free memory, for features that it holds: the rest is for what learns
READ_AT_ONCE = 1024

IntArray = npt.NDArray[np.int64]


class Inputs(Protocol):
    """Gives a training or an evaluation what it computes with."""

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        """What stands at the cut for each group of images, on the device."""


@dataclass(frozen=True)
class ImageInputs:
    """Normalised images (B, C, H, W): nothing is frozen at the front."""

    images: Batches
    device: torch.device

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        for pixels_BCHW in self.images.batches_on(self.device, groups):
            yield normalised(pixels_BCHW, self.images.preprocessing, self.device)


@dataclass(frozen=True)
class ComputedFeatures:
    """What the frozen front gives, computed anew each time: every epoch sees the images in fresh views."""

    images: ImageInputs
    prefix: FrozenPrefix
    cut: SplitPoint

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        size = group_size(self.images.device)
        for images_BCHW in self.images.batches(groups):
            parts = [self.prefix(part)[self.cut] for part in torch.split(images_BCHW, size)]
            yield torch.cat(parts).clone()  # autograd may not see a tensor of inference mode


@dataclass(frozen=True)
class CachedFeatures:
    """What was kept at a cut; `entries` (images, views) are the places in the store.

    A device that computes apart holds all of it in its memory where that has room, and need not be given it again.
    """

    store: Store
    entries: npt.NDArray[Any]
    dtype: CacheType
    device: torch.device
    flat: bool

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[Tensor]:
        for group in groups:
            images, views = np.transpose(group)
            inputs = self._rows(images * self.entries.shape[1] + views).float()
            yield inputs.flatten(1) if self.flat else inputs.permute(0, 3, 1, 2)

    def _rows(self, places: IntArray) -> Tensor:
        if self._held is not None:
            return self._held[to_device(torch.from_numpy(places), self.device)]
        return to_device(as_features(self.store.read(self.entries.reshape(-1)[places]), self.dtype), self.device)

    @cached_property
    def _held(self) -> Tensor | None:
        entries = self.entries.reshape(-1)
        shape = entries["shape"][0].tolist()
        size = len(entries) * math.prod(shape) * item_bytes(self.dtype)
        if not is_accelerator(self.device) or size > HELD_SHARE * free_memory(self.device):
            return None
        held = torch.empty((len(entries), *shape), dtype=type_of(self.dtype), device=self.device)
        for start in range(0, len(entries), READ_AT_ONCE):
            rows = self.store.read(entries[start : start + READ_AT_ONCE])
            held[start : start + len(rows)] = as_features(rows, self.dtype)
        return held


def group_size(device: torch.device) -> int:
    """How many images go through the front together."""
    return CPU_GROUP if device.type == "cpu" else DEVICE_GROUP
