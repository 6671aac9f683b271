"""The measurements of a lesson, kept in its folder, so that chapters can be taken one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo_core import UsageError, ZooError

FILE = "lesson.json"
VERSION = 1


@dataclass(frozen=True)
class Record:
    """A chapter that was measured."""

    number: int
    name: str
    title: str
    question: str
    choices: Sequence[str]
    guess: int | None
    """The place of the reader's choice; None where nobody was asked."""
    choice: int | None
    """The place of the choice that the numbers speak for; None where they leave it open."""
    commands: Sequence[str]
    sentence: str
    explanation: Sequence[str]
    picture: str
    """The file of the picture in the folder, without its ending: there are .png and .svg."""
    alt: str
    numbers: dict[str, Any]
    seconds: float

    def verdict(self) -> str:
        """The outcome of the guess."""
        if self.choice is None:
            return "The numbers leave the answer open."
        measured = f"Measured: {self.choices[self.choice]}."
        if self.guess is None:
            return measured
        return (
            f"Your guess was right. {measured}" if self.guess == self.choice else f"Your guess was another. {measured}"
        )


@dataclass(frozen=True)
class Told:
    """The lesson as far as it was taken."""

    data: str
    backbone: str
    classes: Sequence[str]
    train: int
    test: int
    unread: int
    """The sample of the photos, as in `Photos`."""
    chapters: dict[int, Record]

    def write(self, folder: Path) -> None:
        """Write it to the folder of the lesson, whole or not at all."""
        own = {"version": VERSION, **asdict(self)}
        own["chapters"] = [asdict(self.chapters[number]) for number in sorted(self.chapters)]
        write_text(folder / FILE, json.dumps(own, indent=1, ensure_ascii=False, default=str) + "\n")


def read(folder: Path) -> Told | None:
    """The part of a lesson that a folder has; None where it is new or empty.

    Raises UsageError for a folder of other things, and ZooError for a file that is none of ours.
    """
    path = folder / FILE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{str(folder)!r} exists and is no folder of a lesson. Give another --out.")
        return None
    try:
        own = json.loads(path.read_text(encoding="utf-8"))
        if own.pop("version") != VERSION:
            raise ValueError("of another version")
        chapters = {one["number"]: Record(**one) for one in own.pop("chapters")}
        return Told(**own, chapters=chapters)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(
            f"{str(path)!r} is not as zoo lesson writes it ({error}). Give another --out, or remove the folder."
        ) from error


def write_text(target: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(part, target)
