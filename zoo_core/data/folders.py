"""Folders of classes as a data set: DIR/CLASS/IMAGE, or DIR/train/CLASS/IMAGE with val/ and test/ beside it.

A link to an image, or in the place of a class, is followed wherever it leads, so that a split may
consist of links. A linked folder below a class is ignored, and a class that is a link back to its own
data is refused, so that no walk is endless. Ignored things are counted by kind.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path

import numpy as np

from zoo_core.data.classes import check_classes
from zoo_core.data.sources import PART_WORDS, FolderImages, Part, PartName, Source
from zoo_core.errors import DataError, UsageError, printable

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
SYSTEM_NAMES = {"thumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "__macosx"}
MAX_ENDING = 10  # characters; a longer ending is counted as none


def read_folders(root: Path) -> Source:
    """List a folder of classes, or of train/val/test folders of classes. No image is opened.

    Raises UsageError for a missing folder, and DataError when its classes cannot be used.
    """
    where = printable(str(root))
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise UsageError(
            f"the data folder {where} {kind}. Give a folder that holds one folder of images for each class."
        )
    ignored: Counter[str] = Counter()
    folders = _folders(root, ignored)
    found = _parts(folders, where)
    if "train" not in found:
        classes = _classes(root, folders)
        return Source(str(root), classes, {"train": _read_part(root, root, classes, ignored)}, dict(ignored))
    ignored.update(f"folder {printable(path.name)}" for path in folders if path not in found.values())
    inside = {name: _folders(folder, ignored) for name, folder in found.items()}
    classes = _classes(found["train"], inside["train"])
    parts: dict[PartName, Part] = {}
    for name, folder in found.items():
        extra = sorted(set(_classes(folder, inside[name])) - set(classes))
        if extra:
            raise DataError(
                f"{printable(str(folder))} has the class '{printable(extra[0])}', which the training images do not have."
            )
        parts[name] = _read_part(root, folder, classes, ignored, may_be_empty=name != "train")
    return Source(str(root), classes, parts, dict(ignored))


def _parts(folders: list[Path], where: str) -> dict[PartName, Path]:
    found: dict[PartName, Path] = {}
    for path in folders:
        name = PART_WORDS.get(path.name.lower())
        if name in found:
            raise DataError(f"{where} has '{found[name].name}' and '{path.name}', which are one part. Merge them.")
        if name:
            found[name] = path
    return found


def _folders(root: Path, ignored: Counter[str]) -> list[Path]:
    """The folders in a folder, sorted by name; anything else in it is counted."""
    found = []
    try:
        for path in root.iterdir():
            is_folder = path.is_dir()
            if is_folder and not _is_system(path.name):
                found.append(path)
            else:
                ignored[_kind(path.name, is_folder=is_folder)] += 1
    except OSError as error:
        raise DataError(f"the data folder {printable(str(root))} cannot be read: {error.strerror or error}.") from error
    return sorted(found)


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def _kind(name: str, *, is_folder: bool = False) -> str:
    """The kind by which an ignored thing is counted: a system file's name, or else the ending."""
    if is_folder:
        return f"folder {printable(name)}"
    if name.startswith("._"):
        return "._*"
    if _is_system(name):
        return printable(name)
    ending = Path(name).suffix.lower()
    return f"*{printable(ending)}" if 1 < len(ending) <= MAX_ENDING else "without an ending"


def _classes(root: Path, folders: list[Path]) -> tuple[str, ...]:
    names = tuple(path.name for path in folders)
    check_classes(names, printable(str(root)))
    for path in folders:
        if path.is_symlink() and root.resolve().is_relative_to(path.resolve()):
            raise DataError(
                f"the class '{printable(path.name)}' is a link that leads back to {printable(str(root))}. Remove it."
            )
    return names


def _read_part(
    root: Path, folder: Path, classes: tuple[str, ...], ignored: Counter[str], *, may_be_empty: bool = False
) -> Part:
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _images(folder / name, ignored)
        if not found and not may_be_empty:
            raise DataError(
                f"the class '{printable(name)}' has no images in {printable(str(folder / name))}. "
                "Add images or remove the folder."
            )
        files += [str(path.relative_to(root)) for path in found]
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{printable(str(folder))} holds no images.")
    return Part(FolderImages(root, tuple(files)), np.asarray(labels, dtype=np.int64))


def _images(folder: Path, ignored: Counter[str]) -> list[Path]:
    """The image files in a class's folder and below it; anything else is counted."""
    found: list[Path] = []
    for directory, subfolders, names in os.walk(folder):
        passed = [name for name in subfolders if _is_system(name)]
        links = [name for name in subfolders if name not in passed and Path(directory, name).is_symlink()]
        ignored.update(_kind(name, is_folder=True) for name in passed)
        ignored.update("link to a folder" for _ in links)
        subfolders[:] = sorted(set(subfolders) - set(passed))  # os.walk does not follow links
        for name in sorted(names):
            path = Path(directory, name)
            if _is_system(name) or path.suffix.lower() not in IMAGE_ENDINGS:
                ignored[_kind(name)] += 1
            elif _is_special(path):
                ignored["special file"] += 1
            else:
                found.append(path)
    return found


def _is_special(path: Path) -> bool:
    """Whether a path is a pipe, socket or device, which may never answer. A dead link counts as an image."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
