"""A CSV file as a data set: one row an image, with its path in one column and targets in others.

docs/data.md tells users the rules. The texts in the target columns decide the task, unless the
caller does.

Shapes: N rows, K labels or numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from zoo_core.data.classes import check_names
from zoo_core.data.columns import TARGET_NAMES, listed, most_fit
from zoo_core.data.csvfile import Table, find_images, read_rows
from zoo_core.data.sources import FolderImages, Part, PartName, Source
from zoo_core.errors import UnlabelledError, UsageError, printable, shown
from zoo_core.settings import TaskChoice
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.multilabel import SEPARATOR, label_value
from zoo_core.tasks.targets import TargetColumns


@dataclass(frozen=True)
class Reading:
    """A task that takes several columns: the contents of their cells in words, and whether a cell
    fits."""

    task: TaskName
    holds: str
    fits: Callable[[str], bool]


def read_table(file: Path, task: TaskChoice = "auto") -> Source:
    """Read a CSV file. The images must exist, and are not opened.

    Raises UsageError when the task is ambiguous or does not fit the columns, and DataError that
    names a wrong line.
    """
    table = read_rows(file)
    if not table.columns:
        raise UnlabelledError(
            f"{file} has no column beside the path: it needs one of classes, of labels or of numbers."
        )
    table = _with_one_target(table, task)
    chosen = _task_of(table) if task == "auto" else task
    names, targets = task_named(chosen).read_columns(_target_columns(table))
    check_names(names, str(table.file), one="name", many="names")
    found = find_images(table)
    parts: dict[PartName, Part] = {}
    for part in ("train", "val", "test"):
        chosen_rows = [position for position, row in enumerate(table.rows) if row.part == part]
        if chosen_rows:
            paths = tuple(found[position] for position in chosen_rows)
            groups = tuple(group for position in chosen_rows if (group := table.rows[position].group) is not None)
            parts[part] = Part(FolderImages(file.parent, paths), targets[chosen_rows], groups or None)
    return Source(str(file), names, parts, dict(table.ignored), task=chosen)


def _target_columns(table: Table) -> TargetColumns:
    """The table's target columns, with errors that name the line of a row."""
    train = [position for position, row in enumerate(table.rows) if row.part == "train"]
    return TargetColumns(
        str(table.file),
        table.columns,
        [row.values for row in table.rows],
        train or range(len(table.rows)),
        lambda position, problem: table.error(table.rows[position], problem),
    )


def _with_one_target(table: Table, task: TaskChoice) -> Table:
    """The table with the one column that its name shows to be the target, where all of them fit no
    task."""
    named = [place for place, name in enumerate(table.columns) if name.lower() in TARGET_NAMES]
    if len(table.columns) == 1 or len(named) != 1:
        return table
    takes_one = task != "auto" and task_named(task).single_label
    (place,) = named
    if not takes_one:
        if _implied_by_columns(table) is not None:
            return table
        _check_no_odd_cell(table, task, table.columns[place])
    others = {f"column {printable(name[:80])}": 1 for name in table.columns if name != table.columns[place]}
    rows = [replace(row, values=(row.values[place],)) for row in table.rows]
    return replace(table, columns=(table.columns[place],), rows=rows, ignored={**table.ignored, **others})


def _task_of(table: Table) -> TaskName:
    """The task that the target columns imply. Raises UsageError when they are ambiguous."""
    if len(table.columns) == 1:
        return _task_of_column(table)
    implied = _implied_by_columns(table)
    if implied is None:
        _check_no_odd_cell(table)
        raise UsageError(
            f"{table.file} has the columns {listed(table.columns)} beside the path, which do not imply a task. "
            "Keep one column of classes, or one of labels joined by '|', or only columns of 0 and 1, or only columns "
            "of numbers; or call the one to predict 'label'."
        )
    return implied


def _implied_by_columns(table: Table) -> TaskName | None:
    return next((reading.task for reading in READINGS if table.every(reading.fits)), None)


def _check_no_odd_cell(table: Table, task: TaskChoice = "auto", named: str | None = None) -> None:
    """Raise DataError that names a cell where most cells of every column are 0 and 1, or numbers:
    a task for all columns is meant then, which this cell alone rules out.

    `named` is the column that would be the target alone. A column of other texts, such as notes,
    rules the task out by itself.
    """
    cells = list(zip(*(row.values for row in table.rows), strict=True))
    nearly = [
        reading
        for reading in READINGS
        if task in ("auto", reading.task) and all(most_fit(column, reading.fits) for column in cells)
    ]
    if not nearly:
        return
    reading = min(nearly, key=lambda one: sum(not one.fits(text) for column in cells for text in column))
    row, place = next(
        (row, place) for row in table.rows for place, text in enumerate(row.values) if not reading.fits(text)
    )
    alone = ""
    if named is not None and task == "auto" and not any(map(_is_decimal, cells[table.columns.index(named)])):
        alone = f", or give --task classification to predict '{printable(named)}' alone"
    raise table.error(
        row,
        f"the column '{printable(table.columns[place][:80])}' holds {reading.holds}, and here '{shown(row.values[place])}'. "
        f"Correct it, or remove the column if it is not to be predicted{alone}.",
    )


def _task_of_column(table: Table) -> TaskName:
    column = f"{table.file}: the column '{printable(table.columns[0][:80])}'"
    if any(SEPARATOR in row.values[0] for row in table.rows):
        return "multilabel"
    if not table.every(_is_number):
        return _task_of_texts(table, column)
    if not table.every(_is_whole) and not table.every(_is_label):
        return "regression"
    if table.every(_is_label):
        raise UsageError(
            f"{column} holds only 0 and 1, which may be classes, a label or amounts. "
            "Give --task classification, --task multilabel or --task regression."
        )
    raise UsageError(
        f"{column} holds whole numbers, which may be classes or amounts. "
        "Give --task classification or --task regression."
    )


def _task_of_texts(table: Table, column: str) -> TaskName:
    """Classes, unless numbers with decimals stand between the texts: then one of the two is a
    mistake."""
    text = next(row for row in table.rows if not _is_number(row.values[0]))
    if table.every(lambda value: _is_number(value.replace(",", ".", 1))):
        raise UsageError(
            f"{column} holds numbers with a decimal comma, in line {text.line} '{shown(text.values[0])}'. "
            "Write them with a point, or give --task classification if they are classes."
        )
    if any(_is_decimal(row.values[0]) for row in table.rows):
        raise UsageError(
            f"{column} holds numbers and, in line {text.line}, the text '{shown(text.values[0])}'. "
            "Correct it, or give --task classification if all of them are classes."
        )
    return "classification"


def _is_number(value: str) -> bool:
    """Whether a text is a number, nan and inf included: those are refused by name later."""
    try:
        float(value)
    except ValueError:
        return False
    return "_" not in value


def _is_whole(value: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", value))


def _is_decimal(value: str) -> bool:
    return _is_number(value) and not _is_whole(value)


def _is_label(value: str) -> bool:
    return label_value(value) is not None


READINGS = (Reading("multilabel", "0 and 1", _is_label), Reading("regression", "numbers", _is_number))
