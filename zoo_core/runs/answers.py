"""The answers of a run on the images that it was measured on: `answers.csv`, a row for each image.

The file stays on this machine: a published model has no names of images.

Shapes: N images.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo_core.data.sources import Part
from zoo_core.errors import ZooError, printable, reason_of
from zoo_core.paths import write_text
from zoo_core.runs.directory import ANSWERS, file_of
from zoo_core.tasks.targets import Targets

COLUMNS = ["image", "class", "answer"]
MAX_BYTES = 2**30  # as many rows of 200 bytes as a table of images may have


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer on one image, and whether it is the image's class."""

    image: str
    is_right: bool


def write_answers(directory: Path, part: Part, classes: Sequence[str], answers_N: Targets) -> None:
    """Write the class and the answered class of each image of a part, in its order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index, (target, answer) in enumerate(zip(part.targets.tolist(), answers_N.tolist(), strict=True)):
        writer.writerow([printable(part.images.name(index)), classes[target], classes[answer]])
    write_text(directory / ANSWERS, text.getvalue())


def read_answers(directory: Path) -> list[Answer] | None:
    """The answers of a run, None where it has none: other tasks, and runs of older versions.

    Raises ZooError for a file that is none of a run.
    """
    path = file_of(directory, ANSWERS)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            if next(rows, None) != COLUMNS:
                raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
            return [Answer(image, true == answer) for image, true, answer in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise ZooError(f"{path} cannot be read: {reason_of(error)}. Remove it to go without the answers.") from error
