"""The columns of a CSV file that names images: those of targets, and those of parts and groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo_core.data.parts import part_named
from zoo_core.errors import DataError, printable
from zoo_core.tasks.multilabel import label_value

TARGET_NAMES = ("label", "labels", "class", "class_name", "category", "target", "tags")
"""Names of a column that is the target where the columns beside it leave the choice open."""
PART_COLUMN = "part"
GROUP_COLUMN = "group"
PART_SYNONYMS = (PART_COLUMN, "split", "subset", "partition", "set")
MOST = 0.5  # of a column's cells: where so many fit, the others are mistakes

Lines = Sequence[tuple[int, list[str]]]
"""The rows of a file, each with the number of its line."""


@dataclass(frozen=True)
class Header:
    """The names of the columns, and the places of those that are no targets."""

    names: list[str]
    path: int
    part: int | None = None
    index: int | None = None
    """The column of row numbers that pandas writes, without a name."""
    group: int | None = None

    @property
    def targets(self) -> list[int]:
        return [place for place in range(len(self.names)) if place not in self.others]

    @property
    def others(self) -> tuple[int | None, ...]:
        """The places of the columns that are no targets."""
        return self.path, self.part, self.index, self.group


def most_fit(cells: Sequence[str], fits: Callable[[str], bool]) -> bool:
    """Whether so many cells fit that the others are mistakes."""
    return bool(cells) and sum(map(fits, cells)) >= MOST * len(cells)


def with_part(header: Header, file: Path, rows: Lines) -> Header:
    """The header with a column of parts under another name: one in which most of the cells that are
    not empty name a part, so that an odd cell is an error and no split is lost.

    Raises DataError where two columns name different parts.
    """
    if len(header.targets) < 2:
        return header
    named = [] if header.part is None else [header.part]
    named += [
        place
        for place in header.targets
        if header.names[place].lower() in PART_SYNONYMS
        and most_fit([cells[place] for _, cells in rows if cells[place]], lambda cell: part_named(cell) is not None)
    ]
    if len(named) > 1 and any(len({part_named(cells[place]) for place in named}) > 1 for _, cells in rows):
        raise _one_too_many(header, file, named, "name different parts")
    return replace(header, part=named[0]) if named else header


def with_group(header: Header, file: Path, rows: Lines) -> Header:
    """The header with a column of groups; the only column beside the path is a target, whatever its
    name, and one of 0 and 1 beside labels of 0 and 1 is a label.

    Raises DataError for two such columns, as Group and group.
    """
    named = [place for place in header.targets if header.names[place].lower() == GROUP_COLUMN]
    if not named or len(header.targets) == 1:
        return header
    is_label = not any(header.names[place].lower() in TARGET_NAMES for place in header.targets) and all(
        label_value(cells[place]) is not None for place in (*named, *header.targets) for _, cells in rows
    )
    if is_label:
        return header
    if len(named) > 1:
        raise _one_too_many(header, file, named, "name groups")
    return replace(header, group=named[0])


def _one_too_many(header: Header, file: Path, places: Sequence[int], problem: str) -> DataError:
    """The error of columns of which only one may be there."""
    names = listed([header.names[place] for place in places])
    return DataError(f"{file} has the columns {names}, which {problem}. Keep one of them.")


def listed(names: Sequence[str]) -> str:
    """The names of columns for a message."""
    return ", ".join(f"'{printable(name[:80])}'" for name in names[:10]) + (" ..." if len(names) > 10 else "")
