"""What tests import: the type of the command line's fixture, and folders of small image files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Zoo = Callable[..., subprocess.CompletedProcess[str]]


def make_photos(root: Path, *, classes: tuple[str, ...] = ("blue", "red"), count: int = 10, size: int = 40) -> Path:
    """Write PNG and JPEG files of noise, tinted by class, that a small network can tell apart."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 120, (size, size, 3), dtype=np.uint8)
            pixels[..., 2 * (label == 0)] += 120
            Image.fromarray(pixels).save(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
    return root
