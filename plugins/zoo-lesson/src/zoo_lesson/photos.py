"""The sample of the reader's photos that all chapters use: small copies, in train/ and test/.

Every command of the lesson can be given again with it, and takes seconds or minutes whatever the
size of the data that it was taken from.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from zoo_core import Catalog, DataError, Part, Source, UsageError, open_dataset

TRAINED, MEASURED, SHOWN = 600, 300, 72  # photos
MOST_CLASSES = 20  # so that each has some 30 photos to train on
HELD_OUT = 0.3  # of the photos, where the data have neither a validation nor a test part
SHORTER_SIDE = 256  # pixels of a copy; networks see 224 of them
SMALL = 96  # pixels of a side up to which a copy is kept without loss, as PNG


@dataclass(frozen=True)
class Photos:
    """The sample: its folders below that of the lesson, and its numbers."""

    lesson: Path
    classes: tuple[str, ...]
    """The names of the folders of classes."""
    train: int
    test: int
    unread: int
    """The photos that could not be read, and were left out."""

    @property
    def folder(self) -> Path:
        """Has train/CLASS/ and test/CLASS/."""
        return self.lesson / "photos"

    @property
    def few(self) -> Path:
        """Has CLASS/, with some of the photos of the test part."""
        return self.lesson / "few"

    @property
    def fewest(self) -> int:
        """The photos to train on of the rarest class."""
        return min(_count(self.folder / "train" / name) for name in self.classes)


def take_photos(data: str, lesson: Path, catalog: Catalog) -> Photos:
    """Write the sample of `data` below the folder of the lesson, or nothing.

    Raises UsageError for data whose images have not one class each, and DataError for too few.
    """
    source = open_dataset(data, catalog)
    if source.task != "classification":
        raise UsageError(
            f"the lesson needs photos with one class each, and {data} is for {source.task}. Give --data a folder with "
            "one folder of photos for each class, or leave it out for the bundled images."
        )
    source = source.with_validation(share=HELD_OUT, seed=0)
    is_new = not lesson.exists()
    try:
        photos = _sample(source, lesson)
        _check_enough(photos, source)
        return photos
    except BaseException:  # a half sample would pass for a whole one
        for folder in (lesson if is_new else lesson / "photos", lesson / "few"):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _sample(source: Source, lesson: Path) -> Photos:
    train, test = source.parts["train"], source.parts["test" if "test" in source.parts else "val"]
    most_common = Counter(train.targets.tolist()).most_common(MOST_CLASSES)
    labels = sorted(label for label, _ in most_common)
    names = _folders([source.classes[label] for label in labels])
    unread = 0
    for part, name, most in ((train, "train", TRAINED), (test, "test", MEASURED)):
        for label, own in zip(labels, names, strict=True):
            for index in _drawn(part, label, max(1, most // len(labels))):
                unread += not _copy(part, index, lesson / "photos" / name / own)
    _copy_few(lesson, names)
    trained, measured = (_count(lesson / "photos" / name) for name in ("train", "test"))
    return Photos(lesson, tuple(names), trained, measured, unread)


def _check_enough(photos: Photos, source: Source) -> None:
    """Raise DataError where a class has too few photos; a fifth of `train` is held out as validation."""
    for part, least, use in (("train", 4, "train on"), ("test", 2, "measure on")):
        for name in photos.classes:
            folder = photos.folder / part / name
            found = _count(folder)
            if found < least:
                raise DataError(
                    f"{source.title}: the class '{name}' has {found} readable photos to {use}, and the lesson needs "
                    f"{least}. Add photos or remove the class; `zoo check` finds photos that cannot be read."
                )


def _drawn(part: Part, label: int, most: int) -> list[int]:
    """At most so many photos of a class, the same ones every time."""
    members = np.flatnonzero(part.targets == label)
    return sorted(np.random.default_rng(0).permutation(members)[:most].tolist())


def _copy(part: Part, index: int, folder: Path) -> bool:
    """Write a small copy of a photo; False where it cannot be read."""
    try:
        image = part.images.read(index, at_least=SHORTER_SIDE)
    except DataError:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    smaller = SHORTER_SIDE / min(image.size)
    if smaller < 1:
        image = image.resize([round(side * smaller) for side in image.size], Image.Resampling.LANCZOS, reducing_gap=2.0)
    if max(image.size) <= SMALL:
        image.save(folder / f"{index:06d}.png")
    else:
        image.save(folder / f"{index:06d}.jpg", quality=92)
    return True


def _copy_few(lesson: Path, names: list[str]) -> None:
    """Copy some photos of the test part to a folder of their own."""
    each = max(2, SHOWN // len(names))
    for name in names:
        folder = lesson / "few" / name
        folder.mkdir(parents=True, exist_ok=True)
        for photo in sorted((lesson / "photos" / "test" / name).glob("*"))[:each]:
            (folder / photo.name).write_bytes(photo.read_bytes())


def _count(folder: Path) -> int:
    """The files below a folder; 0 where it is not there."""
    return sum(path.is_file() for path in folder.rglob("*"))


def _folders(classes: list[str]) -> list[str]:
    """The names of classes as names of folders, each once."""
    plain = [re.sub(r"[^\w .-]", "_", name).strip(" .")[:60] or "class" for name in classes]
    twice = {name for name, count in Counter(map(str.lower, plain)).items() if count > 1}
    return [f"{name}-{place}" if name.lower() in twice else name for place, name in enumerate(plain)]
