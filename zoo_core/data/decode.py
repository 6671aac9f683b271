"""Reads image files into the one form that zoo works with: 8-bit RGB or greyscale, upright.

The rules: the EXIF orientation is applied; 16-bit values are scaled to 8 bits; what is transparent is laid on white;
of an animation the first frame counts; CMYK and palettes become RGB.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo_core.errors import DataError

MAX_PIXELS = 80_000_000  # an 8-bit RGB image of this size takes 240 MB


def open_image(path: Path, *, at_least: int | None = None) -> Image.Image:
    """Read a file completely and return it upright, in mode RGB or L.

    With `at_least`, a JPEG may be decoded at a half, a quarter or an eighth of its size, as long as both sides keep
    this many pixels: several times faster for large photos.

    Raises DataError naming the file when it is unreadable, truncated or has more than 80 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is checked here, or tolerated on purpose
            with Image.open(path) as image:
                check_size(path, image)
                if at_least is not None and image.format == "JPEG":
                    image.draft(image.mode, (at_least, at_least))
                image.load()
                return upright(image)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{path} is not an image that can be read.") from None
    except FileNotFoundError:
        raise DataError(f"there is no image {path}.") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is damaged or unreadable: {error}.") from error


def check_size(path: Path, image: Image.Image) -> None:
    """Raise DataError when an image has no pixels or too many."""
    width, height = image.size
    if width * height == 0:
        raise DataError(f"{path} has no pixels.")
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path} has {width} x {height} pixels, more than {MAX_PIXELS // 10**6} million. Make it smaller."
        )


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation and the rules for modes."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8), "L")
    if image.mode == "F":
        return image.convert("L")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        flat = Image.alpha_composite(white, coloured).convert("RGB")
        return flat.convert("L") if image.mode in ("LA", "La") else flat
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert to greyscale (1) or RGB (3); RGB becomes grey by the ITU-R 601-2 weights."""
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)
