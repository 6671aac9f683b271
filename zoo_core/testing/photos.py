"""Small folders of image files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def make_photos(root: Path, *, classes: tuple[str, ...] = ("blue", "red"), count: int = 10, size: int = 40) -> Path:
    """Write `count` files of noise for each class to `root/CLASS`, half PNG and half JPEG, of
    `size` x `size` pixels.

    The first class is tinted blue and the others red, so that a small network learns the first two.
    Always the same files. Returns `root`.
    """
    generator = np.random.default_rng(0)
    for label, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 120, (size, size, 3), dtype=np.uint8)
            pixels[..., 2 * (label == 0)] += 120
            Image.fromarray(pixels).save(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
    return root
