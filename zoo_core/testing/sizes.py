"""The sizes of images that a backbone takes, found by trying them on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import torch

from zoo_core.layout import Layout
from zoo_core.model.chain import Chain

STEPS = (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 64, 128)
"""The steps between sizes that are tried, in pixels."""


@dataclass(frozen=True)
class ImageSizes:
    """The facts about sizes of a backbone, named like the fields of its spec."""

    stride: int
    size_step: int | None
    min_size: int


def image_sizes(base: Chain, layout: Layout, channels: int, size: int, *, least: int = 1) -> ImageSizes:
    """Find stride, step and smallest size of a backbone on the meta device, in evaluation mode, that takes `size`.

    `layout` and `channels` are those of its features. No size below `least` or the stride is tried.
    """

    def side(at: int) -> int | None:
        try:
            with torch.device("meta"), torch.no_grad():
                shape = tuple(base(torch.empty(1, 3, at, at)).shape[1:])
        except Exception:  # the network's own code, at a size that it may not take
            return None
        fits = layout.fits(shape) and layout.channels(shape) == channels
        return layout.grid(shape)[0] if fits else None

    here = side(size)
    if here is None:
        raise ValueError(f"at {size} pixels the backbone does not put out {layout} of {channels} channels")
    rough = round(size / here)
    power = 2 ** round(log2(rough))  # borders make the map larger or smaller than the stride alone
    stride = next((one for one in dict.fromkeys((power, rough)) if (side(size + 8 * one) or 0) - here == 8), None)
    if stride is None:
        return ImageSizes(rough, None, size)
    step = next((step for step in STEPS if size % step == 0 and side(size + step)), None)
    if step is None:
        return ImageSizes(stride, None, size)
    first = max(least, stride)
    smaller = range(first + -first % step, size, step)
    return ImageSizes(stride, step, next(filter(side, smaller), size))
