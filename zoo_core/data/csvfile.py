"""The rows of a CSV file that names images: texts, within limits, and no path out of its folder."""

from __future__ import annotations

import csv
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo_core.data.sources import PART_WORDS, PartName
from zoo_core.errors import DataError, UsageError, printable

MAX_BYTES = 256 * 2**20  # some two million rows of a path and a word
MAX_ROWS = 5_000_000
PATH_COLUMNS = ("path", "image", "file")
PART_COLUMN = "part"
NAMED = 5  # missing files that an error lists


@dataclass(frozen=True)
class TableRow:
    """One image: its path, its part and the texts of its target columns."""

    line: int
    """The number of the row's last line in the file."""
    path: str
    part: PartName
    values: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The rows of a file."""

    file: Path
    columns: tuple[str, ...]
    """The names of the target columns."""
    rows: list[TableRow]

    def error(self, row: TableRow, problem: str) -> DataError:
        return DataError(f"{self.file}, line {row.line}: {problem}")

    def every(self, test: Callable[[str], bool]) -> bool:
        return all(test(value) for row in self.rows for value in row.values)


def read_rows(file: Path) -> Table:
    """Read a file. Raises UsageError for a missing file, and DataError that names a wrong line."""
    if not file.is_file():
        raise UsageError(f"there is no file {file}. Give a CSV file that names images, or a folder of images.")
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(f"{file} is larger than {MAX_BYTES // 2**20} MiB; zoo does not read that.")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            return _rows(file, _lines(file, reader))
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def _lines(file: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, as trimmed cells, each with the number of its last line."""
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{file}, line {reader.line_num}: {error}.") from None  # type: ignore[attr-defined]
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield reader.line_num, [cell.strip() for cell in cells]  # type: ignore[attr-defined]


def _rows(file: Path, lines: Iterator[tuple[int, list[str]]]) -> Table:
    _, header = next(lines, (0, []))
    if "" in header or len(set(header)) < len(header):
        raise DataError(f"{file}: every column needs a name of its own in the header, and it is {listed(header)}.")
    found = [name for name in PATH_COLUMNS if name in header]
    if len(found) != 1:
        raise DataError(
            f"{file} needs a header with one column 'path' (or 'image', or 'file') for the images, and its columns, "
            f"separated by commas, are {listed(header) or 'none'}."
        )
    path_at = header.index(found[0])
    part_at = header.index(PART_COLUMN) if PART_COLUMN in header else None
    targets_at = [place for place in range(len(header)) if place not in (path_at, part_at)]
    if not targets_at:
        raise DataError(f"{file} has no column beside the path: it needs one of classes, of labels or of numbers.")
    table = Table(file, tuple(header[place] for place in targets_at), [])
    first_line: dict[str, int] = {}
    for line, cells in lines:
        if len(table.rows) == MAX_ROWS:
            raise DataError(f"{file} has more than {MAX_ROWS} rows; zoo does not read that.")
        if len(cells) != len(header):
            raise DataError(f"{file}, line {line}: {len(cells)} cells, and the header has {len(header)}.")
        word = "train" if part_at is None else cells[part_at].lower()
        if word not in PART_WORDS:
            raise DataError(f"{file}, line {line}: the part must be train, val or test, got '{printable(word)}'.")
        path = cells[path_at]
        if first_line.setdefault(path, line) != line:
            raise DataError(f"{file}, line {line}: '{printable(path)}' stands in line {first_line[path]} already.")
        table.rows.append(TableRow(line, path, PART_WORDS[word], tuple(cells[place] for place in targets_at)))
    if not table.rows:
        raise DataError(f"{file} has a header and no rows.")
    return table


def find_images(table: Table) -> None:
    """Raise DataError unless every path leads to a file inside the CSV file's folder, links followed."""
    root = table.file.parent
    real_root = os.path.realpath(root)
    inside: dict[str, bool] = {}  # by folder: each is resolved once
    missing: list[TableRow] = []
    for row in table.rows:
        folder = os.path.dirname(row.path)
        if _leads_out(row.path):
            raise table.error(row, f"'{printable(row.path)}' is not a path inside the folder of the CSV file.")
        if folder not in inside:
            inside[folder] = _is_inside(os.path.join(root, folder), real_root)
        path = os.path.join(root, row.path)
        try:
            mode = os.lstat(path).st_mode
            if not inside[folder] or (stat.S_ISLNK(mode) and not _is_inside(path, real_root)):
                raise table.error(row, f"'{printable(row.path)}' is a link out of the folder of the CSV file.")
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise table.error(row, f"'{printable(row.path)}' is not a file.")
        except OSError:
            missing.append(row)
    if missing:
        named = ", ".join(f"'{printable(row.path)}' (line {row.line})" for row in missing[:NAMED])
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise DataError(f"{table.file} names images that are not in {root}: {named}{more}.")


def _leads_out(path: str) -> bool:
    """Whether a path is empty, absolute on any system, or climbs."""
    parts = re.split(r"[/\\]", path)
    return not path or "\0" in path or ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:", path))


def _is_inside(path: str, real_root: str) -> bool:
    real = os.path.realpath(path)
    return os.path.commonpath((real, real_root)) == real_root


def listed(names: Sequence[str]) -> str:
    """The names of columns for a message."""
    return ", ".join(f"'{printable(name)}'" for name in names[:10]) + (" ..." if len(names) > 10 else "")
