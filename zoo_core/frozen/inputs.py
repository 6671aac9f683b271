"""The inputs of a training or an evaluation, batch by batch: images, or the frozen prefix's
features of them, with targets.

Shapes: B batch, C channels, H height, W width, F features, K outputs.
"""

from __future__ import annotations

import itertools
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
from zoo_core.data.sources import Targets
from zoo_core.data.store import Store
from zoo_core.devices.fitting import Fitting
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.transfer import to_device
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.frozen.storage_types import READ_AT_ONCE, as_features, from_rows, item_bytes, type_of
from zoo_core.settings import CacheType

CPU_GROUP = 8  # images that pass the prefix together: activations between two layers stay in the processor's cache
DEVICE_GROUP = 64
HELD_SHARE = 0.25  # of a device's free memory, for features that it holds: the rest is for training

IntArray = npt.NDArray[np.int64]


class Inputs(Protocol):
    """The images of one part of the data, as the trained layers or a whole network take them."""

    def __len__(self) -> int:
        """The number of images."""

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[tuple[Tensor, Tensor]]:
        """(features, targets) of each group, on the device.

        Features are what stands at the phase's split point: images (B, C, H, W), feature maps (B, C, H, W), tokens
        (B, N, C) or pooled features (B, F). Targets are (B) for classes, else (B, K).
        """


@dataclass(frozen=True)
class ImageInputs:
    """Normalised images (B, C, H, W), for a network without a frozen prefix."""

    images: Batches
    device: torch.device

    def __len__(self) -> int:
        return len(self.images.part)

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[tuple[Tensor, Tensor]]:
        decoded, labelled = itertools.tee(groups)
        for pixels_BCHW, group in zip(self.images.batches_on(self.device, decoded), labelled, strict=True):
            images_BCHW = normalised(pixels_BCHW, self.images.preprocessing, self.device)
            yield images_BCHW, _targets(self.images.part.targets, group, self.device)


@dataclass(frozen=True)
class ComputedFeatures:
    """Features that the frozen prefix computes anew each time, so that every epoch sees fresh views
    of the images."""

    images: ImageInputs
    prefix: FrozenPrefix
    split: SplitPoint

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[tuple[Tensor, Tensor]]:
        for images_BCHW, targets in self.images.batches(groups):
            parts = self._fitting.in_parts(lambda part: self.prefix(part)[self.split], images_BCHW)
            yield torch.cat(parts).clone(), targets  # autograd may not see a tensor of inference mode

    @cached_property
    def _fitting(self) -> Fitting:
        return Fitting(group_size(self.images.device))


@dataclass(frozen=True)
class CachedFeatures:
    """Features read from the cache; `entries` (images, views) are their places in the store.

    An accelerator holds all of them in its memory if they fit in a share of it, so that no step waits for a transfer.
    """

    store: Store
    entries: npt.NDArray[Any]
    targets: Targets
    dtype: CacheType
    device: torch.device
    shape: tuple[int, ...]
    """The shape of one image's features."""

    def __len__(self) -> int:
        return len(self.entries)

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[tuple[Tensor, Tensor]]:
        for group in groups:
            images, views = np.transpose(group)
            features = from_rows(self._rows(images * self.entries.shape[1] + views), self.shape)
            yield features, _targets(self.targets, group, self.device)

    def _rows(self, places: IntArray) -> Tensor:
        if self._held is not None:
            return self._held[to_device(torch.from_numpy(places), self.device)]
        return to_device(as_features(self.store.read(self.entries.reshape(-1)[places]), self.dtype), self.device)

    @cached_property
    def _held(self) -> Tensor | None:
        """All rows in the memory of the device, or None if it is a CPU or has too little free
        memory."""
        entries = self.entries.reshape(-1)
        shape = entries["shape"][0].tolist()
        size = len(entries) * math.prod(shape) * item_bytes(self.dtype)
        if size > HELD_SHARE * kind_of(self.device).free_memory(self.device):
            return None
        held = torch.empty((len(entries), *shape), dtype=type_of(self.dtype), device=self.device)
        for start in range(0, len(entries), READ_AT_ONCE):
            rows = self.store.read(entries[start : start + READ_AT_ONCE])
            held[start : start + len(rows)] = as_features(rows, self.dtype)
        return held


def _targets(targets: Targets, group: Sequence[ImageView], device: torch.device) -> Tensor:
    return to_device(torch.from_numpy(targets[[index for index, _ in group]]), device)


def group_size(device: torch.device) -> int:
    """The number of images that pass a frozen prefix, or a network in evaluation, together."""
    return DEVICE_GROUP if kind_of(device).is_accelerator else CPU_GROUP


@dataclass(frozen=True)
class Sample:
    """Some images of a part."""

    inputs: Inputs
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[tuple[Tensor, Tensor]]:
        return self.inputs.batches([(self.indices[index], view) for index, view in group] for group in groups)
