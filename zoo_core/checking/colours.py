"""Colours of images, by which two shirts of one cut differ that no detail tells apart.

Shapes: N images, P pairs, S squares along a side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

SQUARES = 8  # along a side
BORDER = 1  # squares along each edge that do not count: a crop may have lost them
DIFFER = 0.1
"""The mean distance of chromaticities from which two images have other colours. Of 250 photos
cropped to 80 % of their sides, and brighter or darker, 1 in 100 reaches 0.09; a red and a blue shirt
on one floor differ by 0.27."""

Colours = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def colours_of(image: Image.Image) -> Colours:
    """The mean colours (S, S, 3) of the squares of an image."""
    return np.asarray(image.convert("RGB").resize((SQUARES, SQUARES), Image.Resampling.BOX))


def colour_distance(first_PSS3: Colours, second_PSS3: Colours) -> Floats:
    """The mean distance (P) of chromaticities, red and green as shares of red, green and blue, at the
    same places or mirrored ones, whichever is less.

    Brightness is no colour, and the darker squares are, the less they count.
    """
    return np.minimum(_distance(first_PSS3, second_PSS3), _distance(first_PSS3[:, :, ::-1], second_PSS3))


def _distance(first_PSS3: Colours, second_PSS3: Colours) -> Floats:
    middle = slice(BORDER, SQUARES - BORDER)
    pairs = [colours[:, middle, middle].astype(np.float64) for colours in (first_PSS3, second_PSS3)]
    sums = [colours.sum(3) for colours in pairs]
    red_green = [colours[..., :2] / np.maximum(own, 1)[..., None] for colours, own in zip(pairs, sums, strict=True)]
    apart_PSS, weights_PSS = np.linalg.norm(red_green[0] - red_green[1], axis=3), np.sqrt(sums[0] * sums[1])
    total = (apart_PSS * weights_PSS).sum((1, 2))
    return np.asarray(total / np.maximum(weights_PSS.sum((1, 2)), 1))
