"""Pictures that are compared."""

from __future__ import annotations

import numpy as np
from PIL import Image


def photo(seed: int, side: int = 200) -> Image.Image:
    """A picture with structure at every scale, as a photo has."""
    generator, pixels = np.random.default_rng(seed), np.zeros((side, side))
    for cells in (3, 6, 12, 24, 48):
        noise = Image.fromarray(generator.normal(0, 1, (cells, cells)).astype(np.float32))
        pixels += np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC)) / cells**0.5
    return Image.fromarray((128 + 60 * pixels).clip(0, 255).astype(np.uint8))
