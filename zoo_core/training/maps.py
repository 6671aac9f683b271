"""Feature maps varied behind the frozen front: flipped and shifted, as if the image had been, for next to no time.

A convolutional network nearly commutes with both, so one kept map stands for several. Pooled features cannot be varied.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from zoo_core.config import MapAugment

EDGE = "replicate"  # the cells at the edge are repeated: a row of zeros is nothing that a network has ever seen


@dataclass(frozen=True)
class MapVariation:
    """How the maps of a training are varied. Seed, epoch and image decide, and nothing else: a training that goes on
    sees what it would have seen, in however many processes."""

    augment: MapAugment
    seed: int

    def __call__(self, maps_BCHW: Tensor, indices: Sequence[int], epoch: int) -> Tensor:
        """Flip each map with a chance of one half and shift it by up to one cell to each side. A new tensor."""
        padded_BCHW = functional.pad(maps_BCHW, (1, 1, 1, 1), mode=EDGE)
        varied = [
            self._varied(padded_CHW, index, epoch) for padded_CHW, index in zip(padded_BCHW, indices, strict=True)
        ]
        return torch.stack(varied).contiguous(memory_format=torch.channels_last)

    def _varied(self, padded_CHW: Tensor, index: int, epoch: int) -> Tensor:
        chance = random.Random(f"{self.seed}/{epoch}/{index}")
        flipped = chance.random() < 0.5
        top, left = chance.randrange(3), chance.randrange(3)
        if "shift" not in self.augment:
            top = left = 1  # the middle
        height, width = padded_CHW.shape[-2] - 2, padded_CHW.shape[-1] - 2
        map_CHW = padded_CHW[:, top : top + height, left : left + width]
        return map_CHW.flip(-1) if flipped and "flip" in self.augment else map_CHW
