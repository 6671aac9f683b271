"""Images whose negatives are the kind of image that weights were made with: black digits on white, for MNIST's.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from torch import Tensor

from zoo_core.weights_specs import Preprocessing


def have_negatives(preprocessing: Preprocessing) -> bool:
    """Whether the weights' images are dark or bright enough for their negatives to be of another kind.

    Photographs are not: their mean lies near the middle, and so does that of their negatives.
    """
    mean, deviation = _mean_and_deviation(preprocessing)
    return abs(1 - 2 * mean) > deviation


def are_negatives(pixels_BCHW: Tensor, preprocessing: Preprocessing) -> list[bool]:
    """Whether each image (C, H, W) of bytes is further from the mean of the weights' images than its negative is.

    By more than one standard deviation of those images.
    """
    mean, deviation = _mean_and_deviation(preprocessing)
    own = (pixels_BCHW.float().mean((1, 2, 3)) / 255).tolist()
    return [abs(brightness - mean) - abs(1 - brightness - mean) > deviation for brightness in own]


def _mean_and_deviation(preprocessing: Preprocessing) -> tuple[float, float]:
    """Of all channels together, in 0..1."""
    channels = preprocessing.channels
    return sum(preprocessing.mean) / channels, sum(preprocessing.std) / channels
