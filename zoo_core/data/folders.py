"""Folders of classes as a data set: DIR/CLASS/IMAGE, or DIR/train/CLASS/IMAGE with val/ and test/ beside it.

A link to an image, or in the place of a class, is followed wherever it leads, so that a split may
consist of links. A linked folder below a class is ignored, and a class that is a link back to its own
data is refused, so that no walk is endless. Ignored things are counted by kind.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from zoo_core.data.classes import check_names, misread
from zoo_core.data.decode import IMAGE_ENDINGS, unread_kind
from zoo_core.data.parts import PART_WORDS, find_parts
from zoo_core.data.sources import FolderImages, Part, PartName, Source
from zoo_core.errors import DataError, UnlabelledError, UsageError, printable

SYSTEM_NAMES = {"thumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "__macosx"}
MAX_ENDING = 10  # characters; a longer ending is counted as none
BACKSLASHES = "names with a backslash"
NAMED = 3  # names that a message lists


@dataclass(frozen=True)
class Listing:
    """The content of one folder: its folders, and whether images lie in it; anything else is counted."""

    path: Path
    folders: list[Path]
    images: int
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def where(self) -> str:
        return printable(str(self.path))


def read_folders(root: Path) -> Source:
    """List a folder of classes, or of train/val/test folders of classes. No image is opened.

    Raises UsageError for a missing folder, and DataError when a folder cannot be read or its classes
    cannot be used.
    """
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise UsageError(
            f"the data folder {printable(str(root))} {kind}. Give a folder with one folder of images for each class."
        )
    top = _without_wrapper(_listing(root))
    ignored = Counter(top.ignored)
    listings = {name: _without_wrapper(_listing(path)) for name, path in _parts(top).items()}
    if not listings:
        classes = _classes(top)
        part, notes = _read_part(root, top.path, classes, ignored)
        return Source(str(root), classes, {"train": part}, dict(ignored), notes=notes)
    used = {listing.path for listing in listings.values()}
    ignored.update(
        f"folder {printable(path.name)}" for path in top.folders if not any(own.is_relative_to(path) for own in used)
    )
    for name in ("val", "test"):
        if name in listings and not listings[name].folders and listings[name].images:
            flat = listings.pop(name)
            ignored[f"images in {printable(flat.path.name)}, which has no class folders"] += flat.images
    own_classes = {name: _classes(listing) for name, listing in listings.items()}
    classes = own_classes.get("train") or tuple(sorted({one for names in own_classes.values() for one in names}))
    check_names(classes, top.where)
    parts: dict[PartName, Part] = {}
    for name, listing in listings.items():
        extra = sorted(set(own_classes[name]) - set(classes))
        if extra:
            raise DataError(
                f"{listing.where} has the class '{printable(extra[0])}', which the training images do not have."
            )
        ignored.update(listing.ignored)
        parts[name], _ = _read_part(root, listing.path, classes, ignored, may_lack_classes=name != "train")
    return Source(str(root), classes, parts, dict(ignored), notes=_name_notes(classes))


def part_folders(root: Path) -> dict[PartName, Path]:
    """The parts of a folder of images without labels, by the names of its folders."""
    folders = {path.name: path for path in _without_wrapper(_listing(root)).folders}
    return {part: folders[name] for part, name in find_parts(folders, within=True).items()}


def _parts(top: Listing) -> dict[PartName, Path]:
    """The folders that are parts; none where the folders are classes.

    The folder of a part holds folders, that of a class images. A train folder among classes of
    images is a class of trains.
    """
    by_name = {path.name: path for path in top.folders}
    try:
        plain = find_parts(by_name)
    except ValueError as error:
        raise DataError(
            f"{top.where} has '{error.args[0]}' and '{error.args[1]}', which are one part. Merge them."
        ) from None
    nested = [name for name, path in by_name.items() if _holds_folders(path)]
    if plain.get("train", "").lower() == "train":
        flat_class = plain["train"] not in nested and len(set(by_name) - set(plain.values()) - set(nested)) > 0
        if flat_class:
            return {}
        plain |= {part: name for part, name in find_parts(nested, within=True).items() if part not in plain}
        return {part: by_name[name] for part, name in plain.items() if name in nested or name.lower() in PART_WORDS}
    found = find_parts(nested, within=True)
    flat = {part: name for part, name in plain.items() if part not in found and part != "train"}
    if ("train" in found and len(found | flat) > 1) or (found and len(found | flat) == len(by_name)):
        return {part: by_name[name] for part, name in (found | flat).items()}
    return {}


def _without_wrapper(listing: Listing) -> Listing:
    """The listing itself, or that of its only folder where nothing but folders lies in there, and so on.

    An archive that is unpacked into a folder of its name leaves such a wrapper.
    """
    while len(listing.folders) == 1 and not listing.images and not listing.folders[0].is_symlink():
        inner = _listing(listing.folders[0])
        if inner.images or not inner.folders or inner.path.name.lower() in PART_WORDS:
            break
        inner.ignored.update(listing.ignored)
        listing = inner
    return listing


def _listing(folder: Path) -> Listing:
    """The content of a folder; its folders are sorted by name."""
    folders, images, ignored = [], 0, Counter[str]()
    try:
        with os.scandir(folder) as found:
            entries = list(found)
        for entry in entries:
            is_folder = _is_folder(entry)
            if is_folder and not _is_system(entry.name):
                folders.append(Path(entry.path))
            else:
                images += _is_image(entry.name)
                ignored[BACKSLASHES if "\\" in entry.name else _kind(entry.name, is_folder=is_folder)] += 1
    except OSError as error:
        _refuse(error, folder)
    return Listing(folder, sorted(folders), images, ignored)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _holds_folders(folder: Path) -> bool:
    """Whether folders lie in a folder. One that cannot be read holds none: only its use is an error."""
    try:
        with os.scandir(folder) as entries:
            return any(_is_folder(entry) and not _is_system(entry.name) for entry in entries)
    except OSError:
        return False


def _refuse(error: OSError, folder: Path | None = None) -> NoReturn:
    """Raise DataError for a folder that cannot be listed: its images would be missing without a word."""
    where = printable(str(error.filename or folder))
    raise DataError(
        f"the folder {where} cannot be read: {error.strerror or error}. Make it readable, or move it out of the data."
    ) from error


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def _is_image(name: str) -> bool:
    return not _is_system(name) and Path(name).suffix.lower() in IMAGE_ENDINGS


def _kind(name: str, *, is_folder: bool = False) -> str:
    """The kind by which an ignored thing is counted: a system file's name, or else the ending."""
    if is_folder:
        return f"folder {printable(name)}"
    if name.startswith("._"):
        return "._*"
    if _is_system(name):
        return printable(name)
    ending = Path(name).suffix.lower()
    return unread_kind(printable(ending)) if 1 < len(ending) <= MAX_ENDING else "without an ending"


def _classes(listing: Listing) -> tuple[str, ...]:
    """The names of the class folders. Raises DataError when there are none, too many or wrong ones."""
    names = tuple(path.name for path in listing.folders)
    if not names:
        hint = largest_kinds(listing.ignored)
        if BACKSLASHES in listing.ignored:
            hint += ". The archive was packed on Windows: unpack it with `unzip`, which makes folders of such names"
        raise UnlabelledError(
            f"{listing.where} has no class folder{hint}. At least two folders of images, one for each class, are needed."
        )
    check_names(names, listing.where)
    for path in listing.folders:
        if path.is_symlink() and listing.path.resolve().is_relative_to(path.resolve()):
            raise DataError(
                f"the class '{printable(path.name)}' is a link that leads back to {listing.where}. Remove it."
            )
    return names


def largest_kinds(ignored: Counter[str]) -> str:
    """The most frequent ignored things, as the continuation of a sentence."""
    kinds = [f"{count} {kind}" for kind, count in ignored.most_common(NAMED)]
    return f"; it holds {', '.join(kinds)}" if kinds else ""


def _read_part(
    root: Path, folder: Path, classes: tuple[str, ...], ignored: Counter[str], *, may_lack_classes: bool = False
) -> tuple[Part, tuple[str, ...]]:
    """The images of a part's class folders, and notes about their layout."""
    files: list[str] = []
    labels: list[int] = []
    inner_folders: dict[str, set[str]] = {}
    lacking: list[str] = []
    for label, name in enumerate(classes):
        passed = Counter[str]()
        found = images_below(folder / name, passed) if os.path.lexists(folder / name) else []
        ignored.update(passed)
        if not found and not may_lack_classes:
            lacking.append(
                f"the class '{printable(name)}' has no images in {printable(str(folder / name))}"
                f"{largest_kinds(passed)}. Add images or remove the folder."
            )
        files += [str(path.relative_to(root)) for path in found]
        labels += [label] * len(found)
        inside = [path.relative_to(folder / name).parts for path in found]
        inner_folders[name] = set() if any(len(parts) == 1 for parts in inside) else {parts[0] for parts in inside}
    if lacking:
        raise (DataError if len(set(labels)) > 1 else UnlabelledError)(lacking[0])
    if not files:
        raise DataError(f"{printable(str(folder))} holds no images{largest_kinds(ignored)}.")
    part = Part(FolderImages(root, tuple(files)), np.asarray(labels, dtype=np.int64))
    return part, (*_layout_notes(inner_folders), *_name_notes(classes))


def _layout_notes(inner_folders: dict[str, set[str]]) -> tuple[str, ...]:
    """A note when several class folders hold the same folders, which may be the classes."""
    counts = Counter(inner for folders in inner_folders.values() for inner in folders)
    shared = {inner for inner, count in counts.items() if count > 1}
    outer = [name for name, folders in inner_folders.items() if len(folders & shared) > 1]
    if len(outer) < 2:
        return ()
    return (
        f"Layout: the classes {_named(outer)} hold the same folders, {_named(sorted(shared))}. If those are the classes, "
        "name the folders around them train, val and test.",
    )


def _name_notes(classes: Sequence[str]) -> tuple[str, ...]:
    """A note on names that an archive had in UTF-8 and that were unpacked as those of Windows."""
    pairs = [f"'{printable(name)}' is '{printable(meant)}'" for name in classes if (meant := misread(name))]
    if not pairs:
        return ()
    return (f"Names: {', '.join(pairs[:NAMED])} in the archive that they were unpacked from. Rename the folders.",)


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"'{printable(name)}'" for name in names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def images_below(folder: Path, ignored: Counter[str]) -> list[Path]:
    """The image files in a folder and below it, those of a folder together; anything else is counted."""
    found: list[Path] = []
    for directory, subfolders, names in os.walk(folder, onerror=_refuse):
        passed = [name for name in subfolders if _is_system(name)]
        links = [name for name in subfolders if name not in passed and Path(directory, name).is_symlink()]
        ignored.update(_kind(name, is_folder=True) for name in passed)
        ignored.update("link to a folder" for _ in links)
        subfolders[:] = sorted(set(subfolders) - set(passed))  # os.walk does not follow links
        for name in sorted(names):
            path = Path(directory, name)
            if not _is_image(name):
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
