"""From an upright image to a square of bytes: the same way in evaluation, a seeded random way in training."""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.config import Augment
from zoo_core.data.decode import with_channels
from zoo_core.specs import Preprocessing

Pixels = npt.NDArray[np.uint8]
"""(C, H, W), 0 to 255."""

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
CROP_AREA = (0.7, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)


def evaluation_pixels(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize the shorter side to size / crop and keep the centre."""
    image = with_channels(image, preprocessing.channels)
    share = preprocessing.crop * min(image.size)
    left, top = (image.width - share) / 2, (image.height - share) / 2
    return _resized(image, (left, top, left + share, top + share), preprocessing)


def training_pixels(
    image: Image.Image, preprocessing: Preprocessing, augment: Augment, chance: random.Random
) -> Pixels:
    """Crop and flip as `augment` says; every random number comes from `chance`."""
    if augment == "none":
        return evaluation_pixels(image, preprocessing)
    if augment == "flip":
        pixels = evaluation_pixels(image, preprocessing)
    else:
        image = with_channels(image, preprocessing.channels)
        pixels = _resized(image, random_box(image.width, image.height, chance), preprocessing)
    return pixels[:, :, ::-1] if chance.random() < 0.5 else pixels


def random_box(width: int, height: int, chance: random.Random) -> tuple[float, float, float, float]:
    """A random part of an image (left, top, right, bottom): 70 to 100 % of its area, ratio 3:4 to 4:3."""
    for _ in range(10):
        area = width * height * chance.uniform(*CROP_AREA)
        ratio = math.exp(chance.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        box_width, box_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if box_width <= width and box_height <= height:
            left, top = chance.uniform(0, width - box_width), chance.uniform(0, height - box_height)
            return left, top, left + box_width, top + box_height
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _resized(image: Image.Image, box: tuple[float, float, float, float], preprocessing: Preprocessing) -> Pixels:
    size = (preprocessing.size, preprocessing.size)
    left, top, right, bottom = box
    inside = (max(left, 0.0), max(top, 0.0), min(right, image.width), min(bottom, image.height))
    square = image.resize(size, RESAMPLING[preprocessing.interpolation], box=inside)
    pixels = np.asarray(square, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
