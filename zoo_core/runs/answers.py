"""The answers of a run on the images that it was measured on: `answers.csv`, a row for each image.

The file stays on this machine: a published model has no names of images.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from zoo_core.csv_rows import csv_writer
from zoo_core.data.sources import Part
from zoo_core.errors import ZooError, printable, reason_of
from zoo_core.paths import write_text
from zoo_core.runs.directory import ANSWERS, file_of
from zoo_core.tasks.targets import Targets
from zoo_core.wording import MANY_DIGITS

T = TypeVar("T")
Rows = Iterator[list[str]]

COLUMNS = ["image", "class", "answer", "digest"]
COLUMNS_BEFORE = COLUMNS[:3]
"""Those of zoo 0.2 before it wrote digests: images of several shards may have one name."""
TARGET, ANSWER = "target_", "answer_"
"""Before the name of a label or number, in the columns of the other tasks."""
MAX_BYTES = 2**30  # as many rows of 200 bytes as a table of images may have
MAX_NUMBERS = 20_000_000  # answers and targets of 20 bytes each: two fifths of MAX_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer on one image, and whether it is the image's class; `digest` of the image's content
    in hexadecimal digits, empty in a file without."""

    image: str
    is_right: bool
    digest: str = ""


@dataclass(frozen=True, eq=False)
class OutputAnswers:
    """The answers on N images, probabilities of K labels or K numbers each, and their targets."""

    images: tuple[str, ...]
    digests: tuple[str, ...]
    answers_NK: npt.NDArray[np.float64]
    targets_NK: npt.NDArray[np.float64]


def write_answers(directory: Path, part: Part, names: Sequence[str], answers: Targets) -> None:
    """Write the answer on each image of a part beside its target: classes (N), or (N, K) labels or
    numbers, which are left out where they would fill gigabytes."""
    if answers.ndim == 2 and 2 * answers.size > MAX_NUMBERS:
        return
    text = io.StringIO()
    writer = csv_writer(text)
    is_class = answers.ndim == 1
    writer.writerow(COLUMNS if is_class else ["image", *_columns(names), "digest"])
    for index, (target, answer) in enumerate(zip(part.targets, answers, strict=True)):
        cells = (names[target], names[answer]) if is_class else map(_digits, (*target, *answer))
        writer.writerow([printable(part.images.name(index)), *cells, part.images.digest(index).hex()])
    write_text(directory / ANSWERS, text.getvalue())


def _digits(value: Any) -> str:
    """The shortest digits of a number; of a large one in float32, where these are hundreds off,
    all."""
    return str(value) if abs(value) < MANY_DIGITS else str(float(value))


def read_answers(directory: Path) -> list[Answer] | None:
    """The answers of a classifier's run, None where it has none: runs of older versions.

    Raises ZooError for a file that is none of a classifier.
    """
    return _read(directory, _parsed_classes)


def read_output_answers(directory: Path) -> OutputAnswers | None:
    """The answers of a run of labels or numbers, None where it has none: runs of older versions,
    and those with very many.

    Raises ZooError for a file that is none of such a run.
    """
    return _read(directory, _parsed_outputs)


def _read(directory: Path, parse: Callable[[Rows], T]) -> T | None:
    path = file_of(directory, ANSWERS)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
        with path.open(encoding="utf-8", newline="") as stream:
            return parse(csv.reader(stream, strict=True))
    except (OSError, ValueError, TypeError, csv.Error) as error:  # TypeError: a row with too few cells, or too many
        raise ZooError(f"{path} cannot be read: {reason_of(error)}. Remove it to go without the answers.") from error


def _parsed_classes(rows: Rows) -> list[Answer]:
    if next(rows, None) not in (COLUMNS, COLUMNS_BEFORE):
        raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
    return [_answer(*row) for row in rows]


def _answer(image: str, true: str, answer: str, digest: str = "") -> Answer:
    return Answer(image, true == answer, digest)


def _parsed_outputs(rows: Rows) -> OutputAnswers:
    header = next(rows, [])
    names = [column.removeprefix(TARGET) for column in header[1 : 1 + len(header) // 2 - 1]]
    if not names or header != ["image", *_columns(names), "digest"]:
        raise ValueError(f"its columns are not image, {TARGET}NAME and {ANSWER}NAME of each output, digest")
    images, digests, numbers = [], [], []
    for image, *cells, digest in rows:
        if len(cells) != 2 * len(names):
            raise ValueError(f"a row has {len(cells) + 2} cells and not {len(header)}")
        images.append(image)
        digests.append(digest)
        numbers.append(np.array([float(cell) for cell in cells]))
    values: Any = np.array(numbers).reshape(len(images), 2, len(names))
    if not images or not np.isfinite(values).all():
        raise ValueError("it holds no images, or a number that is not finite")
    return OutputAnswers(tuple(images), tuple(digests), values[:, 1], values[:, 0])


def _columns(names: Sequence[str]) -> list[str]:
    return [f"{TARGET}{name}" for name in names] + [f"{ANSWER}{name}" for name in names]
