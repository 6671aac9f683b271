"""zoo's own augmentations of a square image, as the hook `zoo_augmentations` takes them.

They draw from the given `random.Random` alone and leave torch's generator, which threads share,
where it is. Corners and holes get the mean colour of the image.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from zoo_core.augmentations import ColorOptions, EraseOptions, RandOptions, RotateOptions
from zoo_core.data.transforms import random_box
from zoo_core.options import NoOptions

VERSION = f"1/{torchvision.__version__}"
"""The number grows when an operation gives other pixels: features cached before are not found."""
BILINEAR = InterpolationMode.BILINEAR
LEAST_ERASED = 0.02  # of the area, as in the paper of random erasing (arXiv 1708.04896)
ERASED_RATIO = 3.3  # of a hole, in either direction
LEVELS = 30  # steps from no change to the strongest, as in RandAugment (arXiv 1909.13719)

Colour = list[float]


def crop(options: NoOptions, image: Image.Image, chance: random.Random) -> Image.Image:
    """A random box of the square at its size, as the crop at the beginning of a chain draws it."""
    return image.resize(image.size, Image.Resampling.BILINEAR, box=random_box(*image.size, chance))


def flip(options: NoOptions, image: Image.Image, chance: random.Random) -> Image.Image:
    """The image, or its mirror image."""
    return _changed(F.horizontal_flip, image) if chance.random() < 0.5 else image


def color(options: ColorOptions, image: Image.Image, chance: random.Random) -> Image.Image:
    """Brightness, contrast, saturation and hue, changed in an order of chance."""
    factors = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation]
    changes = [(change, 1 + options.strength * chance.uniform(-1, 1)) for change in factors]
    changes.append((F.adjust_hue, options.hue * chance.uniform(-1, 1)))
    chance.shuffle(changes)
    for change, amount in changes:
        if change is not F.adjust_hue or amount:
            image = _changed(change, image, amount)
    return image


def rotate(options: RotateOptions, image: Image.Image, chance: random.Random) -> Image.Image:
    """The image turned about its middle."""
    return _rotated(image, options.degrees * chance.uniform(-1, 1), _mean(image))


def erase(options: EraseOptions, image: Image.Image, chance: random.Random) -> Image.Image:
    """The image with a box of its mean colour (Zhong et al., Random erasing, arXiv 1708.04896)."""
    if chance.random() >= options.p:
        return image
    area = image.width * image.height * chance.uniform(LEAST_ERASED, options.area)
    ratio = math.exp(chance.uniform(-math.log(ERASED_RATIO), math.log(ERASED_RATIO)))
    width, height = (max(1, round(math.sqrt(area * one))) for one in (ratio, 1 / ratio))
    width, height = min(width, image.width), min(height, image.height)
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    colour = tuple(map(round, _mean(image)))
    image = image.copy()
    image.paste(colour if len(colour) > 1 else colour[0], (left, top, left + width, top + height))
    return image


def trivial(options: NoOptions, image: Image.Image, chance: random.Random) -> Image.Image:
    """TrivialAugment, wide (Müller and Hutter, arXiv 2103.10158): one change of any strength."""
    change = chance.choice(CHANGES)
    return change.at(image, chance.randint(0, LEVELS) / LEVELS * change.wide, chance)


def rand(options: RandOptions, image: Image.Image, chance: random.Random) -> Image.Image:
    """RandAugment (Cubuk et al., arXiv 1909.13719): `n` changes of the strength `m` of 30."""
    for change in chance.choices(CHANGES, k=options.n):
        image = change.at(image, options.m / LEVELS * change.usual, chance)
    return image


@dataclass(frozen=True)
class Change:
    """One of the changes among which `trivial` and `rand` choose, and its strongest amount in each.

    Amounts: shears as tangents, translations as shares of a side, rotations in degrees, changes of
    colour as factors beside 1, `posterize` in bits, `solarize` as a share of 255.
    """

    apply: Callable[[Image.Image, float, Colour], Image.Image]
    wide: float = 0.0
    usual: float = 0.0
    signed: bool = False
    """Whether the amount is negative half of the time."""

    def at(self, image: Image.Image, amount: float, chance: random.Random) -> Image.Image:
        if self.signed and chance.random() < 0.5:
            amount = -amount
        return self.apply(image, amount, _mean(image))


def _sheared(image: Image.Image, x: float, y: float, fill: Colour) -> Image.Image:
    degrees = [math.degrees(math.atan(tangent)) for tangent in (x, y)]
    return _moved(image, [0, 0], degrees, fill, center=[0, 0])


def _translated(image: Image.Image, x: float, y: float, fill: Colour) -> Image.Image:
    return _moved(image, [round(x * image.width), round(y * image.height)], [0.0, 0.0], fill)


def _moved(image: Image.Image, by: list[int], shear: list[float], fill: Colour, **more: Any) -> Image.Image:
    how = {"angle": 0.0, "scale": 1.0, "interpolation": BILINEAR, **more}
    return _changed(F.affine, image, translate=by, shear=shear, fill=fill, **how)


def _rotated(image: Image.Image, degrees: float, fill: Colour) -> Image.Image:
    return _changed(F.rotate, image, degrees, interpolation=BILINEAR, fill=fill)


def _by_factor(change: Callable[..., Any]) -> Callable[[Image.Image, float, Colour], Image.Image]:
    return lambda image, amount, fill: _changed(change, image, 1 + amount)


def _changed(change: Callable[..., Any], image: Image.Image, *values: Any, **more: Any) -> Image.Image:
    """The image that one of torchvision's functions makes; they say that they return Any."""
    made: Image.Image = change(image, *values, **more)
    return made


def _mean(image: Image.Image) -> Colour:
    colour: Colour = np.asarray(image).reshape(image.width * image.height, -1).mean(0).tolist()
    return colour


CHANGES = (
    Change(lambda image, amount, fill: image),
    Change(lambda image, amount, fill: _sheared(image, amount, 0, fill), wide=0.99, usual=0.3, signed=True),
    Change(lambda image, amount, fill: _sheared(image, 0, amount, fill), wide=0.99, usual=0.3, signed=True),
    Change(
        lambda image, amount, fill: _translated(image, amount, 0, fill), wide=32 / 224, usual=150 / 331, signed=True
    ),
    Change(
        lambda image, amount, fill: _translated(image, 0, amount, fill), wide=32 / 224, usual=150 / 331, signed=True
    ),
    Change(_rotated, wide=135, usual=30, signed=True),
    Change(_by_factor(F.adjust_brightness), wide=0.99, usual=0.9, signed=True),
    Change(_by_factor(F.adjust_saturation), wide=0.99, usual=0.9, signed=True),
    Change(_by_factor(F.adjust_contrast), wide=0.99, usual=0.9, signed=True),
    Change(_by_factor(F.adjust_sharpness), wide=0.99, usual=0.9, signed=True),
    Change(lambda image, amount, fill: _changed(F.posterize, image, 8 - round(amount)), wide=6, usual=4),
    Change(lambda image, amount, fill: _changed(F.solarize, image, 255 * (1 - amount)), wide=1, usual=1),
    Change(lambda image, amount, fill: _changed(F.autocontrast, image)),
    Change(lambda image, amount, fill: _changed(F.equalize, image)),
)
"""The changes of both papers, with the amounts that torchvision gives them; its 32 pixels of
translation are taken as those of a side of 224."""
