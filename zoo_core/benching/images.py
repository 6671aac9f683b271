"""The images that every format is asked for: files as they are, everything else as PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from zoo_core.data.decode import read_file
from zoo_core.data.sources import FolderImages, Images, Part, Subset

TIMED = 64  # images that are asked for again and again
MADE_UP, MADE_UP_SIZE = 16, (500, 375)  # about the mean size of ImageNet's photos


def write_timed(part: Part, folder: Path) -> int:
    """Write some images of a part, spread over all of it, to files in a new folder; return their
    number."""
    folder.mkdir()
    chosen = np.unique(np.linspace(0, len(part) - 1, min(TIMED, len(part))).astype(int)).tolist()
    for number, index in enumerate(chosen):
        (folder / f"{number:03}").write_bytes(_content(part.images, index))
    return len(chosen)


def _content(images: Images, index: int) -> bytes:
    while isinstance(images, Subset):
        index, images = images.chosen[index], images.images
    if isinstance(images, FolderImages):
        return read_file(images.root / images.files[index])
    stream = io.BytesIO()
    images.read(index).save(stream, "png")
    return stream.getvalue()


def make_up(folder: Path, classes: Sequence[str]) -> Path:
    """Write JPEG files of clouds with grain, in a folder for each class: a backbone has no images
    of its own."""
    generator = np.random.default_rng(0)
    for number in range(MADE_UP):
        place = folder / classes[number % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        clouds = Image.fromarray(generator.integers(40, 216, (6, 8, 3), dtype=np.uint8))
        smooth = np.asarray(clouds.resize(MADE_UP_SIZE, Image.Resampling.BICUBIC), np.float32)
        grain = generator.normal(0, 9, (*smooth.shape[:2], 1))
        pixels = (smooth + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.jpg", quality=90)
    return folder
