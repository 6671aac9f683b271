"""Folders of classes as a data set: DIR/CLASS/IMAGE, or DIR/train/CLASS/IMAGE with val/ and test/ beside it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from zoo_core.data.sources import PART_WORDS, FolderImages, Part, PartName, Source, refuse_twins
from zoo_core.errors import DataError, UsageError, printable

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


def read_folders(root: Path) -> Source:
    """Scan a folder of classes, or of train/val/test folders of classes. Nothing is opened yet.

    Raises UsageError when the folder is not there and DataError when its classes make no sense.
    """
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise UsageError(
            f"the data folder {root} {kind}. Give a folder that holds one folder of images for each class."
        )
    parts_found = {PART_WORDS[path.name]: path for path in _folders(root) if path.name in PART_WORDS}
    if "train" not in parts_found:
        classes = _classes(root)
        part, ignored = _read_part(root, root, classes)
        return Source(str(root), classes, {"train": part}, ignored)
    classes = _classes(parts_found["train"])
    parts: dict[PartName, Part] = {}
    ignored = 0
    for name, folder in parts_found.items():
        extra = sorted(set(_classes(folder)) - set(classes))
        if extra:
            raise DataError(f"{folder} has the class '{printable(extra[0])}', which the training images do not have.")
        parts[name], own_ignored = _read_part(root, folder, classes, may_be_empty=name != "train")
        ignored += own_ignored
    return Source(str(root), classes, parts, ignored)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not _is_system(path.name))
    except OSError as error:
        raise DataError(f"the data folder {root} cannot be read: {error.strerror or error}.") from error


def _is_system(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) or name.lower() in {"thumbs.db", "desktop.ini", "$recycle.bin", "@eadir"}


def _classes(root: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _folders(root))
    if len(names) < 2:
        found = f"only the class '{printable(names[0])}'" if names else "no class folder"
        raise DataError(f"{root} has {found}. At least two folders of images, one for each class, are needed.")
    refuse_twins(root, names)
    return names


def _read_part(root: Path, folder: Path, classes: tuple[str, ...], *, may_be_empty: bool = False) -> tuple[Part, int]:
    files: list[str] = []
    labels: list[int] = []
    ignored = 0
    for label, name in enumerate(classes):
        found, others = _images(folder / name)
        if not found and not may_be_empty:
            raise DataError(
                f"the class '{printable(name)}' has no images in {folder / printable(name)}. Add images or remove the folder."
            )
        files += [str(path.relative_to(root)) for path in found]
        labels += [label] * len(found)
        ignored += others
    if not files:
        raise DataError(f"{folder} holds no images.")
    return Part(FolderImages(root, tuple(files)), np.asarray(labels, dtype=np.int64)), ignored


def _images(folder: Path) -> tuple[list[Path], int]:
    """The image files in a class's folder and below it, and how many other files were passed over."""
    found: list[Path] = []
    ignored = 0
    for directory, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not _is_system(name))
        for name in sorted(names):
            path = Path(directory) / name
            if not _is_system(name) and path.suffix.lower() in IMAGE_ENDINGS:
                found.append(path)
            else:
                ignored += 1
    return found, ignored
