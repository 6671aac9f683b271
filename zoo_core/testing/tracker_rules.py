"""Rules for trackers: they record a whole training, and touch nothing that it needs."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo_core.options import parse_options
from zoo_core.result_specs import TrackerSpec
from zoo_core.specs import resolve
from zoo_core.testing.augment_rules import states_of_generators
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import has_a_name_of_its_own, has_options_that_a_text_can_give
from zoo_core.testing.networks import with_required
from zoo_core.training.tracking import Outcome, TrackedRun, Tracker

EPOCHS = (
    {"train_loss": 0.9, "val_loss": 0.8, "val_accuracy": 0.5, "lr": 0.01, "phase": 1, "seconds": 2.5},
    {"train_loss": 0.7, "lr": 0.005, "phase": 1, "seconds": 2.5},  # nothing was held out
)
RESULT = {"accuracy": 0.5, "loss": 0.8, "baseline.score": 0.25}


def tracked_run(folder: Path, **changes: Any) -> TrackedRun:
    """A training of two epochs, for the tests of a tracker."""
    settings = {"backbone": "mynet", "data": "photos", "epochs": 2, "batch_size": 32, "base_lr": 0.1, "mixup": False}
    facts = {"task": "classification", "classes": ("café", "blue\nsky"), "config": settings}
    values = {"name": "trial", "folder": folder, "settings": settings, "facts": facts, "first_epoch": 1, "id": None}
    return TrackedRun(**{**values, **changes})


@rule("Take (options, run), have `id` and `place`, texts, and the methods `epoch` and `end` of zoo_core.Tracker.")
def records_a_training(spec: TrackerSpec) -> None:
    """It records a training that finishes, one without validation images, and one that fails."""
    with _elsewhere() as folder:
        ends: tuple[tuple[Outcome, dict[str, float]], ...] = (("finished", RESULT), ("failed", {}))
        for outcome, figures in ends:
            tracker = _started(spec, tracked_run(folder / outcome / "tracking"))
            for number, epoch in enumerate(EPOCHS, start=1):
                tracker.epoch(number, epoch)
            tracker.end(outcome, figures)


@rule("Find the earlier record by `run.id`, and add to it.")
def goes_on_with_a_resumed_training(spec: TrackerSpec) -> None:
    """A training that was interrupted has the same id when it goes on."""
    with _elsewhere() as folder:
        first = _started(spec, tracked_run(folder / "tracking"))
        first.epoch(1, EPOCHS[0])
        first.end("interrupted", {})
        again = _started(spec, tracked_run(folder / "tracking", id=first.id, first_epoch=2))
        again.epoch(2, EPOCHS[1])
        again.end("finished", RESULT)
        assert again.id == first.id, f"the id {first.id!r} became {again.id!r}"


@rule("Print to standard error, or not at all: `--json` prints to standard output.")
def prints_nothing_to_standard_output(spec: TrackerSpec) -> None:
    """Standard output is that of the command."""
    with _elsewhere() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
        tracker = _started(spec, tracked_run(folder / "tracking"))
        tracker.epoch(1, EPOCHS[0])
        tracker.end("finished", RESULT)
    assert not printed.getvalue(), f"it printed {printed.getvalue()[:80]!r}"


@rule("Make a generator of your own: random.Random(), numpy.random.default_rng().")
def leaves_the_generators_of_the_training_alone(spec: TrackerSpec) -> None:
    """A training draws from the shared generators, and is the same with a tracker and without."""
    before = states_of_generators()
    with _elsewhere() as folder:
        tracker = _started(spec, tracked_run(folder / "tracking"))
        tracker.epoch(1, EPOCHS[0])
        tracker.end("finished", RESULT)
    names = [name for name, state in states_of_generators().items() if state != before[name]]
    assert not names, f"it draws from the generator of {' and '.join(names)}"


def _started(spec: TrackerSpec, run: TrackedRun) -> Tracker:
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    options: Any = parse_options(spec.name, spec.options, with_required(spec.options, ""))
    tracker: Tracker = resolve(spec.start)(options, run)
    for name in ("id", "place"):
        value = getattr(tracker, name, None)
        assert isinstance(value, str), f"its {name} is {value!r:.80}, and not a text"
        assert value, f"its {name} is empty"
    return tracker


@contextlib.contextmanager
def _elsewhere() -> Iterator[Path]:
    """An empty folder, in which a tracker that writes beside the run leaves its files, too."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.chdir(folder):
        yield Path(folder)


TRACKER_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    records_a_training,
    goes_on_with_a_resumed_training,
    prints_nothing_to_standard_output,
    leaves_the_generators_of_the_training_alone,
)
