"""Trackers follow a training in threads of their own; whatever they do, the training goes on."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

import zoo_core
from zoo_core import FinetuneConfig, NullCallback, PluginError, Result, TrackedRun, TrackerSpec, UsageError
from zoo_core.catalog import Catalog
from zoo_core.discovery import PluginRecord
from zoo_core.hub.bundle import without_local_paths
from zoo_core.paths import sha256_of
from zoo_core.runs.directory import read_facts, read_json
from zoo_core.runs.epochs import EpochReport
from zoo_core.training import tracking
from zoo_core.training.stopping import Interrupted
from zoo_core.training.tracking import numbers_of, trackers_named

HOME = "zoo_tracking_test"
QUICK = FinetuneConfig(
    backbone="norms", weights="none", strategy="last:1", epochs=2, batch_size=8, size=32, augment="none", device="cpu"
)


@dataclass(frozen=True)
class Options:
    fails: str = "never"
    """The call that fails: start, epoch, end, never; or the one that hangs: hang."""
    other: int = 0


class Notebook:
    """Writes down what it hears, where tests find it."""

    heard: ClassVar[list[tuple[Any, ...]]] = []
    released = threading.Event()

    def __init__(self, options: Options, run: TrackedRun) -> None:
        self.options = options
        self.heard.append(("start", run))
        self.fail("start")
        if options.fails == "hang":
            self.released.wait(60)
        self.id, self.place = run.id or f"id-{len(self.heard)}", "in memory"

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        self.heard.append(("epoch", epoch, figures))
        self.fail("epoch")

    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        self.heard.append(("end", outcome, figures))
        self.fail("end")

    def fail(self, call: str) -> None:
        if self.options.fails == call:
            raise SystemExit(f"no {call}") if call == "epoch" else OSError(f"no {call}")


class Heard(NullCallback):
    """Keeps messages; may stop the run, or fail, after an epoch."""

    def __init__(self, after: int | None = None, error: Exception | None = None) -> None:
        self.messages: list[str] = []
        self.after, self.error = after, error

    def message(self, text: str) -> None:
        self.messages.append(text)

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.after:
            raise self.error or AssertionError

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if self.after == 0 and (epoch, step) == (2, 1):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def own(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """The catalog with the tracker `notebook`."""
    module = ModuleType(HOME)
    vars(module)["Notebook"] = Notebook
    monkeypatch.setitem(sys.modules, HOME, module)
    Notebook.heard.clear()
    Notebook.released.clear()
    spec = TrackerSpec(name="notebook", start=f"{HOME}:Notebook", options=Options, summary="a list")
    yield Catalog((*catalog.records, PluginRecord("zoo-notebook", "1", "notebook", (spec,))))
    Notebook.released.set()


@pytest.fixture
def config(photos: Path, tmp_path: Path) -> FinetuneConfig:
    return replace(QUICK, data=str(photos), out=str(tmp_path / "run"), track="notebook")


def trained(config: FinetuneConfig, catalog: Catalog, callback: NullCallback | None = None) -> Result:
    return zoo_core.finetune(config, catalog=catalog, callback=callback or NullCallback())


def test_a_tracker_hears_of_the_start_each_epoch_and_the_end(config: FinetuneConfig, own: Catalog) -> None:
    result = trained(config, own)
    (_, run), *epochs, (_, outcome, figures) = Notebook.heard
    assert (run.name, run.first_epoch, run.id) == ("run", 1, None)
    assert run.folder == result.directory / "tracking"
    assert (run.settings["backbone"], run.settings["batch_size"], run.settings["lr"]) == ("norms", 8, 0.01)
    assert run.facts["classes"] == ("blue", "red")
    assert [epoch for _, epoch, _ in epochs] == [1, 2]
    assert set(epochs[0][2]) == {"train_loss", "val_loss", "val_accuracy", "lr", "phase", "seconds"}
    assert epochs[1][2]["val_loss"] == result.trained.epochs[1].val_loss
    assert (outcome, figures["accuracy"]) == ("finished", result.evaluation.accuracy)
    assert [one.to_dict() for one in result.trackers] == [
        {"name": "notebook", "id": "id-1", "place": "in memory", "problem": None}
    ]
    assert read_json(result.directory / "tracking" / "trackers.json") == {"notebook": "id-1"}


def test_no_tracker_is_told_where_the_others_are(config: FinetuneConfig, own: Catalog) -> None:
    trained(replace(config, track="notebook:other=7"), own)
    run = Notebook.heard[0][1]
    assert not {"track", "out"} & {*run.settings, *run.facts["config"]}
    assert "other=7" not in json.dumps([dict(run.settings), dict(run.facts)], default=str)


def test_a_published_run_names_no_tracker(config: FinetuneConfig, own: Catalog) -> None:
    facts = read_facts(trained(config, own).directory)
    assert (facts.config.track, without_local_paths(facts).config.track) == ("notebook", "none")


@pytest.mark.parametrize("call", ["start", "epoch", "end", "hang"])
def test_a_tracker_that_fails_is_named_once_and_the_run_is_what_it_would_be(
    config: FinetuneConfig, own: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setitem(tracking.WAITS, "finished", 0.3)
    without = trained(replace(config, track="none", out=str(tmp_path / "without")), own)
    callback, began = Heard(), time.monotonic()
    result = trained(replace(config, track=f"notebook:{call},notebook"), own, callback)
    assert time.monotonic() - began < 30
    assert sha256_of(result.directory / "model.safetensors") == sha256_of(without.directory / "model.safetensors")
    named = [text for text in callback.messages if "zoo-notebook" in text]
    cause = "did not answer within 0.3 seconds" if call == "hang" else f"no {call}"
    assert len(named) == 1
    assert "zoo-notebook: the tracker 'notebook'" in named[0]
    assert cause in named[0]
    assert named[0].endswith("The training goes on without it.")
    failed, sound = result.trackers
    assert cause in str(failed.problem)
    assert (sound.name, sound.problem) == ("notebook", None)


def test_a_resumed_run_goes_on_at_the_same_tracker(config: FinetuneConfig, own: Catalog) -> None:
    with pytest.raises(Interrupted):
        trained(config, own, Heard(after=0))
    assert Notebook.heard[-1][:2] == ("end", "interrupted")
    first = len(Notebook.heard)
    zoo_core.resume(str(config.out), catalog=own, callback=NullCallback())
    _, run = Notebook.heard[first]
    assert (run.id, run.first_epoch) == ("id-1", 2)
    assert [one[1] for one in Notebook.heard[first + 1 :]] == [2, "finished"]


def test_a_resumed_run_takes_other_trackers_and_a_finished_one_goes_on_at_its_own(
    config: FinetuneConfig, own: Catalog
) -> None:
    with pytest.raises(Interrupted):
        trained(config, own, Heard(after=0))
    resumed = zoo_core.resume(str(config.out), track="notebook:other=1", catalog=own, callback=NullCallback())
    assert [one.name for one in resumed.trackers] == ["notebook:other=1"]
    assert set(read_json(resumed.directory / "tracking" / "trackers.json")) == {"notebook", "notebook:other=1"}
    more = zoo_core.resume(str(config.out), more_epochs=1, catalog=own, callback=NullCallback())
    assert [(one.name, one.id) for one in more.trackers] == [("notebook", "id-1")]


def test_a_training_that_fails_is_told_and_one_that_fails_at_once_leaves_nothing(
    config: FinetuneConfig, own: Catalog
) -> None:
    with pytest.raises(ValueError, match="my own"):
        trained(config, own, Heard(after=2, error=ValueError("my own")))
    assert [one[:2] for one in Notebook.heard[1:]] == [("epoch", 1), ("epoch", 2), ("end", "failed")]

    class AtOnce(Heard):
        def on_step(self, epoch: int, step: int, steps: int) -> None:
            raise ValueError("at once")

    gone = Path(str(config.out)).with_name("gone")
    with pytest.raises(ValueError, match="at once"):
        trained(replace(config, out=str(gone)), own, AtOnce())
    assert not gone.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("notbook", "Did you mean 'notebook'"),
        ("notebook,zoo-notebook:notebook", "stands twice"),
        ("notebook,", "empty value"),
        ("none,notebook", "'none' stands alone"),
        ("notebook:color=1", "has no option 'color'"),
        ("notebook:other=x", "other must be int"),
    ],
)
def test_a_wrong_tracker_is_refused_before_an_image_is_opened(
    config: FinetuneConfig, own: Catalog, text: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        trained(replace(config, track=text, data="/nowhere"), own)


def test_the_options_of_a_tracker_may_hold_addresses(own: Catalog) -> None:
    one, other = trackers_named("notebook:fails=http://a:50/b,other=1,zoo-notebook:notebook", own)
    assert (one.options, other.options) == (Options("http://a:50/b", 1), Options())


def test_an_id_is_a_short_text(config: FinetuneConfig, own: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "MAX_ID", 3)
    (tracked,) = trained(config, own).trackers
    assert "texts of at most 3 characters" in str(tracked.problem)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"notebook": 7}', '{"notebook": "' + "x" * 600 + '"}'])
def test_damaged_ids_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "trackers.json").write_text(text)
    assert tracking.read_ids(tmp_path) == {}


def test_ids_outside_of_the_run_are_none(tmp_path: Path) -> None:
    (tmp_path / "else.json").write_text('{"notebook": "id"}')
    (tmp_path / "run" / "tracking").mkdir(parents=True)
    (tmp_path / "run" / "tracking" / "trackers.json").symlink_to(tmp_path / "else.json")
    assert tracking.read_ids(tmp_path / "run") == {}


def test_numbers_have_dotted_names() -> None:
    line = {"a": 1, "b": {"c": 0.5, "d": {"e": 2}}, "f": True, "g": None, "h": [1], "i": "x", "j": float("nan")}
    assert numbers_of(line) == {"a": 1, "b.c": 0.5, "b.d.e": 2}


def test_a_spec_is_checked_at_birth() -> None:
    with pytest.raises(PluginError, match="x: 'nowhere' is not an import path"):
        TrackerSpec(name="x", start="nowhere", summary="s")
