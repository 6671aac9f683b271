"""Cells that an executor trains: the same files as here, and faults of machines that cost one cell each.

Seen to fail: without `take_over` the config names another directory; with the files of a begun run left in place the
travelled run has a checkpoint too.
"""

from __future__ import annotations

import json
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from zoo_core import AugmentSpec, MetricSpec
from zoo_core.catalog import Catalog
from zoo_core.choosing import cells, elsewhere
from zoo_core.choosing.cells import Failure, train_cells
from zoo_core.choosing.elsewhere import Trained, order_of, train_elsewhere
from zoo_core.choosing.folder import Folder
from zoo_core.choosing.grid import Cell, Grid, make_grid
from zoo_core.discovery import PluginRecord
from zoo_core.paths import sha256_of
from zoo_core.tasks.metrics import ACCURACY
from zoo_core.training.callback import NullCallback


class Pickling(Executor):
    """Calls at once, with all that is given and returned pickled, as another process would get it."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(args))))))
        except RuntimeError as error:
            future.set_exception(error)
        return future


class Listening(NullCallback):
    """Keeps the outcomes and messages of a comparison."""

    def __init__(self) -> None:
        self.outcomes: list[Trained | Failure] = []
        self.messages: list[str] = []

    def begin(self, number: int, cell: Cell) -> NullCallback:
        return self

    def show(self, job: Any) -> None:
        pass

    def end(self, cell: Cell, outcome: Trained | Failure) -> None:
        self.outcomes.append(outcome)

    def progress(self, done: int, total: int) -> None:
        pass

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(autouse=True)
def without_pictures_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of a tiny training's time."""
    monkeypatch.setattr("zoo_core.runs.plots.plot_curves", lambda *arguments: None)
    monkeypatch.setattr("zoo_core.tasks.classification.Classification.draw", lambda *arguments: None)


@pytest.fixture
def grid(photos: Path) -> Grid:
    """Two cells; that of the solved head fails, because it has no labels to smooth."""
    quick = {"backbone": "lenet5", "strategy": "head-only", "epochs": 1, "augment": "none", "label_smoothing": 0.1}
    return make_grid({**quick, "data": str(photos)}, {"head": ("linear", "logreg")})


def train(grid: Grid, root: Path, catalog: Catalog, executor: Executor | None) -> Listening:
    folder, listening = Folder(root), Listening()
    with folder.held():
        folder.claim(grid)
        outcome = train_cells(grid, folder, catalog, listening, executor)
    assert outcome.failures == tuple(one for one in listening.outcomes if isinstance(one, Failure))
    assert {path.name for path in root.iterdir()} <= {"linear", "logreg", "cells.json"}
    return listening


def facts_of(run: Path) -> dict[str, Any]:
    return {**json.loads((run / "config.json").read_text()), "created": ""}


@pytest.mark.parametrize("sees_folder", [True, False])
def test_a_grid_that_is_trained_elsewhere_has_the_same_files(
    sees_folder: bool, grid: Grid, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    train(grid, Path("here/grid"), catalog, None)
    if not sees_folder:
        monkeypatch.setattr(elsewhere, "_token_in", lambda folder: None)
    Path("there").mkdir()
    monkeypatch.chdir("there")
    told = train(grid, Path("grid"), catalog, Pickling())
    trained, failure = told.outcomes
    assert isinstance(trained, Trained)
    assert isinstance(failure, Failure)
    assert "the head is solved" in failure.reason
    here, there = tmp_path / "here" / "grid", tmp_path / "there" / "grid"
    assert json.loads((here / "cells.json").read_text()) == json.loads((there / "cells.json").read_text())
    runs = here / "linear", there / "linear"
    names, others = ({path.name for path in run.iterdir()} for run in runs)
    assert names == others
    for name in sorted(names - {"config.json", "metrics.jsonl", "README.md"}):  # which have times
        assert sha256_of(runs[0] / name) == sha256_of(runs[1] / name), name
    assert facts_of(runs[1])["config"]["out"] == "grid/linear"
    assert facts_of(runs[0]) | {"config": facts_of(runs[1])["config"]} == facts_of(runs[1])
    again = train(grid, Path("grid"), catalog, Pickling())
    assert [type(one) for one in again.outcomes] == [Failure], "a finished cell is not trained again"


def test_a_begun_cell_is_resumed_where_the_folder_is_seen_and_else_begun_anew(
    grid: Grid, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(grid, tmp_path / "grid", catalog, None)
    run = tmp_path / "grid" / "linear"
    created = facts_of(run)
    for sees_folder in (True, False):
        (run / "model.safetensors").unlink()
        (run / "left-over").touch()
        if not sees_folder:
            monkeypatch.setattr(elsewhere, "_token_in", lambda folder: None)
        told = train(grid, tmp_path / "grid", catalog, Pickling())
        assert isinstance(told.outcomes[0], Trained)
        assert (run / "left-over").exists() == sees_folder
        assert facts_of(run) == created


def test_the_plugins_of_metric_and_augmentation_have_to_be_of_the_same_versions_too(
    grid: Grid, catalog: Catalog
) -> None:
    """Seen to fail: only those of backbone, head and strategy were compared."""
    cell = grid.cells[0]
    metric = MetricSpec(name="mine", compute="a:b", summary="s")
    turn = AugmentSpec(name="turn", apply="operator:itemgetter", summary="s")
    records = [PluginRecord("zoo-mine", "1", "a", (metric,)), PluginRecord("zoo-turn", "2", "b", (turn,))]
    mine = replace(catalog, records=(*catalog.records, *records))
    used = replace(cell, config=replace(cell.config, metric="mine", augment="crop+turn"))
    added = elsewhere._versions(used, mine).items() - elsewhere._versions(cell, mine).items()
    assert added == {("zoo-mine", "1"), ("zoo-turn", "2")}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"versions": {"torch": "1.0"}},
            r"has torch .* and not 1\.0, and results of different versions do not compare",
        ),
        ({"versions": {"zoo-other": "3"}}, "has zoo-other from another distribution and not 3"),
        (
            {"data": "/nowhere/photos"},
            "there is no /nowhere/photos on this machine. Every machine reads files from the same path",
        ),
        ({"fix_list": "/nowhere/fix.csv"}, "there is no /nowhere/fix.csv on this machine"),
        ({"host": "another"}, "^on .*: the head is solved"),
    ],
)
def test_a_machine_that_lacks_something_says_so(
    changed: dict[str, Any], reason: str, grid: Grid, tmp_path: Path, catalog: Catalog
) -> None:
    (tmp_path / "fix.csv").touch()
    cell = grid.cells[1]
    if "fix_list" in changed:
        cell = replace(cell, config=replace(cell.config, fix_list=str(tmp_path / "fix.csv")))
    order = order_of(cell, tmp_path / "run", catalog, "token")
    if {"data", "fix_list"} & set(changed):
        changed = {"cell": replace(order.cell, config=replace(order.cell.config, **changed))}
    delivery = train_elsewhere(replace(order, **changed))
    assert delivery.trained is None
    assert delivery.failure is not None
    assert re.search(reason, delivery.failure)


def test_an_order_names_files_so_that_any_folder_will_do_and_weights_by_their_tag(
    grid: Grid, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: the fix list stayed relative, and a file with the name of a tag was taken for weights."""
    monkeypatch.chdir(tmp_path)
    tag = catalog.backbone("lenet5").spec.weights[0].tag
    for name in ("fix.csv", "none", "default", tag):
        Path(name).touch()
    config = replace(grid.cells[0].config, data="photos", fix_list="fix.csv", weights=tag)
    asked = order_of(replace(grid.cells[0], config=config), tmp_path / "run", catalog, "token").cell.config
    assert (asked.data, asked.fix_list, asked.weights) == (f"{tmp_path}/photos", f"{tmp_path}/fix.csv", tag)
    usual = order_of(grid.cells[0], tmp_path / "run", catalog, "token").cell.config
    assert (usual.fix_list, usual.weights) == ("none", "default")


def test_a_command_waits_for_processes_of_a_killed_one_that_still_save(
    grid: Grid, tmp_path: Path, catalog: Catalog
) -> None:
    """Seen to fail: the training that such a process held was reported as failed, for another process was writing."""

    def save(begun: threading.Event) -> None:
        with FileLock(tmp_path / "grid" / "linear" / ".lock"):
            begun.set()
            time.sleep(0.3)

    train(grid, tmp_path / "grid", catalog, None)
    (tmp_path / "grid" / "linear" / "model.safetensors").unlink()
    begun = threading.Event()
    saving = threading.Thread(target=save, args=(begun,))
    saving.start()
    begun.wait()
    told = train(grid, tmp_path / "grid", catalog, Pickling())
    saving.join()
    assert told.messages == [cells.SAVING]
    assert isinstance(told.outcomes[0], Trained)


def _raise(text: str) -> None:
    raise RuntimeError(text)


class Dying(Pickling):
    """The worker of the first call dies."""

    calls = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        return super().submit(_raise if self.calls == 1 else function, *(("lost",) if self.calls == 1 else args))


def test_a_worker_that_dies_costs_its_cell_alone_and_the_same_command_trains_it(
    grid: Grid, tmp_path: Path, catalog: Catalog
) -> None:
    first, second = train(grid, tmp_path / "grid", catalog, Dying()).outcomes
    assert isinstance(first, Failure)
    assert first.reason == "its worker ended: RuntimeError: lost. Give the same command again to train it."
    assert isinstance(second, Failure)
    assert "the head is solved" in second.reason
    again = train(grid, tmp_path / "grid", catalog, Pickling())
    assert isinstance(again.outcomes[0], Trained)


@pytest.mark.parametrize("fault", ["note", "take_over", "submit"])
def test_files_that_cannot_be_written_cost_one_cell(
    fault: str, grid: Grid, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: a full disk, or a config that a shared folder did not show yet, ended all trainings."""
    faults = [OSError(28, "No space left on device")]

    def failing(*_: object) -> None:
        if faults:
            raise faults.pop()

    done = elsewhere.Delivery(trained=Trained(ACCURACY, 0.5, 1.0), trainable_parameters=1)
    executor = Pickling()
    monkeypatch.setattr(cells, "take_over", failing if fault == "take_over" else lambda *_: None)
    if fault == "note":
        monkeypatch.setattr(Folder, "note", failing)
    monkeypatch.setattr(executor, "submit", lambda function, order: _done(failing if fault == "submit" else None, done))
    first, second = train(grid, tmp_path / "grid", catalog, executor).outcomes
    assert isinstance(first, Failure)
    assert "No space left on device" in first.reason
    assert first.reason.endswith("Give the same command again to train it.")
    assert isinstance(second, Trained)


def _done(before: Callable[[], object] | None, delivery: elsewhere.Delivery) -> Future[elsewhere.Delivery]:
    """A call that has ended."""
    if before is not None:
        before()
    future: Future[elsewhere.Delivery] = Future()
    future.set_result(delivery)
    return future


class Endless(Executor):
    """Its calls run until they are cancelled; a Ctrl-C comes soon."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        if len(self.futures) == 1:
            threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
        return self.futures[-1]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            running, pending = self.futures
            running.set_exception(InterruptedError())
            pending.cancel()  # of which `concurrent.futures.wait` does not hear


def test_a_ctrl_c_cancels_the_cells_elsewhere_and_none_of_them_has_failed(
    grid: Grid, tmp_path: Path, catalog: Catalog
) -> None:
    folder, listening = Folder(tmp_path / "grid"), Listening()
    with folder.held():
        folder.claim(grid)
        outcome = train_cells(grid, folder, catalog, listening, Endless())
    assert (outcome.failures, outcome.stopped_by, listening.outcomes) == ((), signal.SIGINT, [])
    assert [text.partition(":")[0] for text in listening.messages] == ["stopping"]
