"""The folder of a comparison: a run directory for each cell, and cells.json, which says whose they
are.

A cell is found again by its settings and not by its name, so that a folder takes further cells:
with more seeds, or another backbone, only those are trained that are not there yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zoo_core.choosing.grid import AXES, Cell, Grid, settings_asked
from zoo_core.devices.world import World
from zoo_core.errors import UsageError, ZooError, printable
from zoo_core.paths import json_text, write_text
from zoo_core.runs.directory import CONFIG, MODEL, read_json
from zoo_core.training.checkpoint import remove_checkpoints
from zoo_core.training.failing import LOCK, only_writer

CELLS = "cells.json"
ANSWERS = "compare.json"
"""The answers of the newest grid; its picture has the same name with .png."""
FORMAT, VERSION = "zoo-compare", 1


class Folder:
    """A folder of cells, which `held` makes. Raises UsageError for a folder that holds something
    else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells: dict[str, dict[str, Any]] = {}
        """By the name of the directory: `settings`, and once a training has begun
        `trainable_parameters` and `notes`."""
        self._names: dict[str, str] = {}
        self._read()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Create the folder, and keep other comparisons out of it. Raises ZooError if there is
        one."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ZooError(
                f"the folder {self.root} cannot be made: {error.strerror or error}. Give another --out."
            ) from error
        with only_writer(self.root, World()):
            self._read()  # again: another comparison may have claimed cells since
            self._take_notes()
            for path in list(filter(_is_unfinished, self.root.iterdir())):
                path.unlink(missing_ok=True)
            try:
                yield
            finally:
                self._take_notes()

    def establish(self) -> None:
        """Write down that the folder is one of these, before any cell is claimed."""
        self._write()

    def claim(self, grid: Grid) -> None:
        """Give every cell of a grid its directory, and write down which is whose."""
        for cell in grid.cells:
            settings = settings_asked(cell.config)
            if _key(settings) in self._names:
                continue
            wanted, number = grid.name(cell), 1
            name = wanted
            while name in self.cells or (self.root / name).exists():
                number += 1
                name = f"{wanted}-{number}"
            self.cells[name] = {"settings": settings}
            self._names[_key(settings)] = name
        self._write()

    def directory(self, cell: Cell) -> Path:
        """The run directory of a cell that was claimed."""
        return self.root / self._names[_key(settings_asked(cell.config))]

    def is_finished(self, cell: Cell) -> bool:
        directory = self.directory(cell)
        if not (directory / MODEL).is_file():
            return False
        remove_checkpoints(directory)  # the run may have been killed before it came to that, or to its lock
        (directory / LOCK).unlink(missing_ok=True)
        return True

    def note(self, cell: Cell, trainable: int, notes: Sequence[str]) -> None:
        """Remember the trainable parameters of a cell and the notes on it, which a run does not."""
        own = self.cells[self.directory(cell).name]
        known = {"trainable_parameters": trainable, "notes": list(notes)}
        if not known.items() <= own.items():
            own.update(known)
            self._write()

    def trainable_parameters(self, cell: Cell) -> int | None:
        trainable: int | None = self.cells[self.directory(cell).name].get("trainable_parameters")
        return trainable

    def notes(self, cell: Cell) -> tuple[str, ...]:
        return tuple(self.cells[self.directory(cell).name].get("notes", ()))

    def set_aside(self, grid: Grid) -> Path | None:
        """Rename the answers of an earlier grid in this folder that are not part of this one's;
        returns their new place, None where there are none."""
        old = self.root / ANSWERS
        try:
            answers = read_json(old)
            rows = {tuple(row[axis] for axis in AXES) for row in answers["results"]}
            others = rows - {tuple(getattr(one, axis) for axis in AXES) for one in grid.candidates}
            repeats = {*answers["seeds"]} - {*grid.seeds} | {*answers["fractions"]} - {*grid.shares}
            if not others and not repeats and answers["folds"] == grid.folds:
                return None
            asked = repr((sorted(rows), answers["seeds"], answers["fractions"], answers["folds"]))
        except (ZooError, KeyError, TypeError):  # none, or damaged: written anew
            return None
        return rename_answers(old, asked)

    def _take_notes(self) -> None:
        """Remember the notes that other processes left, and remove them: their comparison may have
        been killed before it heard of their cells."""
        for name, one in self.cells.items():
            left = _note_file(self.root / name)
            if left.is_file():
                with suppress(ZooError, TypeError):  # damaged
                    one.update(_checked(name, {**one, **read_json(left)}, left))
                    self._write()
                with suppress(ZooError, KeyError, TypeError):  # not begun, or damaged
                    name_directory(self.root / name)
                left.unlink(missing_ok=True)

    def _read(self) -> None:
        root = self.root
        if (root / CELLS).is_file():
            self.cells = _read_cells(root / CELLS)
        elif root.exists() and (not root.is_dir() or any(not _is_leftover(path) for path in root.iterdir())):
            raise UsageError(
                f"{printable(str(root))} exists and is no comparison or advice. Give another --out, or remove it."
            )
        self._names = {_key(one["settings"]): name for name, one in self.cells.items()}

    def _write(self) -> None:
        write_text(self.root / CELLS, json_text({"format": FORMAT, "version": VERSION, "cells": self.cells}))


def name_directory(run: Path) -> None:
    """Let the config of a run that was trained elsewhere name its directory as a training here
    does."""
    facts = read_json(run / CONFIG)
    if facts["config"]["out"] != str(run):
        facts["config"]["out"] = str(run)
        write_text(run / CONFIG, json_text(facts))


def leave_note(directory: Path, trainable: int, notes: Sequence[str]) -> None:
    """Leave the note on a cell beside its run directory, from another process than that of the
    folder: should that be killed before it hears of the cell, the next one finds it."""
    write_text(_note_file(directory), json_text({"trainable_parameters": trainable, "notes": list(notes)}))


def _note_file(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.note")


def rename_answers(file: Path, asked: str) -> Path:
    """Rename answers and their picture so that others can take their place: after all that they
    were `asked` for. Returns the new place."""
    new = file.with_stem(f"{file.stem}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}")
    for suffix in (".png", file.suffix):
        if file.with_suffix(suffix).is_file():
            file.with_suffix(suffix).replace(new.with_suffix(suffix))
    return new


def _is_leftover(path: Path) -> bool:
    """Whether a comparison that was killed as it began left a file."""
    return path.name == LOCK or _is_unfinished(path)


def _is_unfinished(path: Path) -> bool:
    """Whether a comparison that was killed left a file that it was writing."""
    return path.name.startswith((f".{CELLS}.", f".{ANSWERS}."))


def _key(settings: dict[str, Any]) -> str:
    return json_text(dict(sorted(settings.items())))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _read_cells(path: Path) -> dict[str, dict[str, Any]]:
    data = read_json(path)
    cells = data.get("cells") if isinstance(data, dict) and data.get("format") == FORMAT else None
    if not isinstance(cells, dict) or data.get("version") != VERSION:
        raise ZooError(f"{path} is no list of cells that this zoo reads. Give another --out, or remove the folder.")
    return {name: _checked(name, one, path) for name, one in cells.items()}


def _checked(name: str, one: Any, path: Path) -> dict[str, Any]:
    """A cell as a file has it. Raises ZooError where it is none."""
    trainable = one.get("trainable_parameters") if isinstance(one, dict) else ""
    is_plain = Path(name).name == name and name not in ("", ".", "..")
    is_sound = is_plain and isinstance(trainable, int | None) and isinstance(one.get("settings"), dict)
    if not is_sound or not _are_texts(one.get("notes", [])):
        raise ZooError(f"{path} is damaged at '{printable(name[:80])}'. Give another --out, or remove the folder.")
    cell: dict[str, Any] = one
    return cell
