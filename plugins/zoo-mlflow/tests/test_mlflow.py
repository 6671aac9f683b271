"""Trainings are read back by MLflow's own client."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip(
    "mlflow", reason="zoo-mlflow is tested in an environment of its own (pytest -m whole tests/plugins)"
)

from mlflow import MlflowClient
from zoo_mlflow.plugin import MlflowOptions
from zoo_mlflow.record import Record

import zoo_core
from zoo_core import FinetuneConfig, NullCallback
from zoo_core.testing import make_photos, tracked_run


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def client(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    return MlflowClient(tracking_uri=store, registry_uri=(tmp_path / "registry").as_uri())


def steps(client: MlflowClient, run: str, name: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run, name)]


def test_a_training_and_its_extension_are_one_run(client: MlflowClient, store: str, tmp_path: Path) -> None:
    data = make_photos(tmp_path / "photos")
    track = f"mlflow:uri={store},experiment=flowers"
    arguments = ["finetune", "--backbone", "lenet5", "--data", str(data), "--epochs", "2", "--track", track]
    command = [sys.executable, "-m", "zoo_core", *arguments, "--out", "run", "--device", "cpu", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    (tracked,) = told["trackers"]
    assert (tracked["name"], tracked["problem"]) == (track.replace("uri=", ""), None)
    run = client.get_run(tracked["id"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert client.get_experiment(run.info.experiment_id).name == "flowers"
    assert (run.data.params["backbone"], run.data.params["epochs"]) == ("lenet5", "2")
    assert json.loads(run.data.tags["zoo.facts"])["classes"] == ["blue", "red"]
    assert steps(client, tracked["id"], "val_loss") == [(one["epoch"], one["val_loss"]) for one in told["epochs"]]
    assert run.data.metrics["result.accuracy"] == told["result"]["accuracy"]
    zoo_core.resume("run", more_epochs=1, callback=NullCallback())
    assert [step for step, _ in steps(client, tracked["id"], "val_loss")] == [1, 2, 3]
    assert client.get_run(tracked["id"]).info.status == "FINISHED"


def test_an_interrupted_run_has_the_status_killed_and_runs_when_it_goes_on(
    client: MlflowClient, store: str, tmp_path: Path
) -> None:
    options = MlflowOptions(uri=store)
    first = Record(options, tracked_run(tmp_path))
    assert client.get_run(first.id).info.status == "RUNNING"
    first.end("interrupted", {})
    assert client.get_run(first.id).info.status == "KILLED"
    again = Record(options, tracked_run(tmp_path, id=first.id, first_epoch=2))
    assert (again.id, client.get_run(first.id).info.status) == (first.id, "RUNNING")
    again.end("failed", {})
    assert client.get_run(first.id).info.status == "FAILED"


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(403)

    do_POST = do_GET

    def log_message(self, *words: object) -> None:
        pass


def test_a_server_that_refuses_stops_no_training(client: MlflowClient, store: str, tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    data = make_photos(tmp_path / "photos")
    track = f"mlflow:uri=http://127.0.0.1:{server.server_port}"
    config = FinetuneConfig(backbone="lenet5", data=str(data), epochs=1, out="run", track=track)
    (tracked,) = zoo_core.finetune(config, callback=NullCallback()).trackers
    server.shutdown()
    server.server_close()
    assert "zoo-mlflow: the tracker 'mlflow' failed" in str(tracked.problem)
    assert Path("run/model.safetensors").is_file()


def test_a_password_does_not_stand_in_the_run_directory() -> None:
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_PASSWORD"):
        MlflowOptions(uri="https://me:secret@example.org")
