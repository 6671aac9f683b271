"""CSV files, read a second time by a reader of the fuzzer's own."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from fuzz.mutations import damaged_table
from fuzz.target import Case, expect, fresh, target
from fuzz.targets.images import good_images
from zoo_core.data.parts import part_named
from zoo_core.data.sources import Source
from zoo_core.data.tables import read_table

IMAGES = 6
PART_CYCLE = ("train", "val", "train", "test", "train", "train")
ASKED = ("auto", "classification", "multilabel", "regression")


def _tables() -> tuple[bytes, ...]:
    rows = range(IMAGES)
    texts = (
        ["path,part,label", *(f"a/{n}.png,{PART_CYCLE[n]},{'cat' if n < 2 or n == 3 else 'dog'}" for n in rows)],
        ["image,labels", *(f'a/{n}.png,"sea|sun{"|sky" if n % 2 else ""}"' for n in rows)],
        ["filename,x,y", *(f"a/{n}.png,{n}.5,{n}e3" for n in rows)],
        ["file,l1,l2", *(f"a/{n}.png,{n % 2},1" for n in rows)],
        [",path,kind", *(f"{n},a/{n}.png,k{n % 2}" for n in rows)],
        [
            "path,split,width,class_name",
            *(f"a/{n}.png,{PART_CYCLE[n]},{n},c{n % 2 if n not in (1, 3) else 0}" for n in rows),
        ],
    )
    return tuple("\n".join(lines).encode() + b"\n" for lines in texts)


@target("table", weight=6)
def table(folder: Path) -> Case:
    """Every row of a table is in the data set, under its own path, part and target."""
    (folder / "a").mkdir()
    png = good_images()["PNG"][0]
    for number in range(IMAGES):
        (folder / "a" / f"{number}.png").write_bytes(png)

    def check(content: bytes) -> None:
        task: Any = ASKED[crc32(content) % len(ASKED)] if content not in seeds else "auto"
        source = read_table(fresh(folder / "t.csv", content), task)
        _check_agrees(source, content.decode("utf-8-sig"), folder)

    seeds = _tables()
    return Case(seeds, check, damaged_table)


def _check_agrees(source: Source, text: str, folder: Path) -> None:
    """Some reading of the text, by one of the delimiters, gives this data set."""
    faults = [_difference(source, rows, folder) for rows in _readings(text)]
    expect(None in faults, f"{faults} of {source}")


def _readings(text: str) -> list[list[list[str]]]:
    """The rows that are not empty, by each delimiter."""
    found = []
    first, _, rest = text.partition("\n")
    named = first.strip().strip('"')
    if named.startswith("sep=") and len(named) == 5:
        return [_cells(rest, named[4])]
    for delimiter in ",;\t":
        found.append(_cells(text, delimiter))
    return found


def _cells(text: str, delimiter: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return []
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]


def _difference(source: Source, rows: list[list[str]], folder: Path) -> str | None:
    """The first difference between a data set and the rows of a table, None where they agree."""
    read = {
        part.images.name(index): (name, part.targets[index])
        for name, part in source.parts.items()
        for index in range(len(part))
    }
    if len(rows) != len(read) + 1 or len({len(row) for row in rows}) != 1:
        return f"{len(rows)} rows"
    columns = {name: [row[place] for row in rows[1:]] for place, name in enumerate(rows[0])}
    paths = next((cells for cells in columns.values() if {_path(cell, folder) for cell in cells} == set(read)), None)
    if paths is None or len(columns) != len(rows[0]):
        return "paths"
    keys = [_path(cell, folder) for cell in paths]
    parts = [read[key][0] for key in keys]
    in_words = {name: [part_named(cell) for cell in cells] for name, cells in columns.items()}
    if set(parts) != {"train"} and parts not in in_words.values():
        return "parts"
    if set(parts) == {"train"} and set(in_words.get("part", ["train"])) != {"train"}:
        return "parts that were not heeded"
    targets = [read[key][1] for key in keys]
    return None if _targets_agree(source, columns, targets) else "targets"


def _targets_agree(source: Source, columns: dict[str, list[str]], targets: list[Any]) -> bool:
    if source.task == "classification":
        return any([source.classes[one] for one in targets] == cells for cells in columns.values())
    values = np.asarray(targets)
    if source.task == "multilabel" and not set(source.classes) <= set(columns):
        sets = [{name for name, one in zip(source.classes, row, strict=True) if one} for row in values]
        return any(
            [{t.strip() for t in cell.split("|")} - {""} for cell in cells] == sets for cells in columns.values()
        )
    for place, name in enumerate(source.classes):
        numbers = [_number(cell) for cell in columns[name]]
        if not np.array_equal(np.asarray(numbers).astype(values.dtype), values[:, place]):
            return False
    return True


def _number(cell: str) -> float:
    words = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
    try:
        return words[cell.lower()] if cell.lower() in words else float(cell)
    except ValueError:
        return math.nan


def _path(cell: str, folder: Path) -> str:
    if os.path.isabs(cell):
        return os.path.relpath(cell, folder)
    return cell if "\\" not in cell else cell.replace("\\", "/")
