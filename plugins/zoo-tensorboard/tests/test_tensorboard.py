"""Trainings are read back by TensorBoard's own reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from zoo_tensorboard.plugin import TensorBoardOptions
from zoo_tensorboard.record import Record

import zoo_core
from zoo_core import FinetuneConfig, NullCallback
from zoo_core.testing import make_photos, tracked_run


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def values(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


def test_a_training_and_its_extension_are_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = make_photos(tmp_path / "photos")
    arguments = ["finetune", "--backbone", "lenet5", "--data", str(data), "--epochs", "2", "--track", "tensorboard"]
    command = [sys.executable, "-m", "zoo_core", *arguments, "--out", "run", "--device", "cpu", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["trackers"] == [{"name": "tensorboard", "id": "tracking", "place": "run/tracking", "problem": None}]
    assert "Tracked by tensorboard: run/tracking" in answer.stderr
    found = read(Path("run/tracking"))
    losses = [(epoch["epoch"], pytest.approx(epoch["val_loss"], rel=1e-6)) for epoch in told["epochs"]]
    assert values(found, "val_loss") == losses
    assert values(found, "result/accuracy") == [(2, pytest.approx(told["result"]["accuracy"]))]
    facts = found.Tensors("facts/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"classes"' in facts
    more = zoo_core.resume("run", more_epochs=1, callback=NullCallback())
    found = read(Path("run/tracking"))
    assert [step for step, _ in values(found, "val_loss")] == [1, 2, 3]
    assert values(found, "result/accuracy")[-1] == (3, pytest.approx(more.evaluation.accuracy))


def test_the_epochs_that_a_resumed_training_repeats_are_shown_once(tmp_path: Path) -> None:
    run = tracked_run(tmp_path)
    first = Record(TensorBoardOptions(), run)
    for epoch in (1, 2):
        first.epoch(epoch, {"val_loss": 1.0 / epoch})  # killed: there is no end, and epoch 2 was not saved
    again = Record(TensorBoardOptions(), tracked_run(tmp_path, id=first.id, first_epoch=2))
    again.epoch(2, {"val_loss": 0.25})
    again.end("finished", {})
    assert values(read(tmp_path), "val_loss") == [(1, 1.0), (2, 0.25)]


def test_a_folder_of_all_trainings_has_one_for_each(tmp_path: Path) -> None:
    options = TensorBoardOptions(dir=str(tmp_path / "logs"))
    records = [Record(options, tracked_run(tmp_path / str(number))) for number in range(2)]
    folders = [str(tmp_path / "logs" / name) for name in ("trial", "trial-2")]
    assert [one.place for one in records] == folders
    assert Record(options, tracked_run(tmp_path, id=records[0].id, first_epoch=2)).place == folders[0]


def test_a_folder_that_cannot_be_written_stops_no_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = make_photos(tmp_path / "photos")
    track = f"tensorboard:dir={tmp_path}/file"
    config = FinetuneConfig(backbone="lenet5", data=str(data), epochs=1, out=str(tmp_path / "run"), track=track)
    (tracked,) = zoo_core.finetune(config, callback=NullCallback()).trackers
    assert "zoo-tensorboard: the tracker 'tensorboard' failed" in str(tracked.problem)
    assert (tmp_path / "run" / "model.safetensors").is_file()
