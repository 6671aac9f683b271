"""Trainings on a local Ray cluster: the same files as here, workers that die, calls that are interrupted.

One cluster of two CPUs serves all tests but one, and leaves neither processes nor folders.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import ray
from filelock import FileLock
from zoo_ray import executor as executor_module
from zoo_ray.executor import RayExecutor, start
from zoo_ray.plugin import RayOptions

import zoo_core
from zoo_core import FinetuneConfig, UsageError, ZooError, parse_options
from zoo_core.testing import make_photos


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayExecutor]:
    executor = start(RayOptions("local"))
    folder = Path(executor._folder)
    assert folder.is_dir()
    yield executor
    executor.shutdown()
    assert not folder.exists()
    assert not ray.is_initialized()


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Call the command line in this process."""
    (script,) = entry_points(group="console_scripts", name="zoo")
    before = signal.getsignal(signal.SIGTERM)

    def call(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            script.load()()
        return int(end.value.code or 0)

    yield call
    signal.signal(signal.SIGTERM, before)


def test_a_grid_on_a_cluster_has_the_files_of_one_that_is_trained_here(
    cluster: RayExecutor,
    zoo: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = make_photos(tmp_path / "photos", count=5, size=28)
    monkeypatch.chdir(tmp_path)
    addresses: list[str] = []
    monkeypatch.setattr(ray, "init", lambda **settings: addresses.append(settings["address"]))  # it is connected
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    # A solved head has no labels to smooth: that of logreg fails.
    grid = ("--backbone", "lenet5", "--head", "linear,logreg", "--strategy", "head-only", "--label-smoothing", 0.1)
    on = ("--on", "ray:10.0.0.1:6379,cpus=2")  # both CPUs: one worker imports torch
    assert zoo("compare", *grid, "--epochs", 1, "--data", photos, *on, "--out", "grid") == 1
    assert addresses == ["10.0.0.1:6379"]
    assert "2/2  logreg: failed: the head is solved" in capsys.readouterr().err
    run = tmp_path / "grid" / "linear"
    config = json.loads((run / "config.json").read_text())["config"]
    assert config.pop("out") == "grid/linear"
    here = zoo_core.finetune(FinetuneConfig(**config, out=str(tmp_path / "here"))).directory
    assert {path.name for path in run.iterdir()} == {path.name for path in here.iterdir()}
    for name in ("model.safetensors", "images.safetensors", "answers.csv", "confusion.png"):
        assert (run / name).read_bytes() == (here / name).read_bytes(), name


HEADS, STRATEGIES = "linear,mlp:hidden=4,mlp:hidden=8,cosine,flatten,logreg", "full,last:1,last:2,head-only"
# A solved head has no labels to smooth: of the 24 cells that of logreg with head-only fails.
GRID = (
    *("compare", "--backbone", "lenet5", "--head", HEADS, "--strategy", STRATEGIES, "--label-smoothing", "0.1"),
    *("--epochs", "2", "--batch-size", "4", "--data", "photos", "--save-every", "0", "--out", "grid"),
)


@pytest.mark.whole
def test_a_grid_that_is_killed_on_a_cluster_ends_with_the_files_of_one_that_is_trained_here(
    zoo: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 cells, one of which fails. The command that follows at once trains nothing a second time."""
    make_photos(tmp_path / "photos", count=5, size=28)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    on = [sys.executable, "-W", "error", "-m", "zoo_core", *GRID, "--on", "ray:local"]
    with subprocess.Popen(on, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        while len(finished := list(tmp_path.glob("grid/*/model.safetensors"))) < 8:
            assert killed.poll() is None, "it ended by itself"
            time.sleep(0.02)
        killed.kill()
    written = {model: model.stat().st_mtime_ns for model in finished}
    begun = {config: json.loads(config.read_text())["created"] for config in tmp_path.glob("grid/*/config.json")}
    whole = subprocess.run(on, text=True, capture_output=True, timeout=900)
    assert whole.returncode == 1, whole.stderr
    assert {model: model.stat().st_mtime_ns for model in finished} == written
    assert {config: json.loads(config.read_text())["created"] for config in begun} == begun
    before = int(re.findall(r"(\d+) finished before", whole.stderr)[0])
    lines = re.findall(r"^ *\d+/24  (.*): ", whole.stderr, re.MULTILINE)
    assert len(lines) == len(set(lines)) <= 24 - before
    assert re.findall(r"^ *\d+/24  (.*): failed", whole.stderr, re.MULTILINE) == ["head-only, logreg"]

    (tmp_path / "grid").rename(tmp_path / "there")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "another"))
    assert zoo(*GRID, "--jobs", 1) == 1
    there, here = contents(tmp_path / "there"), contents(tmp_path / "grid")
    assert there.keys() == here.keys()
    for name, content in there.items():
        assert content == here[name], name


def contents(grid: Path) -> dict[str, object]:
    """The files of a comparison by name, without times."""
    found: dict[str, object] = {}
    for path in sorted(grid.rglob("*")):
        name = str(path.relative_to(grid))
        if path.suffix in (".json", ".jsonl"):
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            found[name] = [json.loads(line, object_hook=without_times) for line in lines]
        elif path.is_file() and name != "compare.png":  # which shows seconds
            content = path.read_bytes()
            found[name] = re.sub(rb"[\d.]+ s\b|\d{4}-\d\d-\d\d", b"", content) if path.suffix == ".md" else content
    return found


def without_times(data: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in data.items() if name not in ("created", "seconds")}


def test_folders_of_killed_commands_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: each killed command left a folder with the logs of its cluster."""
    monkeypatch.setattr(executor_module, "ROOT", str(tmp_path))
    for name in ("zoo-ray-used", "zoo-ray-left", "zoo-ray-of-another"):
        (tmp_path / name).mkdir()
    (tmp_path / "zoo-ray-left" / "in-use").touch()
    with FileLock(tmp_path / "zoo-ray-used" / "in-use"):
        executor_module._remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["zoo-ray-of-another", "zoo-ray-used"]


def test_a_worker_that_dies_fails_its_own_call_alone(cluster: RayExecutor) -> None:
    killed = cluster.submit(signal.raise_signal, signal.SIGKILL)
    sums = [cluster.submit(sum, (number, 1)) for number in range(3)]
    assert [future.result(60) for future in sums] == [1, 2, 3]
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        killed.result(60)


def test_calls_that_run_are_interrupted(cluster: RayExecutor, tmp_path: Path) -> None:
    def sleep_until_interrupted(begun: Path) -> str:
        begun.touch()
        try:
            for _ in range(3000):
                time.sleep(0.02)  # Ray sets a flag and sends no signal: a longer sleep would not end
        except KeyboardInterrupt:
            begun.unlink()
            return "saved"
        return "slept"

    begun = tmp_path / "begun"
    future = cluster.submit(sleep_until_interrupted, begun)
    while not begun.exists():
        time.sleep(0.02)
    cluster.shutdown(wait=False, cancel_futures=True)
    cluster._is_cancelled = False  # for the tests after this one
    assert future.exception(30) is not None or future.result() == "saved"
    assert not begun.exists()


def test_a_cluster_that_does_not_answer_is_named_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**settings: object) -> None:
        raise ConnectionError(f"nobody listens at {settings['address']}.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ZooError, match=r"no Ray cluster answers at 10.0.0.1:6379: nobody listens.*`ray start`"):
        start(RayOptions("10.0.0.1:6379"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("local,cpus=0", "cpus must be at least 1, got 0"), ("auto,gpus=2", "gpus must be from 0 to 1")],
)
def test_options_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_options("ray", RayOptions, text)


def test_an_address_with_a_port_is_the_first_option() -> None:
    assert parse_options("ray", RayOptions, "10.0.0.1:6379,cpus=4") == RayOptions("10.0.0.1:6379", cpus=4)


def test_ray_waits_until_the_runner_is_used() -> None:
    code = "import sys, zoo_core; zoo_core.open_catalog().runner('ray:local'); print('ray' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
