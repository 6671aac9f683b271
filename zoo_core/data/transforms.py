"""From an upright image to a square of bytes, in two steps: made small once, then seen in one of its views.

View 0 is that of evaluation: the centre. Every other view is cropped and flipped by chance, and its number and the image's
content decide how, so that it can be kept and seen again.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.decode import with_channels
from zoo_core.settings import Augment
from zoo_core.specs import Preprocessing

Pixels = npt.NDArray[np.uint8]
"""(H, W, C), 0 to 255."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels from the upper left corner."""

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
CROP_AREA = (0.7, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
CENTRE = 0
FRESH = 2**32
"""Views from this number on belong to one epoch of one seed; those below are seen again."""


def fresh_view(seed: int, epoch: int) -> int:
    """The number of the view that only this epoch of this seed has."""
    return (seed + 1) * FRESH + epoch


def shorter_side(preprocessing: Preprocessing) -> int:
    """The length in pixels to which the shorter side of every image is resized."""
    return max(preprocessing.size, round(preprocessing.size / preprocessing.crop))


def resized(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize the shorter side to size / crop: all that training and evaluation look at."""
    image = with_channels(image, preprocessing.channels)
    share = shorter_side(preprocessing) / min(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    if size != image.size:
        image = image.resize(size, RESAMPLING[preprocessing.interpolation])
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


@dataclass(frozen=True)
class Crop:
    """What a view shows of an image that was made small: a box in pixels, and whether left and right are exchanged."""

    box: Box
    flipped: bool = False


def crop_of(small: Pixels, size: int, augment: Augment, view: int, digest: bytes) -> Crop:
    """What a view shows."""
    height, width = small.shape[:2]
    left, top = (width - size) // 2, (height - size) // 2
    centre = left, top, left + size, top + size
    if view == CENTRE or augment == "none":
        return Crop(centre)
    chance = random.Random(f"{digest.hex()}/{view}")
    flipped = chance.random() < 0.5 if view >= FRESH else view % 2 == 1
    return Crop(centre if augment == "flip" else random_box(width, height, chance), flipped)


def random_box(width: int, height: int, chance: random.Random) -> Box:
    """A random part of an image: 70 to 100 % of its area, ratio 3:4 to 4:3."""
    for _ in range(10):
        area = width * height * chance.uniform(*CROP_AREA)
        ratio = math.exp(chance.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        box_width, box_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if box_width <= width and box_height <= height:
            left, top = chance.uniform(0, width - box_width), chance.uniform(0, height - box_height)
            return left, top, min(left + box_width, width), min(top + box_height, height)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def cut(small: Pixels, crop: Crop, preprocessing: Preprocessing) -> Pixels:
    """The box of a crop, resized to (size, size, C) unless it has that size."""
    left, top, right, bottom = crop.box
    size = preprocessing.size
    if isinstance(left, int) and isinstance(top, int) and right - left == bottom - top == size:
        seen = small[top : top + size, left : left + size]
    else:
        grey = small.shape[2] == 1
        image = Image.fromarray(small[..., 0] if grey else small)
        resized = image.resize((size, size), RESAMPLING[preprocessing.interpolation], box=crop.box)
        seen = np.asarray(resized, dtype=np.uint8)
        seen = seen[..., None] if grey else seen
    return seen[:, ::-1] if crop.flipped else seen
