"""Images without labels, as a data set of one part, or of those that folders or a CSV file name.

Shapes: N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from zoo_core.data.csvfile import find_images, read_rows
from zoo_core.data.folders import images_below, largest_kinds, part_folders
from zoo_core.data.given import check_given, given_images
from zoo_core.data.memory import ItemImages, image_and_digest
from zoo_core.data.scan import Watch
from zoo_core.data.sources import FolderImages, Images, Part, PartName, Source
from zoo_core.errors import DataError, UsageError, printable
from zoo_core.settings import IN_MEMORY

PARTS: tuple[PartName, ...] = ("train", "val", "test")


def read_unlabelled(path: Path) -> Source:
    """Every image below a folder, or of a CSV file's rows. Raises DataError where there is none.

    Images that lie in no folder of a part are training images.
    """
    if path.suffix.lower() == ".csv":
        table = read_rows(path)
        pairs = list(zip(find_images(table), table.rows, strict=True))
        files = {part: tuple(file for file, row in pairs if row.part == part) for part in PARTS}
        images = {part: FolderImages(path.parent, own) for part, own in files.items() if own}
        return _source(str(path), images, table.ignored)
    ignored = Counter[str]()
    found = images_below(path, ignored)
    if not found:
        raise DataError(f"{printable(str(path))} holds no images{largest_kinds(ignored)}. Name a folder that does.")
    own_parts, by_part = part_folders(path), dict[PartName, list[str]]()
    for file in found:
        within = [name for name, folder in own_parts.items() if file.is_relative_to(folder)]
        by_part.setdefault(within[0] if within else "train", []).append(str(file.relative_to(path)))
    images = {name: FolderImages(path, tuple(by_part[name])) for name in PARTS if name in by_part}
    return _source(str(path), images, ignored)


def are_images(data: Any) -> bool:
    """Whether a program hands over images alone, and not pairs (image, target)."""
    if not isinstance(data, list | tuple | np.ndarray | Tensor) or not len(data):
        return False
    try:
        check_given(data[0])
    except UsageError:
        return False
    return True


def open_images(images: Any, watch: Watch | None = None) -> Source:
    """Images of a program, as `given_images` takes them; the source names those that cannot be read.

    `watch` is told (images done, of how many). Raises DataError where none can be read.
    """
    given = given_images(images)
    good: list[tuple[int, str, bytes]] = []
    unreadable: list[str] = []
    for index, value in enumerate(given.values):
        name = given.name(index)
        try:
            good.append((index, name, image_and_digest(value, printable(name), at_least=1)[1]))
        except DataError as error:
            unreadable.append(str(error).removesuffix("."))
        if watch:
            watch(index + 1, len(given))
    if not good:
        raise DataError(f"{unreadable[0]}.")
    places, names, digests = zip(*good, strict=True)
    items = ItemImages([(value, None) for value in given.values], places, names, digests)
    source = _source(f"{IN_MEMORY} ({len(given)} images)", {"train": items})
    return replace(source, unreadable=tuple(unreadable))


def _source(title: str, images: Mapping[PartName, Images], ignored: Mapping[str, int] | None = None) -> Source:
    """A source whose targets are numbers (N, 0): none for each image."""
    parts = {name: Part(own, np.zeros((len(own), 0), np.float32)) for name, own in images.items()}
    return Source(title, (), parts, dict(ignored or {}), task="regression")
