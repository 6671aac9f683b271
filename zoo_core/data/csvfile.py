"""The rows of a CSV file that names images: texts, within limits, and no path out of its folder."""

from __future__ import annotations

import csv
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from zoo_core.data.columns import PART_COLUMN, Header, Lines, listed, with_group, with_part
from zoo_core.data.parts import part_named
from zoo_core.errors import DataError, UsageError, printable, shown
from zoo_core.tasks.targets import PartName

MAX_BYTES = 256 * 2**20  # some two million rows of a path and a word
MAX_ROWS = 5_000_000
MAX_COLUMNS = 100_000  # as many as there may be labels
DELIMITERS = (",", ";", "\t")
PATH_COLUMNS = ("path", "image", "file")
PATH_SYNONYMS = (
    *("filename", "file_name", "filepath", "file_path", "image_path", "image_name", "image_file", "image_id"),
    *("img", "img_path", "imagepath", "imagename", "photo", "picture"),
)
SHORT = 8  # characters of cells that recur, of which one copy is held
UNCLOSED = "unexpected end of data"  # the csv module's words for a quote that is open at the end
NAMED = 5  # missing files that an error lists


@dataclass(frozen=True, slots=True)
class TableRow:
    """One image: its path, its part and the texts of its target columns."""

    line: int
    """The number of the row's last line in the file."""
    path: str
    part: PartName
    values: tuple[str, ...]
    group: str | None = None


@dataclass(frozen=True)
class Table:
    """The rows of a file."""

    file: Path
    columns: tuple[str, ...]
    """The names of the target columns."""
    rows: list[TableRow]
    ignored: dict[str, int] = field(default_factory=dict)

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
            delimiter, lines_before = _delimiter(stream)
            return _table(file, _lines(file, csv.reader(stream, strict=True, delimiter=delimiter), lines_before))
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def _delimiter(stream: TextIO) -> tuple[str, int]:
    """The first delimiter that shows a column of paths in the header, the comma where none does,
    and the number of lines before the header.

    The stream then stands at the header, behind a line such as `sep=;` of a spreadsheet.
    """
    first = stream.readline().strip()
    named = re.fullmatch(r'"?sep=(.|\\t)"?', first)
    if named:
        return named[1].replace("\\t", "\t"), 1
    stream.seek(0)
    for delimiter in DELIMITERS:
        names = {cell.strip(' "').lower() for cell in first.split(delimiter)}
        if names & {*PATH_COLUMNS, *PATH_SYNONYMS}:
            return delimiter, 0
    return DELIMITERS[0], 0


def _lines(file: Path, reader: Iterator[list[str]], lines_before: int) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, as trimmed cells, each with the number of its last line."""
    last = lines_before
    while True:
        first = last + 1
        cells, problem = None, ""
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = printable(str(error))
        last = lines_before + reader.line_num  # type: ignore[attr-defined]
        if problem and (last > first or problem == UNCLOSED):
            raise DataError(
                f"{file}, line {first}: in the row that begins here a quote is not closed (line {last}: {problem}). "
                'Close it; a quote that belongs to a cell is written twice, "", in a cell in quotes.'
            )
        if problem:
            raise DataError(f"{file}, line {last}: {problem}.")
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield last, [cell.strip() for cell in cells]


def _table(file: Path, lines: Iterator[tuple[int, list[str]]]) -> Table:
    _, names = next(lines, (0, []))
    header = _header(file, names)
    texts: dict[str, str] = {}
    rows: list[tuple[int, list[str]]] = []
    for line, cells in lines:
        if len(rows) == MAX_ROWS:
            raise DataError(f"{file} has more than {MAX_ROWS} rows; zoo does not read that.")
        if len(cells) != len(names):
            raise DataError(f"{file}, line {line}: {len(cells)} cells, and the header has {len(names)}.")
        rows.append((line, [texts.setdefault(cell, cell) if len(cell) <= SHORT else cell for cell in cells]))
    if not rows:
        raise DataError(f"{file} has a header and no rows.")
    header = with_part(_with_index(header, file, rows), file, rows)
    header = with_group(header, file, rows)
    targets = header.targets
    table = Table(file, tuple(names[place] for place in targets), [])
    if header.index is not None:
        table.ignored["column of row numbers"] = 1
    for line, cells in rows:
        word = "train" if header.part is None else cells[header.part]
        part = part_named(word)
        if part is None:
            raise DataError(
                f"{file}, line {line}: the part must be train, val or test, got '{shown(word)}'. Correct it, or give the "
                f"column {listed([names[header.part or 0]])} another name if it does not hold parts."
            )
        group = None if header.group is None else cells[header.group]
        table.rows.append(TableRow(line, cells[header.path], part, tuple(cells[place] for place in targets), group))
    return table


def _header(file: Path, names: list[str]) -> Header:
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{file} has {len(names):,} columns; zoo reads {MAX_COLUMNS:,} at most.")
    if "" in names[1:] or len(set(names)) < len(names):
        raise DataError(f"{file}: every column needs a name of its own in the header, and it is {listed(names)}.")
    found = [name for name in PATH_COLUMNS if name in names]
    if not found:
        found = [name for name in names if name.lower() in (*PATH_COLUMNS, *PATH_SYNONYMS)]
    if len(found) != 1:
        raise DataError(
            f"{file} needs a header with one column 'path' (or 'image', 'file', 'filename') for the images, and its "
            f"columns are {listed(names) or 'none'}."
        )
    return Header(names, names.index(found[0]), names.index(PART_COLUMN) if PART_COLUMN in names else None)


def _with_index(header: Header, file: Path, rows: Lines) -> Header:
    """The header with a first column without a name, which must number the rows from 0 or 1 on."""
    if header.names[0]:
        return header
    first = rows[0][1][0]
    if first not in ("0", "1") or any(cells[0] != str(number) for number, (_, cells) in enumerate(rows, int(first))):
        raise DataError(f"{file}: every column needs a name of its own in the header, and the first has none.")
    return replace(header, index=0)


def find_images(table: Table) -> list[str]:
    """The path of each row's image, relative to the CSV file's folder.

    Raises DataError unless every path leads to a file inside that folder, links followed, and no
    two to one.
    """
    root = table.file.parent
    real_root = os.path.realpath(root)
    inside: dict[str, bool] = {}  # by folder: each is resolved once
    paths: list[str] = []
    first_line: dict[str, int] = {}  # by path in its shortest spelling
    missing: list[TableRow] = []
    for row in table.rows:
        relative = _relative(row.path, root, real_root)
        if relative is None:
            raise table.error(
                row,
                f"'{shown(row.path)}' is not a path inside the folder of the CSV file. Move the file into a folder "
                "that holds all images.",
            )
        spelled = os.path.normpath(relative)
        if first_line.setdefault(spelled, row.line) != row.line:
            raise table.error(row, f"'{shown(row.path)}' stands in line {first_line[spelled]} already.")
        paths.append(relative)
        folder = os.path.dirname(relative)
        if folder not in inside:
            inside[folder] = _is_inside(os.path.join(root, folder), real_root)
        path = os.path.join(root, relative)
        try:
            mode = os.lstat(path).st_mode
            if not inside[folder] or (stat.S_ISLNK(mode) and not _is_inside(path, real_root)):
                raise table.error(row, f"'{shown(row.path)}' is a link out of the folder of the CSV file.")
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise table.error(row, f"'{shown(row.path)}' is not a file.")
        except OSError:
            missing.append(row)
    if missing:
        named = ", ".join(f"'{shown(row.path)}' (line {row.line})" for row in missing[:NAMED])
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise DataError(f"{table.file} names images that are not in {root}: {named}{more}.")
    return paths


def _relative(path: str, root: Path, real_root: str) -> str | None:
    """A path as one below `root`, None where it leads out of it.

    An absolute path may lie inside the folder, and a path of Windows has backslashes.
    """
    if os.path.isabs(path) and "\0" not in path:
        for start in (os.path.abspath(root), real_root):
            below = os.path.relpath(path, start)
            if not _leads_out(below):
                return below
        return None
    if _leads_out(path):
        return None
    if "\\" in path and not os.path.lexists(os.path.join(root, path)):
        return path.replace("\\", "/")
    return path


def _leads_out(path: str) -> bool:
    """Whether a path is empty, absolute on any system, or climbs."""
    parts = re.split(r"[/\\]", path)
    return not path or "\0" in path or ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:", path))


def _is_inside(path: str, real_root: str) -> bool:
    real = os.path.realpath(path)
    return os.path.commonpath((real, real_root)) == real_root
