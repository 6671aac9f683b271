"""From an upright image to a square of bytes in two steps: resize once, then crop one of its views.

View 0 is the centre crop of evaluation. Every other view is a random crop and flip that its number
and the image's content decide, so that a view can be cached and computed again. Further operations
change the square (`zoo_core.data.augmentation`).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.decode import with_channels
from zoo_core.weights_specs import Preprocessing

Pixels = npt.NDArray[np.uint8]
"""(H, W, C), 0 to 255."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels from the upper left corner."""

Geometry = Literal["none", "flip", "crop", "crop-flip"]
"""The ways in which a view may differ from the centre crop."""

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
MAX_RATIO = 16
"""How many times as long as wide a resized image may be: views show a middle part of ratio 2 at
most."""
REDUCED = 2
"""A JPEG may be decoded at a fraction of its size that leaves it so many times as large as resized.

At twice the size, probabilities of an ImageNet classifier are within 0.03 of those of the full
pixels (0.022 seen, 0.003 on average) and a photo of 12 megapixels takes a twentieth of the time; at
once the size they are off by up to 0.10.
"""
CROP_AREA = (0.7, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
CENTRE = 0
FRESH = 2**32
"""Views from this number on belong to one epoch of one seed; lower ones recur."""


def fresh_view(seed: int, epoch: int) -> int:
    """The number of a view that occurs in this epoch of this seed alone."""
    return (seed + 1) * FRESH + epoch


def resized_side(preprocessing: Preprocessing) -> int:
    """The length in pixels to which the shorter side of every image is resized, or the longer one
    to pad it."""
    return max(preprocessing.size, round(preprocessing.size / preprocessing.crop))


def decoded_side(preprocessing: Preprocessing) -> int:
    """The length in pixels that both sides of a decoded image keep, where they are larger in the
    file."""
    return REDUCED * resized_side(preprocessing)


def resized(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize an image as its `fit` says, a side to size / crop; every view is cropped from the
    result.

    Of an image that is very long and is cropped, the middle part of ratio MAX_RATIO is resized: all
    of it would take memory without bounds, and no view shows the ends.
    """
    image, side = with_channels(image, preprocessing.channels), resized_side(preprocessing)
    if preprocessing.fit == "crop":
        image = _middle(image)
        share = side / min(image.size)
    else:
        share = side / max(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    if preprocessing.fit == "squash":
        size = side, side
    if size != image.size:
        image = image.resize(size, RESAMPLING[preprocessing.interpolation])
    if preprocessing.fit == "pad" and size != (side, side):
        image = _padded(image, side, preprocessing)
    return as_pixels(image)


def as_pixels(image: Image.Image) -> Pixels:
    """The pixels of an image in the mode RGB or L."""
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def as_image(pixels: Pixels) -> Image.Image:
    """The image of these pixels, in the mode RGB or L."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _padded(image: Image.Image, side: int, preprocessing: Preprocessing) -> Image.Image:
    """An image in the middle of a square of the mean colour, which is zero for the network."""
    colour = tuple(round(255 * mean) for mean in preprocessing.mean)
    square = Image.new(image.mode, (side, side), colour if len(colour) > 1 else colour[0])
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _middle(image: Image.Image) -> Image.Image:
    width, height = (min(length, MAX_RATIO * min(image.size)) for length in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class Crop:
    """A view of a resized image: a box in pixels, and whether left and right are exchanged."""

    box: Box
    flipped: bool = False


def crop_of(pixels: Pixels, size: int, geometry: Geometry, view: int, digest: bytes) -> Crop:
    """The crop that a view of a resized image shows; `digest` stands for the image's content."""
    height, width = pixels.shape[:2]
    left, top = (width - size) // 2, (height - size) // 2
    centre = left, top, left + size, top + size
    if view == CENTRE or geometry == "none":
        return Crop(centre)
    chance = random.Random(f"{digest.hex()}/{view}")
    flipped = chance.random() < 0.5 if view >= FRESH else view % 2 == 1
    box = centre if geometry == "flip" else random_box(width, height, chance)
    return Crop(box, flipped and geometry != "crop")


def random_box(width: int, height: int, chance: random.Random) -> Box:
    """A random box: 70 to 100 % of the area, ratio 3:4 to 4:3; the centre square where none
    fits."""
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


def apply_crop(pixels: Pixels, crop: Crop, preprocessing: Preprocessing) -> Pixels:
    """The pixels (size, size, C) of a crop; a box of another size is resized."""
    left, top, right, bottom = crop.box
    size = preprocessing.size
    if isinstance(left, int) and isinstance(top, int) and right - left == bottom - top == size:
        cropped = pixels[top : top + size, left : left + size]
    else:
        how = RESAMPLING[preprocessing.interpolation]
        cropped = as_pixels(as_image(pixels).resize((size, size), how, box=crop.box))
    return cropped[:, ::-1] if crop.flipped else cropped
