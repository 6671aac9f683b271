"""The targets of samples, parsed from their texts: classes, labels or numbers.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo_core.data.classes import check_names
from zoo_core.data.sources import MAX_OUTPUTS, PartName, Targets
from zoo_core.errors import DataError, printable
from zoo_core.specs import Task
from zoo_core.streaming.index import IndexEntry

EntriesByPart = Mapping[PartName, Sequence[IndexEntry]]
UNLABELLED = ("", "-1")  # data sets write it where the target is kept secret
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class TargetFormat:
    """The format of a target's text: one class, labels between spaces, or a number for each name."""

    task: Task
    names: tuple[str, ...] | None
    """The names of the classes or labels, whose positions the texts hold; None: a text is a class name."""


def read_targets(
    where: str, entries: EntriesByPart, target_format: TargetFormat
) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    """The names of the outputs, and the targets of each part. A held-out part without targets is left out.

    Raises DataError that names the sample for a text of another format.
    """
    labelled = {name: of_part for name, of_part in entries.items() if name == "train" or _is_labelled(of_part)}
    read = {"classification": _classes, "multilabel": _labels, "regression": _numbers}[target_format.task]
    names, targets = read(where, labelled, target_format)
    if len(names) > MAX_OUTPUTS:
        raise DataError(f"{where} has {len(names)} classes or labels; zoo takes {MAX_OUTPUTS} at most.")
    check_names(names, where, one="name", many="names")
    return names, targets


def _is_labelled(entries: Sequence[IndexEntry]) -> bool:
    return not entries or any(entry.text not in UNLABELLED for entry in entries)


def _classes(
    where: str, entries: EntriesByPart, target_format: TargetFormat
) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    """The classes of the training images, in the order of `names`, or else sorted."""
    known: dict[str, str] = {str(place): name for place, name in enumerate(target_format.names or ())}
    for of_part in entries.values():
        for entry in of_part:
            if not entry.text or (target_format.names is not None and entry.text not in known):
                raise _error(entry, f"has the class '{_shown(entry.text)}', which is none of {len(known)}")
    trained = {entry.text for entry in entries["train"]}
    texts = [text for text in known if text in trained] if known else sorted(trained, key=_by_number)
    if len(texts) < 2:
        raise DataError(f"{where} has training images of {len(texts)} class. At least two classes are needed.")
    places = {text: place for place, text in enumerate(texts)}
    targets: dict[PartName, Targets] = {}
    for part, of_part in entries.items():
        for entry in of_part:
            if entry.text not in places:
                name = _shown(known.get(entry.text, entry.text))
                raise _error(entry, f"has the class '{name}', which the training images do not have")
        targets[part] = np.array([places[entry.text] for entry in of_part], dtype=np.int64)
    return tuple(known.get(text, text) for text in texts), targets


def _by_number(text: str) -> tuple[int, str]:
    """A sort key: whole numbers first, by value."""
    return (int(text), "") if text.isdecimal() and text.isascii() and len(text) < 19 else (2**63, text)


def _labels(
    where: str, entries: EntriesByPart, target_format: TargetFormat
) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    names = target_format.names or ()
    known = {str(place): place for place in range(len(names))}
    targets: dict[PartName, Targets] = {}
    for part, of_part in entries.items():
        targets[part] = np.zeros((len(of_part), len(names)), dtype=np.float32)
        for number, entry in enumerate(of_part):
            for text in entry.text.split():
                if text not in known:
                    raise _error(entry, f"has the label '{_shown(text)}', which is none of {len(names)}")
                targets[part][number, known[text]] = 1
    return names, targets


def _numbers(
    where: str, entries: EntriesByPart, target_format: TargetFormat
) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    names = target_format.names or ()
    targets: dict[PartName, Targets] = {}
    for part, of_part in entries.items():
        targets[part] = np.empty((len(of_part), len(names)), dtype=np.float32)
        for number, entry in enumerate(of_part):
            values = [_number(text) for text in entry.text.split()]
            if len(values) != len(names) or not all(math.isfinite(value) and abs(value) <= LARGEST for value in values):
                raise _error(entry, f"needs {len(names)} finite numbers and has '{_shown(entry.text)}'")
            targets[part][number] = values
    return names, targets


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _shown(text: str) -> str:
    return printable(text[:80])


def _error(entry: IndexEntry, problem: str) -> DataError:
    return DataError(f"the image {printable(entry.name)} {problem}.")
