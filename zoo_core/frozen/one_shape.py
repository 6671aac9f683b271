"""The frozen prefix on groups of images of one size: the last bits of a feature must not depend on
the images that are computed with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zoo_core.devices.fitting import Fitting
from zoo_core.devices.precision import autocast, full_precision
from zoo_core.frozen.inputs import group_size
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.settings.words import PrefixPrecision


@dataclass(frozen=True)
class OneShape:
    """Computes features on a device in a precision. A smaller group is filled up; where the memory
    is too small for a group, smaller ones are computed from then on."""

    device: torch.device
    precision: PrefixPrecision

    def features(self, prefix: FrozenPrefix, start: SplitPoint, images: Tensor) -> dict[SplitPoint, Tensor]:
        """The features at each split point after `start`, from images or features there."""
        parts = self._fitting.in_parts(lambda part: self._computed(prefix, start, part), images)
        return {split: torch.cat([one[split] for one in parts]) for split in parts[0]}

    @cached_property
    def _fitting(self) -> Fitting:
        return Fitting(group_size(self.device), fills=True)

    def _computed(self, prefix: FrozenPrefix, start: SplitPoint, images: Tensor) -> dict[SplitPoint, Tensor]:
        count = len(images)
        shape = self._fitting.images, *images.shape[1:]
        layout = torch.channels_last if images.ndim == 4 else torch.contiguous_format
        full = torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=layout)
        full[:count], full[count:] = images, images[-1:]
        with autocast(self.precision, self.device):
            found = prefix(full, start)
        return {split: full_precision(output[:count]) for split, output in found.items() if split != start}
