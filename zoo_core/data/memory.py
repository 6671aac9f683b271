"""A data set that a program hands over: a torch Dataset, or a list of (image, target), as a `Source`.

The targets say the task: a class name or index, a collection of label names, a number, or a vector
of numbers. Every item is read once for its target and a digest of its content, so that caches,
splits and `resume` work as they do for files; items that cannot be read are named by the scan, or
left out. The images stay with the program.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from zoo_core.data.classes import check_names
from zoo_core.data.decode import decode, read_file
from zoo_core.data.given import check_given, pixel_digest, to_image
from zoo_core.data.parts import find_parts
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part, PartName, Source, Targets, content_digest
from zoo_core.errors import DataError, UsageError, ZooError, brief, printable, reason_of
from zoo_core.settings import IN_MEMORY, TaskChoice
from zoo_core.specs import TaskName
from zoo_core.tasks import ALL


@dataclass(frozen=True, eq=False)
class ItemImages:
    """The images of a data set's items, read from the data set when they are asked for."""

    items: Any
    places: tuple[int, ...]
    """The indexes of the images in the data set, without those that cannot be read."""
    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    lock: Lock = field(default_factory=Lock)
    """Data sets are written for one thread, so the decoding threads take turns."""

    def __len__(self) -> int:
        return len(self.digests)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        name = printable(self.names[index])
        with self.lock:
            image, digest = image_and_digest(_item(self.items, self.places[index], name)[0], name, at_least)
        if digest != self.digests[index]:
            raise DataError(
                f"{name} is no longer the image that it was when the data set was opened. Leave random transforms out "
                "of the data set; the setting `augment` varies the images."
            )
        return image

    def name(self, index: int) -> str:
        return self.names[index]

    def digest(self, index: int) -> bytes:
        return self.digests[index]


def open_in_memory(data: Any, task: TaskChoice = "auto", watch: Watch | None = None) -> Source:
    """Read every item of a data set, or of a mapping {"train": data set, "val": ..., "test": ...}.

    `watch` is told (items done, of how many). Raises UsageError for a wrong type or task, DataError for
    an item that cannot be read.
    """
    sets = _sets_by_part(data if isinstance(data, Mapping) else {"train": data})
    total, done = sum(len(items) for items in sets.values()), 0
    images: dict[PartName, ItemImages] = {}
    targets: dict[PartName, list[Any]] = {}
    unreadable: list[str] = []
    for part, items in sets.items():
        good: list[tuple[int, str, bytes]] = []
        targets[part] = []
        for index in range(len(items)):
            where = f"{part} item {index}"
            try:
                value, target = _item(items, index, where)
                digest = image_and_digest(value, where, at_least=1)[1]  # at an eighth of a JPEG's size
            except DataError as error:
                unreadable.append(str(error).removesuffix("."))
            else:
                name = str(value) if isinstance(value, str | Path) else f"{part}/{index}"
                good.append((index, name, digest))
                targets[part].append(_plain(target))
            done += 1
            if watch:
                watch(done, total)
        places, names, digests = zip(*good, strict=True) if good else ((), (), ())
        images[part] = ItemImages(items, places, names, digests)
    title = f"{IN_MEMORY} ({total} images)"
    if unreadable and not any(targets.values()):
        raise DataError(f"{unreadable[0]}.")
    for part, items in sets.items():
        if not targets[part] and len(sets) > 1:
            why = f"none of its {len(items)} images can be read" if len(items) else "it has no items"
            raise DataError(f"the {part} part of {title} is empty: {why}. Leave it out, or fill it.")
    found, classes, arrays = _targets(targets, _names_of(next(iter(sets.values()))), task, title)
    parts = {part: Part(images[part], arrays[part]) for part in images}
    return Source(title, classes, parts, task=found, unreadable=tuple(unreadable))


def _sets_by_part(sets: Mapping[str, Any]) -> dict[PartName, Any]:
    """Data sets by the part that their names mean. Raises UsageError for a name that is none."""
    try:
        found = find_parts(map(str, sets))
    except ValueError as error:
        raise UsageError(f"the data have the parts {error.args[0]} and {error.args[1]}, which are one.") from None
    unknown = [name for name in sets if name not in found.values()]
    if unknown or not sets:
        raise UsageError(
            f"the parts of the data are train, val and test, and one is called {brief(unknown and unknown[0])}."
        )
    return {part: sets[name] for part, name in found.items()}


def _item(items: Any, index: int, name: str) -> tuple[Any, Any]:
    """One pair (image, target). Raises DataError with the reason when the data set fails."""
    try:
        item = items[index]
        if isinstance(item, Mapping):
            raise TypeError(f"it is a mapping of {brief(list(item))}, of which a list can make pairs")
        image, target = item
    except ZooError:
        raise
    except Exception as error:  # the data set is the program's code
        raise DataError(f"{name} is no pair (image, target) that can be read: {reason_of(error)}.") from error
    check_given(image)
    return image, target


def image_and_digest(value: Any, name: str, at_least: int | None) -> tuple[Image.Image, bytes]:
    """The image and the digest of its file's bytes, or of its pixels when it is in memory.

    Raises DataError, which begins with the name.
    """
    try:
        if isinstance(value, str | Path):
            content = read_file(Path(value))
            return decode(content, at_least=at_least), content_digest(content)
        image = to_image(value)
        return image, pixel_digest(image)
    except DataError as error:
        raise DataError(f"{name} {error}.") from error.__cause__


def _plain(target: Any) -> Any:
    """A target as a str, int, float, or a list of these: arrays and tensors as their numbers, sets
    in order."""
    plain = target.tolist() if hasattr(target, "tolist") else target
    if isinstance(plain, set | frozenset | tuple):
        return sorted(plain) if isinstance(plain, set | frozenset) else list(plain)
    return plain


def _names_of(items: Any) -> list[str] | None:
    """The names that a data set gives to its classes; a `torch.utils.data.Subset` has those of its
    data set."""
    while items is not None:
        names = getattr(items, "classes", None)
        if names is not None:
            return [str(name) for name in names]
        items = getattr(items, "dataset", None)
    return None


def _targets(
    targets: Mapping[PartName, list[Any]], names: list[str] | None, choice: TaskChoice, title: str
) -> tuple[TaskName, tuple[str, ...], dict[PartName, Targets]]:
    """The task, the names of the outputs and the targets of each part as an array."""
    every = [target for part in targets.values() for target in part]
    if not every:
        raise DataError(f"{title} has no items.")
    fitting = [task for task in ALL.values() if (task.fits(every[0]) if choice == "auto" else task.name == choice)]
    try:
        if not fitting:
            raise TypeError(f"{brief(every[0])} is no target")
        task = fitting[0]
        outputs, array = task.read_values(every, names)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        wanted = fitting[0].name if fitting else "any task"
        raise UsageError(
            f"the targets of {title} are not those of {wanted}: {reason_of(error)}. A target is a class name or index, a "
            "collection of label names, a number or a vector of numbers; the setting `task` says which."
        ) from error
    check_names(outputs, title, one=task.output, many=task.outputs)
    ends = np.cumsum([len(part) for part in targets.values()])[:-1]
    return task.name, outputs, dict(zip(targets, np.split(array, ends), strict=True))
