"""What the texts of samples mean: classes, labels or numbers. One that has none makes its part useless, or is a mistake.

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
from zoo_core.streaming.index import Row

Rows = Mapping[PartName, Sequence[Row]]
UNLABELLED = ("", "-1")  # what data sets write where the answer is kept secret
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class TargetFormat:
    """How a text is read: as one class, as labels between spaces, or as a number for each name.

    `names` are those of classes or labels, which a text tells by their place; None: a text is a class itself.
    """

    task: Task
    names: tuple[str, ...] | None


def read_targets(
    where: str, rows: Rows, target_format: TargetFormat
) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    """The names of the outputs and the targets of each part; a part other than train without any answer is left out.

    Raises DataError, with the sample, for a text that means nothing.
    """
    told = {name: of_part for name, of_part in rows.items() if name == "train" or _is_labelled(of_part)}
    read = {"classification": _classes, "multilabel": _labels, "regression": _numbers}[target_format.task]
    names, targets = read(where, told, target_format)
    if len(names) > MAX_OUTPUTS:
        raise DataError(f"{where} has {len(names)} classes or labels; zoo takes {MAX_OUTPUTS} at most.")
    check_names(names, where, one="name", many="names")
    return names, targets


def _is_labelled(rows: Sequence[Row]) -> bool:
    return not rows or any(row.text not in UNLABELLED for row in rows)


def _classes(where: str, rows: Rows, target_format: TargetFormat) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    """Classes are those of the training images, in the order of `names`, or else of their texts."""
    known: dict[str, str] = {str(place): name for place, name in enumerate(target_format.names or ())}
    for of_part in rows.values():
        for row in of_part:
            if not row.text or (target_format.names is not None and row.text not in known):
                raise _wrong(row, f"has the class '{_shown(row.text)}', which is none of {len(known)}")
    seen = {row.text for row in rows["train"]}
    texts = [text for text in known if text in seen] if known else sorted(seen, key=_by_number)
    if len(texts) < 2:
        raise DataError(f"{where} has training images of {len(texts)} class. At least two classes are needed.")
    places = {text: place for place, text in enumerate(texts)}
    targets: dict[PartName, Targets] = {}
    for part, of_part in rows.items():
        for row in of_part:
            if row.text not in places:
                name = _shown(known.get(row.text, row.text))
                raise _wrong(row, f"has the class '{name}', which the training images do not have")
        targets[part] = np.array([places[row.text] for row in of_part], dtype=np.int64)
    return tuple(known.get(text, text) for text in texts), targets


def _by_number(text: str) -> tuple[int, str]:
    """Whole numbers in their order, before anything else."""
    return (int(text), "") if text.isdecimal() and text.isascii() and len(text) < 19 else (2**63, text)


def _labels(where: str, rows: Rows, target_format: TargetFormat) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    names = target_format.names or ()
    known = {str(place): place for place in range(len(names))}
    targets: dict[PartName, Targets] = {}
    for part, of_part in rows.items():
        targets[part] = np.zeros((len(of_part), len(names)), dtype=np.float32)
        for number, row in enumerate(of_part):
            for text in row.text.split():
                if text not in known:
                    raise _wrong(row, f"has the label '{_shown(text)}', which is none of {len(names)}")
                targets[part][number, known[text]] = 1
    return names, targets


def _numbers(where: str, rows: Rows, target_format: TargetFormat) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    names = target_format.names or ()
    targets: dict[PartName, Targets] = {}
    for part, of_part in rows.items():
        targets[part] = np.empty((len(of_part), len(names)), dtype=np.float32)
        for number, row in enumerate(of_part):
            values = [_number(text) for text in row.text.split()]
            if len(values) != len(names) or not all(math.isfinite(value) and abs(value) <= LARGEST for value in values):
                raise _wrong(row, f"needs {len(names)} finite numbers and has '{_shown(row.text)}'")
            targets[part][number] = values
    return names, targets


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _shown(text: str) -> str:
    return printable(text[:80])


def _wrong(row: Row, what: str) -> DataError:
    return DataError(f"the image {printable(row.name)} {what}.")
