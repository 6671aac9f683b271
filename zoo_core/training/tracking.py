"""Trackers: code of plugins that records a training while it goes on.

Each tracker works in a thread of its own, so that no training waits for a server. One that fails is
named once and left behind. `tracking/trackers.json` in the run directory has the run's id at each
tracker, by which a resumed training goes on there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Literal, Protocol

from zoo_core.catalog import Catalog, Choice, attributing_errors, owner_of
from zoo_core.errors import PluginError, UsageError, ZooError, brief, printable, shown
from zoo_core.options import split_list
from zoo_core.paths import json_text, write_text
from zoo_core.result_specs import TrackerSpec
from zoo_core.runs.directory import TRACKING, file_of, read_json
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings.words import NO_TRACKERS
from zoo_core.specs import resolve
from zoo_core.training.stopping import Interrupted

IDS = "trackers.json"
MAX_ID = 500  # characters of an id or a place; MLflow's have 32, an address with the names of a project and a run more
PRIVATE = ("track", "out")
"""Settings that no tracker is told: an address in `track` may be a secret, and `out` is a path."""

Outcome = Literal["finished", "interrupted", "failed"]
WAITS: dict[Outcome, float] = {"finished": 30.0, "interrupted": 5.0, "failed": 5.0}
"""The seconds that the end of a training waits for its trackers. One that was stopped from outside
may be killed soon: schedulers and terminals grant some seconds."""


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A training that begins or is resumed, as a tracker hears of it."""

    name: str
    """The name of the run directory."""
    folder: Path
    """A folder in the run directory for the tracker's own files; it may not exist yet."""
    settings: Mapping[str, Any]
    """The settings as they were decided, by name: texts, numbers, booleans."""
    facts: Mapping[str, Any]
    """Everything that decides the result, as config.json has it."""
    first_epoch: int
    """The number of the first epoch that follows: 1, or a later one of a resumed training."""
    id: str | None
    """The tracker's `id` of the training before it was interrupted; None: it is new here."""


class Tracker(Protocol):
    """Records one training. Its calls come one at a time, from one thread."""

    id: str
    """A text by which the tracker finds the run again when it is resumed."""
    place: str
    """The address or folder at which a person finds the record."""

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """An epoch, counted from 1, is done: its losses, the validation score as `val_accuracy`,
        the learning rate and the seconds."""

    def end(self, outcome: Outcome, figures: Mapping[str, float]) -> None:
        """The training ended. One that finished has the figures of its result, by dotted names."""


@dataclass(frozen=True)
class Tracked:
    """A tracker of a training and what became of it."""

    name: str
    id: str | None = None
    place: str | None = None
    problem: str | None = None
    """The reason why it does not have all; None: it does."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def trackers_named(text: str, catalog: Catalog) -> tuple[Choice[TrackerSpec], ...]:
    """The trackers of a setting such as "tensorboard,mlflow:uri=http://tracking:5000".

    Raises UsageError for an unknown name, impossible options, and a tracker that stands twice.
    """
    if text == NO_TRACKERS:
        return ()
    names = split_list(text, "--track")
    if NO_TRACKERS in names:
        raise UsageError(f"'{NO_TRACKERS}' stands alone, and not in '{shown(text)}'. Leave it out, or the others.")
    chosen = tuple(catalog.tracker(name) for name in names)
    texts = [str(one) for one in chosen]
    twice = next((one for one in texts if texts.count(one) > 1), None)
    if twice is not None:
        raise UsageError(f"'{shown(twice)}' stands twice in '{shown(text)}'. Leave one out.")
    return chosen


def numbers_of(line: Mapping[str, Any], before: str = "") -> dict[str, float]:
    """The finite numbers of a nested mapping by dotted names; lists are left out."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            found |= numbers_of(value, f"{before}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[f"{before}{name}"] = value
    return found


class Trackers:
    """The trackers of one training. Its methods are called by the training's own thread, and return
    at once but for `end`; `message` says which tracker failed."""

    def __init__(self, choices: Sequence[Choice[TrackerSpec]], directory: Path, message: Callable[[str], None]) -> None:
        self.choices, self.directory, self.message = choices, directory, message
        self.followers: list[_Follower] = []

    def start(self, settings: Mapping[str, Any], facts: Mapping[str, Any], first_epoch: int) -> None:
        """Begin to record, or go on with the record of a resumed training."""
        ids = read_ids(self.directory) if self.choices else {}
        own = {name: value for name, value in settings.items() if name not in PRIVATE and value is not None}
        config = {name: value for name, value in facts["config"].items() if name not in PRIVATE}
        for choice in self.choices:
            run = TrackedRun(
                name=self.directory.resolve().name,
                folder=self.directory / TRACKING,
                settings=own,
                facts={**facts, "config": config},
                first_epoch=first_epoch,
                id=ids.get(str(choice)),
            )
            self.followers.append(_Follower(choice, run))

    def epoch(self, report: EpochReport) -> None:
        figures = numbers_of(
            {
                "train_loss": report.train_loss,
                "val_loss": report.val_loss,
                f"val_{report.metric}": report.val_score,
                "lr": report.lr,
                "phase": report.phase,
                "seconds": report.seconds,
            }
        )
        for one in self.followers:
            one.calls.put(lambda tracker: tracker.epoch(report.epoch, figures))
        self.look()

    def look(self) -> None:
        """Write down the ids of trackers that have begun, and name those that have failed."""
        news = [one for one in self.followers if one.has_news]
        for one in news:
            one.has_news = False
            if one.problem is not None:
                self.message(f"{one.problem} The training goes on without it.")
        if news:
            self._write_ids()

    def end(self, outcome: Outcome, result: Mapping[str, Any] | None = None) -> tuple[Tracked, ...]:
        """Tell the trackers that the training ended, and wait some seconds for them."""
        figures = numbers_of(result or {})
        for one in self.followers:
            one.calls.put(lambda tracker: tracker.end(outcome, figures))
            one.calls.put(None)
        deadline = time.monotonic() + WAITS[outcome]
        for one in self.followers:
            one.thread.join(max(0.0, deadline - time.monotonic()))
            if one.thread.is_alive():
                one.problem = f"{owner_of(one.choice.entry)} did not answer within {WAITS[outcome]:g} seconds."
                one.has_news = True
        self.look()
        ended, self.followers = self.followers, []
        return tuple(one.tracked for one in ended)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Tell the trackers of an interruption or a failure of the block."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception):  # others leave at once
                self.end("interrupted" if isinstance(error, Interrupted) else "failed")
            raise

    def _write_ids(self) -> None:
        known = {str(one.choice): one.tracked.id for one in self.followers if one.tracked.id is not None}
        if not known:
            return
        with suppress(OSError, ZooError):  # a full disk, or a run directory that is gone, is the training's own matter
            (self.directory / TRACKING).mkdir(exist_ok=True)
            write_text(self.directory / TRACKING / IDS, json_text({**read_ids(self.directory), **known}))


class _Follower:
    """One tracker, its thread, and the calls that it has not heard yet."""

    def __init__(self, choice: Choice[TrackerSpec], run: TrackedRun) -> None:
        self.choice, self.run = choice, run
        self.calls: SimpleQueue[Callable[[Tracker], None] | None] = SimpleQueue()
        self.tracked_id: str | None = None
        self.place: str | None = None
        self.problem: str | None = None
        self.has_news = False
        self.thread = Thread(target=self._follow, name=f"tracker {choice.spec.name}", daemon=True)
        self.thread.start()

    @property
    def tracked(self) -> Tracked:
        return Tracked(str(self.choice), self.tracked_id, self.place, self.problem)

    def _follow(self) -> None:
        try:
            with attributing_errors(self.choice.entry):
                tracker: Tracker = resolve(self.choice.spec.start)(self.choice.options, self.run)
                self.tracked_id, self.place = _text(tracker.id), _text(tracker.place)
                self.has_news = True
                while (call := self.calls.get()) is not None:
                    call(tracker)
        except ZooError as error:
            own = isinstance(error, PluginError)
            self.problem = printable(str(error) if own else f"{owner_of(self.choice.entry)}: {error}")
            self.has_news = True


def _text(value: Any) -> str:
    """An id or a place. Raises TypeError for anything but a short text."""
    if not isinstance(value, str) or len(value) > MAX_ID:
        raise TypeError(
            f"the id and the place of a tracker are texts of at most {MAX_ID} characters, got {brief(value)}"
        )
    return value


def read_ids(directory: Path) -> dict[str, str]:
    """The run's ids by the texts of the trackers; empty where there are none, or the file is
    damaged."""
    try:
        path = file_of(directory, f"{TRACKING}/{IDS}")
        data = read_json(path) if path.is_file() else {}
    except (OSError, ZooError):
        return {}
    pairs = data.items() if isinstance(data, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str) and len(value) <= MAX_ID}
