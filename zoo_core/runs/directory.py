"""Reads and writes run directories. Every file appears whole under its name, or not at all.

A run may come from anywhere, and it may be published: a file of it that is a link out of it is not
followed.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core.catalog import Choice
from zoo_core.errors import UsageError, ZooError, reason_of
from zoo_core.paths import MAX_JSON_BYTES, MAX_METRICS_BYTES, MAX_METRICS_LINES, json_text, user_path, write_text
from zoo_core.runs.results import parse_result
from zoo_core.runs.schema import FORMAT, RunFacts, parse_facts
from zoo_core.tasks import ALL
from zoo_core.wording import quoted

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
METRICS = "metrics.jsonl"
MODEL = "model.safetensors"
IMAGES = "images.safetensors"
FITTED = "fitted.safetensors"
ANSWERS = "answers.csv"
CURVES = "curves.png"
CARD = "README.md"
TRACKING = "tracking"
"""The folder of the trackers: their own files, and those by which they find the run again."""

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run directory that was read: its facts and where its weights are."""

    directory: Path
    facts: RunFacts

    @property
    def weights_path(self) -> Path:
        return self.directory / MODEL


def file_of(directory: Path, name: str) -> Path:
    """The path of a run's file. Raises ZooError when it is a link that leads out of the run.

    The Hub's cache keeps the contents of a snapshot in the folder `blobs` beside `snapshots`; links
    into that are its way of storing files.
    """
    path = directory / name
    try:
        target = path.resolve()
        homes = [directory.resolve()]
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        raise ZooError(f"{path} cannot be read: {error}.") from error
    if homes[0].parent.name == "snapshots":
        homes.append(homes[0].parent.parent / "blobs")
    if not any(target.is_relative_to(home) for home in homes):
        raise ZooError(f"{path} is a link that leads out of the run, to {target}. Put the file itself there.")
    return path


def read_run(directory: Path) -> Run:
    """Read a run directory's facts. Raises UsageError when it is none, ZooError when it is damaged
    or not finished."""
    run = Run(directory, read_facts(directory))
    if not file_of(directory, MODEL).is_file():
        raise ZooError(
            f"{directory} has no {MODEL}: the run did not finish. Go on with it: `zoo resume {quoted(directory)}`."
        )
    return run


def read_facts(directory: Path) -> RunFacts:
    """Read the facts of a run, finished or not. Raises UsageError when the folder is no run
    directory."""
    path = file_of(directory, CONFIG)
    if not path.is_file():
        raise UsageError(
            f"{directory} is not a run directory: it has no {CONFIG}. `zoo finetune` makes one under ./runs."
        )
    return parse_facts(read_json(path), str(path))


def is_run(directory: Path) -> bool:
    """Whether a folder's config.json is that of a zoo run."""
    data = read_json(file_of(directory, CONFIG))
    return isinstance(data, dict) and data.get("format") == FORMAT


def read_json(path: Path) -> Any:
    """Read a JSON file of at most 8 MiB. Raises ZooError naming the file."""
    return _parsed(path, json.loads)


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics: epochs (`event` = "epoch"), then its results ("result")."""
    path = file_of(directory, METRICS)
    lines = _parsed(path, _json_lines, MAX_METRICS_BYTES)
    if not all(isinstance(line, dict) for line in lines):
        raise ZooError(f"{path} holds lines that are not JSON objects.")
    return lines


def _json_lines(text: str) -> list[Any]:
    lines = text.splitlines()
    if len(lines) > MAX_METRICS_LINES:
        raise ValueError(f"{len(lines):,} lines, more than {MAX_METRICS_LINES:,}")
    return [json.loads(line) for line in lines if line.strip()]


def read_result(run: Run) -> dict[str, Any]:
    """The result in a run's metrics, checked. Raises ZooError when there is none."""
    found = next((line for line in read_metrics(run.directory) if line.get("event") == "result"), None)
    if found is None:
        raise ZooError(f"{run.directory} has no result: the run did not finish. Start it again with `zoo finetune`.")
    return parse_result(found, run.facts, str(run.directory / METRICS))


def _parsed(path: Path, parse: Callable[[str], T], most: int = MAX_JSON_BYTES) -> T:
    try:
        if not path.is_file():  # a pipe would never end
            raise ZooError(f"there is no file {path}.")
        if path.stat().st_size > most:
            raise ZooError(f"{path} is larger than {most // 2**20} MiB; zoo does not read that.")
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, an endless number
        raise ZooError(f"{path} cannot be read: {reason_of(error)}.") from error


class RunWriter:
    """Writes one run directory, file by file, as the run goes on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.metrics: list[dict[str, Any]] = []
        self._wrote_facts = False

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: its weights are written last."""
        return (self.directory / MODEL).is_file()

    @classmethod
    def create(cls, out: str | None, name: str) -> RunWriter:
        """Make the directory: `out`, which must be new or empty, or the next free ./runs/NAME-N."""
        if out is not None:
            directory = user_path(out)
            if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
                raise UsageError(f"{directory} exists and is not empty. Give another --out, or remove it.")
            _make(directory, exist_ok=True)
            return cls(directory)
        number = 1
        while True:
            directory = Path("runs") / f"{name}-{number}"
            try:
                _make(directory, exist_ok=False)
            except FileExistsError:
                number += 1
                continue
            return cls(directory)

    def write_facts(self, facts: RunFacts) -> None:
        """Begin the run. Raises UsageError where another command with the same --out has begun one
        meanwhile."""
        if (self.directory / CONFIG).exists():
            raise UsageError(f"{self.directory} exists and is not empty. Give another --out, or remove it.")
        write_text(self.directory / CONFIG, json_text(facts.to_dict()))
        self._wrote_facts = True

    def replace_facts(self, facts: RunFacts) -> None:
        """Write the facts of a finished run that is trained further."""
        write_text(self.directory / CONFIG, json_text(facts.to_dict()))

    def add_metrics(self, line: Mapping[str, Any]) -> None:
        if not (self.directory / CONFIG).is_file():
            raise ZooError(
                f"the run directory {self.directory} is gone, and nothing can be saved there. Start a new run."
            )
        self.metrics.append(dict(line))
        write_text(self.directory / METRICS, "".join(json.dumps(one, allow_nan=False) + "\n" for one in self.metrics))

    def model_written(self, tensors: Iterable[tuple[str, Tensor]]) -> AbstractContextManager[None]:
        """Write the weights while a block runs. They take their name at its end: that marks a
        finished run."""
        from zoo_core.tensors import tensors_written  # it imports torch, which a listing of runs does without

        return tensors_written(self.directory / MODEL, dict(tensors))

    def write_card(self, text: str) -> None:
        write_text(self.directory / CARD, text)

    def remove_leftovers(self) -> None:
        """Remove the unfinished files of a killed process."""
        for name in (
            CONFIG,
            METRICS,
            MODEL,
            IMAGES,
            FITTED,
            ANSWERS,
            CURVES,
            *(task.picture for task in ALL.values()),
            CARD,
        ):
            for path in self.directory.glob(f".{name}.*"):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def others(self) -> list[str]:
        """The names of the files here that the run did not write, such as a report or an exported
        model."""
        pictures = {task.picture for task in ALL.values()}
        own = {CONFIG, METRICS, MODEL, IMAGES, FITTED, ANSWERS, CURVES, CARD, *pictures}
        files = (path.name for path in self.directory.iterdir() if path.is_file())
        return sorted(name for name in files if name not in own and not name.startswith("."))

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with: an epoch or a checkpoint."""
        return bool(self.metrics) or (self.directory / "checkpoints").exists()

    def discard_unless_begun(self) -> None:
        """Remove the directory when it holds no epoch yet: a run that failed at once leaves nothing
        behind.

        The files of another command with the same --out stay.
        """
        if self.directory.is_dir() and not self.begun:
            if self._wrote_facts:
                shutil.rmtree(self.directory / TRACKING, ignore_errors=True)
                for name in (CONFIG, IMAGES):
                    (self.directory / name).unlink(missing_ok=True)
            if not any(self.directory.iterdir()):
                self.directory.rmdir()


def _make(directory: Path, *, exist_ok: bool) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise ZooError(f"the run directory {directory} cannot be made: {error.strerror or error}.") from error


def provider(choice: Choice[Any]) -> dict[str, str]:
    """The name, distribution and version of a choice, for the run's facts."""
    return {"name": str(choice), "distribution": choice.entry.distribution, "version": choice.entry.version}


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
