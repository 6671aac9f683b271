"""Trainings are read back from the files that Weights & Biases writes offline."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "zoo_wandb", reason="zoo-wandb is tested in an environment of its own (pytest -m whole tests/plugins)"
)

from wandb.proto import wandb_internal_pb2

from zoo_core.testing import make_photos

HEADER, BLOCK = 7, 32768
FULL, FIRST, LAST = 1, 2, 4


def records(folder: Path) -> list[Any]:
    """The messages in the file of an offline run, by the package's own types. Its pieces are those of a LevelDB log: checksum,
    length, whether it is a whole message or the first, a middle or the last part of one."""
    (path,) = folder.glob("run-*.wandb")
    data, place, found, message = path.read_bytes(), HEADER, [], b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:  # the end of a block has no room for a piece
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        piece = data[place + HEADER : place + HEADER + length]
        message = piece if kind in (FULL, FIRST) else message + piece
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            found.append(record)
        place += HEADER + length
    return found


def test_a_training_is_a_run_with_its_config_epochs_and_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = make_photos(tmp_path / "photos")
    arguments = ["finetune", "--backbone", "lenet5", "--data", str(data), "--epochs", "2", "--track", "wandb:flowers"]
    command = [sys.executable, "-m", "zoo_core", *arguments, "--out", "run", "--device", "cpu", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    (tracked,) = told["trackers"]
    assert (tracked["name"], tracked["problem"]) == ("wandb:flowers", None)
    (folder,) = Path("run/tracking/wandb").glob("offline-run-*")
    found = records(folder)
    runs = [one.run for one in found if one.HasField("run")]
    assert (runs[0].project, runs[0].run_id, runs[0].display_name) == ("flowers", tracked["id"], "run")
    config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert config["classes"] == ["blue", "red"]
    assert config["settings"]["epochs"] == 2
    rows = [
        {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in one.history.item}
        for one in found
        if one.HasField("history")
    ]
    assert [row["val_loss"] for row in rows] == [one["val_loss"] for one in told["epochs"]]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [one.exit.exit_code for one in found if one.HasField("exit")] == [0]


def test_nobody_is_asked_to_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb
    from zoo_wandb.plugin import WandbOptions
    from zoo_wandb.record import _mode

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert wandb.api.api_key is None
    assert _mode(WandbOptions()) == "offline"
    assert _mode(WandbOptions(mode="online")) == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert _mode(WandbOptions()) is None
