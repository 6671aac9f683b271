"""A fix list: a CSV file of suspect images with a column `decision`, which a training follows.

`zoo check --fix-list FILE` writes it, a person decides, and `zoo finetune --fix-list FILE` leaves
images out and gives others another class. The data themselves stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo_core.csv_rows import csv_writer
from zoo_core.data.csvfile import Table, TableRow, read_rows
from zoo_core.data.indexed import IndexedImages
from zoo_core.data.sources import FolderImages, Part, PartName, Source
from zoo_core.errors import DataError, UsageError, did_you_mean, printable, shown
from zoo_core.paths import check_new_file, user_path, written_whole
from zoo_core.tasks import task_named
from zoo_core.wording import counted

NO_FIX_LIST = "none"
KEEP, DROP, RELABEL = "keep", "drop", "class:"
"""The words of a decision; the last is followed by the name of a class."""
COLUMNS = ("path", "class", "finding", "other", "suggestion", "decision")
HOW_TO_GET_ONE = "`zoo check DATA --fix-list FILE` writes a fix list."
FORMULA = ("=", "+", "-", "@")  # a spreadsheet computes a cell that begins with one


@dataclass(frozen=True)
class FixRow:
    """One image of a fix list: its name, its class in words, the finding and the image like it.

    `suggestion` is a decision that may be copied into the last column, or empty.
    """

    image: str
    label: str
    finding: str
    other: str = ""
    suggestion: str = ""


def write_fix_list(file: Path, rows: Iterable[FixRow]) -> None:
    """Write a fix list in which nothing is decided. Raises ZooError when it cannot be written.

    It begins with a byte order mark, without which Excel takes UTF-8 for another encoding.
    """
    with written_whole(file) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv_writer(stream)
        writer.writerow(COLUMNS)
        for row in rows:
            cells = _cell(row.image), _text(row.label), row.finding, _cell(row.other), _text(row.suggestion)
            writer.writerow([*cells, ""])


def with_fix_list(source: Source, file: str) -> Source:
    """The source after the decisions of a fix list: images left out, and others of another class.

    Raises UsageError for a file that is not there, and DataError that names the line of a decision
    that cannot be followed.
    """
    if file == NO_FIX_LIST:
        return source
    path = user_path(file)
    if not path.is_file():
        raise UsageError(
            f"there is no file {shown(file)}. {HOW_TO_GET_ONE} A run that followed one needs it back in its place."
        )
    table = read_rows(path)
    decided = _decisions(table, source)
    parts: dict[PartName, Part] = {}
    dropped = relabelled = 0
    for name, part in source.parts.items():
        of_part = [decided.get(_spelled(part.images.name(index)), KEEP) for index in range(len(part))]
        left = [index for index, decision in enumerate(of_part) if decision != DROP]
        labels = {
            index: source.classes.index(own.removeprefix(RELABEL))
            for index, own in enumerate(of_part)
            if own.startswith(RELABEL)
        }
        targets = part.targets.copy()
        for index, label in labels.items():
            targets[index] = label
        dropped, relabelled = dropped + len(part) - len(left), relabelled + len(labels)
        parts[name] = _taken(replace(part, targets=targets), left)
    _check_left(source, parts, file)
    note = f"Fix list: {counted(dropped, 'image')} left out, {relabelled:,} with another class."
    return replace(source, parts=parts, notes=(*source.notes, note))


def _decisions(table: Table, source: Source) -> dict[str, str]:
    """The decision for each image that has one, by its spelled name."""
    if "decision" not in table.columns:
        raise DataError(f"{table.file} has no column 'decision'. {HOW_TO_GET_ONE}")
    place = table.columns.index("decision")
    known = {_spelled(part.images.name(index)) for part in source.parts.values() for index in range(len(part))}
    decided: dict[str, str] = {}
    for row in table.rows:
        decision, image = row.values[place], _spelled(row.path)
        if not decision:
            continue
        _check_decision(table, row, decision, source)
        if image not in known:
            problem = f"there is no image '{shown(row.path)}' in {printable(source.title)}: the list is of other data."
            raise table.error(row, problem)
        if decided.setdefault(image, decision) != decision:
            raise table.error(row, f"'{shown(row.path)}' is also decided as '{shown(decided[image])}' further up.")
    return decided


def _check_decision(table: Table, row: TableRow, decision: str, source: Source) -> None:
    if decision in (KEEP, DROP):
        return
    if not decision.startswith(RELABEL):
        hint = f" For the class: {RELABEL}{decision}." if decision in source.classes else ""
        raise table.error(row, f"a decision is keep, drop or {RELABEL}NAME, got '{shown(decision)}'.{hint}")
    if not task_named(source.task).single_label:
        raise table.error(row, f"the images have no classes ({source.task}); a decision is keep or drop.")
    name = decision.removeprefix(RELABEL)
    if name not in source.classes:
        near = did_you_mean(name[:80], source.classes)
        raise table.error(row, f"there is no class '{shown(name)}' in {printable(source.title)}.{near}")


def _check_left(source: Source, parts: dict[PartName, Part], file: str) -> None:
    """Raise DataError where a part, or a class of the training images, has lost all its images."""
    for name, part in parts.items():
        if source.parts[name] and not part:
            raise DataError(f"{file} drops every image of the {name} part. Keep some of them.")
    if task_named(source.task).single_label and "train" in parts:
        lost = set(source.parts["train"].targets.tolist()) - set(parts["train"].targets.tolist())
        if lost:
            lost_class = printable(source.classes[min(lost)])
            raise DataError(f"{file} leaves no image of the class '{lost_class}' to train on. Keep one of them.")


def _taken(part: Part, left: Sequence[int]) -> Part:
    """The part of these images; those in files and shards stay what they are, for the scan."""
    if len(left) == len(part):
        return part
    if isinstance(part.images, FolderImages | IndexedImages):
        return part.chosen(part.images.take(left), left)
    return part.take(left)


def check_fix_list_target(file: Path) -> None:
    """Raise UsageError unless a fix list can be written there: decisions are nobody's to
    replace."""
    if file.suffix.lower() != ".csv":
        raise UsageError(f"a fix list is a CSV file, and '{shown(file.name)}' does not end in .csv.")
    check_new_file(file, "--fix-list")


def _spelled(name: str) -> str:
    """A name as both sides of a comparison spell it: names that are not UTF-8 with escapes, and
    paths without detours."""
    return os.path.normpath(name.strip()).encode("utf-8", "backslashreplace").decode()


def _cell(name: str) -> str:
    """The name of an image as a cell that no spreadsheet computes, and that leads to the image."""
    spelled = _spelled(name) if name else ""
    return f"./{spelled}" if spelled.startswith(FORMULA) else spelled


def _text(text: str) -> str:
    spelled = text.encode("utf-8", "backslashreplace").decode()
    return f"'{spelled}" if spelled.startswith(FORMULA) else spelled
