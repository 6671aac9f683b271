"""Trainings are read back by Trackio's own reader."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "trackio", reason="zoo-trackio is tested in an environment of its own (pytest -m whole tests/plugins)"
)

import trackio
from trackio.sqlite_storage import SQLiteStorage

import zoo_core
from zoo_core import NullCallback
from zoo_core.testing import make_photos


def losses_of(run: Any) -> list[tuple[int, float]]:
    rows = SQLiteStorage.get_logs("flowers", run=run.name, run_id=run.id)
    return [(row["step"], row["val_loss"]) for row in rows if "val_loss" in row]


def test_a_training_and_its_extension_are_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = make_photos(tmp_path / "photos")
    arguments = ["finetune", "--backbone", "lenet5", "--data", str(data), "--epochs", "2", "--track", "trackio:flowers"]
    command = [sys.executable, "-m", "zoo_core", *arguments, "--out", "run", "--device", "cpu", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    (tracked,) = told["trackers"]
    assert (tracked["name"], tracked["problem"]) == ("trackio:flowers", None)
    (run,) = trackio.Api().runs("flowers")
    assert run.name == tracked["id"]
    assert (run.config["backbone"], run.config["epochs"]) == ("lenet5", 2)
    assert losses_of(run) == [(one["epoch"], one["val_loss"]) for one in told["epochs"]]
    more = zoo_core.resume("run", more_epochs=1, callback=NullCallback())
    (again,) = trackio.Api().runs("flowers")
    assert [step for step, _ in losses_of(again)] == [1, 2, 3]
    assert more.trackers[0].id == run.name


def test_zoo_works_with_the_pillow_that_trackio_needs() -> None:
    assert int(version("pillow").split(".")[0]) < 13
