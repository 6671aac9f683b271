"""A CSV file as a data set: one row an image, with its path in one column and targets in others.

docs/data.md tells users the rules. The texts in the target columns decide the task, unless the caller
does.

Shapes: N rows, K labels or numbers.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from zoo_core.data.classes import check_names
from zoo_core.data.csvfile import Table, TableRow, find_images, listed, read_rows
from zoo_core.data.sources import (
    MAX_OUTPUTS,
    FolderImages,
    Part,
    PartName,
    Source,
    Targets,
)
from zoo_core.errors import DataError, UsageError, printable
from zoo_core.settings import TaskChoice
from zoo_core.specs import Task

MAX_CELLS = 250_000_000  # targets; as float32 they take 1 GB
BETWEEN_LABELS = "|"


def read_table(file: Path, task: TaskChoice = "auto") -> Source:
    """Read a CSV file. The images must exist, and are not opened.

    Raises UsageError when the task is ambiguous or does not fit the columns, and DataError that names
    a wrong line.
    """
    table = read_rows(file)
    chosen = _task_of(table) if task == "auto" else task
    read = {"classification": _classes, "multilabel": _labels, "regression": _numbers}[chosen]
    names, targets = read(table)
    _check_names(table, names)
    find_images(table)
    parts: dict[PartName, Part] = {}
    for part in ("train", "val", "test"):
        chosen_rows = [position for position, row in enumerate(table.rows) if row.part == part]
        if chosen_rows:
            paths = tuple(table.rows[position].path for position in chosen_rows)
            parts[part] = Part(FolderImages(file.parent, paths), targets[chosen_rows])
    return Source(str(file), names, parts, task=chosen)


def _task_of(table: Table) -> Task:
    """The task that the target columns imply. Raises UsageError when they are ambiguous."""
    if len(table.columns) == 1:
        if any(BETWEEN_LABELS in row.values[0] for row in table.rows):
            return "multilabel"
        if not table.every(_is_number):
            return _task_of_texts(table)
        if not table.every(_is_whole):
            return "regression"
        raise UsageError(
            f"{table.file}: the column '{printable(table.columns[0])}' holds whole numbers, which may be classes or "
            "amounts. Give --task classification or --task regression."
        )
    if table.every(lambda value: value in ("0", "1")):
        return "multilabel"
    if table.every(_is_number):
        return "regression"
    raise UsageError(
        f"{table.file} has the columns {listed(table.columns)} beside the path, which do not imply a task. "
        "Keep one column of classes, or one of labels joined by '|', or only columns of 0 and 1, or only "
        "columns of numbers."
    )


def _task_of_texts(table: Table) -> Task:
    """Classes, unless numbers with decimals stand between the texts: then one of the two is a mistake."""
    text = next(row for row in table.rows if not _is_number(row.values[0]))
    if any(_is_number(row.values[0]) and not _is_whole(row.values[0]) for row in table.rows):
        raise UsageError(
            f"{table.file}: the column '{printable(table.columns[0])}' holds numbers and, in line {text.line}, the text "
            f"'{printable(text.values[0])}'. Correct it, or give --task classification if all of them are classes."
        )
    return "classification"


def _classes(table: Table) -> tuple[tuple[str, ...], Targets]:
    if len(table.columns) != 1:
        raise UsageError(
            f"--task classification needs one column of classes, and {table.file} has {listed(table.columns)}."
        )
    for row in table.rows:
        if not row.values[0]:
            raise table.error(row, f"the column '{printable(table.columns[0])}' is empty.")
    names = tuple(sorted({row.values[0] for row in table.defining_rows}))
    if len(names) < 2:
        raise DataError(f"{table.file} has only the class '{printable(names[0])}'. At least two are needed.")
    positions = {name: position for position, name in enumerate(names)}
    for row in table.rows:
        _known(table, row, row.values[0], positions, "class")
    return names, np.asarray([positions[row.values[0]] for row in table.rows], dtype=np.int64)


def _labels(table: Table) -> tuple[tuple[str, ...], Targets]:
    if len(table.columns) > 1:
        for row in table.rows:
            for column, value in zip(table.columns, row.values, strict=True):
                if value not in ("0", "1"):
                    raise table.error(row, f"the label '{printable(column)}' must be 0 or 1, got '{printable(value)}'.")
        _check_cells(table, len(table.columns))
        return table.columns, np.asarray([row.values for row in table.rows], dtype=np.float32)
    names = tuple(sorted({label for row in table.defining_rows for label in _split(row.values[0])}))
    if not names:
        raise DataError(f"{table.file}: no image has a label.")
    _check_cells(table, len(names))
    positions = {name: position for position, name in enumerate(names)}
    targets = np.zeros((len(table.rows), len(names)), dtype=np.float32)
    for number, row in enumerate(table.rows):
        for label in _split(row.values[0]):
            _known(table, row, label, positions, "label")
            targets[number, positions[label]] = 1
    return names, targets


def _numbers(table: Table) -> tuple[tuple[str, ...], Targets]:
    _check_cells(table, len(table.columns))
    targets = np.empty((len(table.rows), len(table.columns)), dtype=np.float32)
    largest = float(np.finfo(np.float32).max)
    for number, row in enumerate(table.rows):
        for position, (column, value) in enumerate(zip(table.columns, row.values, strict=True)):
            if not _is_number(value) or not math.isfinite(float(value)) or abs(float(value)) > largest:
                raise table.error(row, f"'{printable(column)}' must be a finite number, got '{printable(value)}'.")
            targets[number, position] = float(value)
    return table.columns, targets


def _split(labels: str) -> list[str]:
    return [label.strip() for label in labels.split(BETWEEN_LABELS) if label.strip()]


def _known(table: Table, row: TableRow, name: str, positions: dict[str, int], word: str) -> None:
    if name not in positions:
        raise table.error(row, f"the {word} '{printable(name)}' is not among those of the training images.")


def _is_number(value: str) -> bool:
    """Whether a text is a number, nan and inf included: those are refused by name later."""
    try:
        float(value)
    except ValueError:
        return False
    return "_" not in value


def _is_whole(value: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", value))


def _check_names(table: Table, names: tuple[str, ...]) -> None:
    if len(names) > MAX_OUTPUTS:
        raise DataError(f"{table.file} has {len(names)} classes or labels; zoo takes {MAX_OUTPUTS} at most.")
    check_names(names, str(table.file), one="name", many="names")


def _check_cells(table: Table, width: int) -> None:
    if len(table.rows) * width > MAX_CELLS:
        raise DataError(
            f"{table.file} has {len(table.rows)} rows of {width} targets; zoo holds {MAX_CELLS} numbers at most."
        )
