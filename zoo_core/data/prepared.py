"""Images prepared for a network without torch, for programs that run an exported file.

Shapes: B batch, C channels, H height, W width, S side of a network's input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.decode import MAX_PIXELS, decode
from zoo_core.data.transforms import CENTRE, Pixels, apply_crop, crop_of, decoded_side, resized
from zoo_core.weights_specs import Preprocessing


def prepared(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """The pixels (S, S, C) of an upright image that its network sees."""
    pixels = resized(image, preprocessing)
    return apply_crop(pixels, crop_of(pixels, preprocessing.size, "none", CENTRE, b""), preprocessing)


def prepared_content(content: bytes, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The same for the bytes of an image file, read as zoo reads files. Raises DataError."""
    return prepared(decode(content, at_least=decoded_side(preprocessing), max_pixels=max_pixels), preprocessing)


def normalised_array(squares: Sequence[Pixels], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Bytes (S, S, C) of B images as floats (B, C, S, S), normalised by channel."""
    pixels_BCHW = np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2), dtype=np.float32)
    mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    pixels_BCHW *= 1 / (255 * std)
    pixels_BCHW -= mean / std
    return pixels_BCHW
