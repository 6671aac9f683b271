"""Work of the device on a batch of bytes: cropping and normalising.

Shapes: B batch, C channels, H height, W width, S side of a crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from zoo_core.data.transforms import Crop, Pixels
from zoo_core.devices.transfer import to_device
from zoo_core.weights_specs import Interpolation, Preprocessing

REACH: dict[Interpolation, float] = {"nearest": 1.0, "bilinear": 1.0, "bicubic": 2.0}
"""The reach of a resampling filter, in pixels of the smaller of the two images."""
CUBIC = -0.5  # as in Pillow
TOGETHER = 64  # images cropped at once: as floats they take 67 MB at 224 pixels


def normalised(pixels_BCHW: Tensor, preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Bytes (B, C, H, W) as floats on `device`, channels-last: scaled to 0..1, normalised by
    channel."""
    pixels_BHWC = to_device(pixels_BCHW, device).permute(0, 2, 3, 1).contiguous()
    batch, height, width, channels = pixels_BHWC.shape
    scale, shift = _row_of_factors(preprocessing, width, device)
    rows = pixels_BHWC.view(batch, height, width * channels).float().mul_(scale).add_(shift)
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


@lru_cache(maxsize=8)  # else the device would wait for a copy in every step
def _row_of_factors(preprocessing: Preprocessing, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and shift of a whole row (W * C): a broadcast over three channels is several times
    slower."""
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    with torch.inference_mode(False):  # they are shared with code that trains
        scale = torch.tensor([1 / (255 * std) for _, std in pairs], device=device).repeat(width)
        return scale, torch.tensor([-mean / std for mean, std in pairs], device=device).repeat(width)


def crop_together(pairs: Sequence[tuple[Pixels, Crop]], preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Apply a crop to each resized image, as `transforms.apply_crop` does: bytes (B, C, S, S).

    Resizing is linear: a row of the result is a weighted sum of the image's rows, a column one of
    its columns. A batch is therefore two matrix products with Pillow's weights. Pillow also rounds
    between the two, so that on photographs single values differ by one level of 256.
    """
    parts = [_crop(pairs[start : start + TOGETHER], preprocessing, device) for start in range(0, len(pairs), TOGETHER)]
    return torch.cat(parts)


def _crop(pairs: Sequence[tuple[Pixels, Crop]], preprocessing: Preprocessing, device: torch.device) -> Tensor:
    how, side = preprocessing.interpolation, preprocessing.size
    needed = [_needed(pixels, crop, how, side) for pixels, crop in pairs]
    height, width = (max(pixels.shape[axis] for pixels, _ in needed) for axis in (0, 1))
    padded_BHWC = np.zeros((len(pairs), height, width, pairs[0][0].shape[2]), np.uint8)
    for place, (pixels, _) in enumerate(needed):
        padded_BHWC[place, : pixels.shape[0], : pixels.shape[1]] = pixels
    left, top, right, bottom, flipped, heights, widths = to_device(
        torch.tensor(
            [(*crop.box, crop.flipped, *pixels.shape[:2]) for pixels, crop in needed], dtype=torch.float64
        ).float(),
        device,
    ).unbind(1)
    rows_BSH = _weights(top, bottom, heights, height, side, how)
    columns_BSW = _weights(left, right, widths, width, side, how)
    columns_BSW = torch.where(flipped[:, None, None] > 0, columns_BSW.flip(1), columns_BSW)
    pixels_BCHW = to_device(torch.from_numpy(padded_BHWC), device).permute(0, 3, 1, 2).float()
    values_BCSS = rows_BSH[:, None] @ (pixels_BCHW @ columns_BSW[:, None].transpose(2, 3))
    levels_BCSS = values_BCSS.add_(0.5).floor_().clamp_(0, 255).to(torch.uint8)
    return levels_BCSS.contiguous(memory_format=torch.channels_last)


def _needed(pixels: Pixels, crop: Crop, how: Interpolation, side: int) -> tuple[Pixels, Crop]:
    """The region of an image that a crop's filter reaches, and the crop relative to that region."""
    left, top, right, bottom = crop.box
    x_reach, y_reach = (1 + math.ceil(REACH[how] * max(1.0, length / side)) for length in (right - left, bottom - top))
    x, y = max(0, math.floor(left) - x_reach), max(0, math.floor(top) - y_reach)
    region = pixels[y : math.ceil(bottom) + y_reach, x : math.ceil(right) + x_reach]
    return region, Crop((left - x, top - y, right - x, bottom - y), crop.flipped)


def _weights(begin: Tensor, end: Tensor, lengths: Tensor, length: int, side: int, how: Interpolation) -> Tensor:
    """The weights (B, S, `length`) by which pixels from `begin` to `end` become `side` new ones.

    Pixels behind an image's own length have weight 0.
    """
    step = ((end - begin) / side)[:, None, None]
    places = torch.arange(side, device=begin.device)[:, None]
    centres = begin[:, None, None] + (places + 0.5) * step
    pixels = torch.arange(length, device=begin.device) + 0.5
    inside = pixels < lengths[:, None, None]
    if how == "nearest":
        return ((centres.floor() + 0.5 == pixels) & inside).float()
    distance = (pixels - centres).abs() / step.clamp(min=1.0)
    weights = _bicubic(distance) if how == "bicubic" else (1 - distance).clamp(min=0)
    weights = weights * inside
    return weights / weights.sum(2, keepdim=True)


def _bicubic(distance: Tensor) -> Tensor:
    """Keys, Cubic convolution interpolation for digital image processing (1981)."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
