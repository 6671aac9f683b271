"""Images without labels, as a data set of one part or of those that a CSV file names.

Shapes: N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from zoo_core.data.csvfile import find_images, read_rows
from zoo_core.data.folders import images_below, largest_kinds
from zoo_core.data.given import check_given, given_images
from zoo_core.data.memory import ItemImages
from zoo_core.data.sources import FolderImages, Images, Part, PartName, Source
from zoo_core.errors import DataError, UsageError, printable
from zoo_core.settings import IN_MEMORY

PARTS: tuple[PartName, ...] = ("train", "val", "test")


def read_unlabelled(path: Path) -> Source:
    """Every image below a folder, or of a CSV file's rows. Raises DataError where there is none."""
    if path.suffix.lower() == ".csv":
        table = read_rows(path)
        pairs = list(zip(find_images(table), table.rows, strict=True))
        files = {part: tuple(file for file, row in pairs if row.part == part) for part in PARTS}
        images = {part: FolderImages(path.parent, own) for part, own in files.items() if own}
        return _source(str(path), images, table.ignored)
    ignored = Counter[str]()
    found = tuple(str(file.relative_to(path)) for file in images_below(path, ignored))
    if not found:
        raise DataError(
            f"{printable(str(path))} holds no images{largest_kinds(ignored)}. Give --data a folder that does."
        )
    return _source(str(path), {"train": FolderImages(path, found)}, ignored)


def are_images(data: Any) -> bool:
    """Whether a program hands over images alone, and not pairs (image, target)."""
    if not isinstance(data, list | tuple | np.ndarray | Tensor) or not len(data):
        return False
    try:
        check_given(data[0])
    except UsageError:
        return False
    return True


def open_images(images: Any) -> Source:
    """Images of a program, as `given_images` takes them. Raises DataError for a file that cannot be
    read."""
    given = given_images(images)
    names, digests = zip(*((given.name(index), given.digest(index)) for index in range(len(given))), strict=True)
    pairs = [(value, None) for value in given.values]
    return _source(
        f"{IN_MEMORY} ({len(given)} images)", {"train": ItemImages(pairs, tuple(range(len(pairs))), names, digests)}
    )


def _source(title: str, images: Mapping[PartName, Images], ignored: Mapping[str, int] | None = None) -> Source:
    """A source whose targets are numbers (N, 0): none for each image."""
    parts = {name: Part(own, np.zeros((len(own), 0), np.float32)) for name, own in images.items()}
    return Source(title, (), parts, dict(ignored or {}), task="regression")
