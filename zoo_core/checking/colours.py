"""Colours of images, by which two shirts of one cut differ that no detail tells apart.

Shapes: N images, P pairs, S squares along a side, W squares along a side of a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

SQUARES = 8  # along a side
WINDOWS = (8, 7, 6)
"""The sides of a crop, in squares of the image that it was cut from."""
BORDER = 1  # squares along each edge of a window that do not count: it may not fit them exactly
DIFFER = 0.1
"""The mean distance of chromaticities from which two images have other colours. Of 150 photos and
150 drawings, cropped to 70 to 90 % of their sides and brighter or darker, none reaches 0.08; a red
and a blue shirt on one floor differ by 0.26."""

Colours = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def colours_of(image: Image.Image) -> Colours:
    """The mean colours (S, S, 3) of the squares of an image."""
    return np.asarray(image.resize((SQUARES, SQUARES), Image.Resampling.BOX).convert("RGB"))


def colour_distance(first_PSS3: Colours, second_PSS3: Colours) -> Floats:
    """The mean distance (P) of chromaticities, red and green as shares of red, green and blue,
    where it is least: either image may be a crop of the other, and mirrored.

    Brightness is no colour, and the darker a square is, the less it counts.
    """
    first, second = first_PSS3.astype(np.float64), second_PSS3.astype(np.float64)
    pairs = ((first, second), (first[:, :, ::-1], second), (second, first), (second, first[:, :, ::-1]))
    found = [_distance(*shown) for crop, whole in pairs for shown in _placed(crop, whole)]
    return np.asarray(np.min(found, axis=0), np.float64)


def _placed(crop_PSS3: Floats, whole_PSS3: Floats) -> Iterator[tuple[Floats, Floats]]:
    """A crop at the size of each window, and the window (P, W, W, 3) of the whole image, without
    their borders."""
    for side in WINDOWS:
        inner, shares = slice(BORDER, side - BORDER), _shares(side)
        small = np.einsum("ys,xt,pstc->pyxc", shares, shares, crop_PSS3)
        for top, left in product(range(SQUARES - side + 1), repeat=2):
            yield small[:, inner, inner], whole_PSS3[:, top : top + side, left : left + side][:, inner, inner]


def _shares(side: int) -> Floats:
    """The shares (W, S) that squares have in those of a grid of fewer."""
    edges, places = np.linspace(0, SQUARES, side + 1), np.arange(SQUARES)
    overlap = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    return np.asarray(np.maximum(overlap, 0) * side / SQUARES, np.float64)


def _distance(one_PWW3: Floats, other_PWW3: Floats) -> Floats:
    sums = [colours.sum(3) for colours in (one_PWW3, other_PWW3)]
    shares = [
        colours[..., :2] / np.maximum(own, 1)[..., None]
        for colours, own in zip((one_PWW3, other_PWW3), sums, strict=True)
    ]
    apart_PWW, weights_PWW = np.linalg.norm(shares[0] - shares[1], axis=3), np.sqrt(sums[0] * sums[1])
    return np.asarray((apart_PWW * weights_PWW).sum((1, 2)) / np.maximum(weights_PWW.sum((1, 2)), 1))
