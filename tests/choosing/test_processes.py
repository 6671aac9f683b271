"""Processes of this machine: how many fit, one that dies, one that is interrupted, `--jobs` from end to end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest
import torch

from helpers import make_photos
from zoo_core import RunnerSpec
from zoo_core.catalog import Catalog
from zoo_core.choosing import processes
from zoo_core.choosing.processes import LocalProcesses, fitting
from zoo_core.cli.main import zoo
from zoo_core.cli.runners import executor_for
from zoo_core.devices.cores import usable_cores
from zoo_core.devices.free_memory import free_memory
from zoo_core.discovery import PluginRecord
from zoo_core.errors import PluginError, UsageError, ZooError


@pytest.mark.parametrize(
    ("device", "cores", "memory", "cells", "jobs", "reason"),
    [
        ("cpu", 2, 20e9, 99, 1, "one training may use 2 of the 2 cores"),
        ("cpu", 9, 20e9, 99, 2, "one training may use 4 of the 9 cores"),
        ("cpu", 64, 20e9, 99, 5, "20.0 GB of memory are free, and one may take 4.0 GB"),
        ("cpu", 64, 1e9, 99, 1, "1.0 GB of memory are free"),
        ("cpu", 64, None, 99, 16, "one training may use 4 of the 64 cores"),
        ("cpu", 64, None, 11, 2, "another process is worth its start for 4 trainings or more"),
        ("cuda", 64, 500e9, 99, 1, "cuda is filled by one training"),
    ],
)
def test_as_many_trainings_fit_as_cores_and_memory_take(
    device: str, cores: int, memory: float | None, cells: int, jobs: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "usable_cores", lambda: cores)
    monkeypatch.setattr(processes, "free_memory", lambda: None if memory is None else int(memory))
    count, told = fitting(torch.device(device), cells)
    assert count == jobs
    assert reason in told


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n"}
V2 = {"proc/self/cgroup": "0::/user/job\n", "sys/fs/cgroup/cgroup.controllers": "memory"}
V1 = {"proc/self/cgroup": "4:cpu,memory:/docker/1\n1:name=systemd:/\n"}
CONTAINER = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        (MACHINE, 8000 * 1024),
        ({**MACHINE, **V2, "sys/fs/cgroup/user/job/memory.max": "max"}, 8000 * 1024),
        (
            {
                **MACHINE,
                **V2,
                "sys/fs/cgroup/user/memory.max": "5000",
                "sys/fs/cgroup/user/memory.current": "3000",
                "sys/fs/cgroup/user/memory.stat": "anon 2000\ninactive_file 500\n",
            },
            2500,
        ),
        (
            {
                **MACHINE,
                **V1,
                f"{CONTAINER}/memory.limit_in_bytes": "6000",
                f"{CONTAINER}/memory.usage_in_bytes": "1000",
                f"{CONTAINER}/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
            },
            5100,
        ),
        ({**V2, "sys/fs/cgroup/memory.max": "5000", "sys/fs/cgroup/memory.current": "7000"}, 0),
    ],
    ids=["no figures", "machine", "no limit", "group of cgroup v2", "container of cgroup v1", "full"],
)
def test_memory_is_free_as_far_as_the_machine_and_the_limits_of_containers_say(
    files: dict[str, str], free: int | None, tmp_path: Path
) -> None:
    """Seen to fail: in a container of 8 GB on a machine of 500 GB, all of the machine was free."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory(tmp_path) == free


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalProcesses]:
    with LocalProcesses(2) as made:
        yield made


def test_a_process_that_dies_fails_its_own_call_and_another_takes_its_place(pool: LocalProcesses) -> None:
    killed = pool.submit(signal.raise_signal, signal.SIGKILL)
    sums = [pool.submit(sum, (number, 1)) for number in range(4)]
    assert [future.result(60) for future in sums] == [1, 2, 3, 4]
    with pytest.raises(ZooError, match="the process was killed by SIGKILL; too little memory may be the reason"):
        killed.result(60)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(60)
    assert pool.submit(os.getpid).result(60) != os.getpid()


def test_each_process_has_its_share_of_the_cores(pool: LocalProcesses) -> None:
    """Seen to fail: each of two processes decoded with as many threads as there are cores."""
    assert pool.submit(usable_cores).result(60) == max(1, usable_cores() // 2)


def test_a_call_that_finds_the_last_idle_process_taken_starts_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: another thread took it between the look and the grip, an IndexError that failed a training."""

    class Taken(list[object]):
        def __bool__(self) -> bool:
            return True

    class Started:
        def __init__(self, *_: object) -> None: ...

        def call(self, function: Callable[..., object], arguments: tuple[object, ...], _: object) -> object:
            return function(*arguments)

        def close(self) -> None: ...

    monkeypatch.setattr(processes, "_Worker", Started)
    with LocalProcesses(1) as pool:
        monkeypatch.setattr(pool, "_idle", Taken())
        assert pool.submit(sum, (1, 2)).result(60) == 3


def test_calls_that_run_are_interrupted() -> None:
    pool, start = LocalProcesses(1), time.monotonic()
    slept = pool.submit(time.sleep, 60)
    while not pool._busy:
        time.sleep(0.01)
    pool.shutdown(cancel_futures=True)
    assert isinstance(slept.exception(), ZooError)
    assert time.monotonic() - start < 30


def test_without_sessions_the_console_interrupts_and_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows. Seen to fail: a signal ended the process before it had saved."""
    monkeypatch.setattr(processes, "HAS_SESSIONS", False)
    with LocalProcesses(1) as pool:
        slept = pool.submit(time.sleep, 0.5)
        while not pool._busy:
            time.sleep(0.01)
        pool.shutdown(cancel_futures=True)
        assert slept.exception() is None


def test_jobs_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photos(tmp_path / "photos", count=5, size=28)
    monkeypatch.chdir(tmp_path)
    # A solved head has no labels to smooth: that of logreg fails.
    grid = ("--backbone", "lenet5", "--head", "linear,logreg", "--strategy", "head-only", "--label-smoothing", "0.1")
    rest = ("--epochs", "1", "--data", "photos", "--out", "grid", "--jobs", "2")
    assert zoo.main(["compare", *grid, *rest], standalone_mode=False) == 1
    told = capsys.readouterr().err
    assert "2 trainings at a time" in told
    assert "1/2  linear: " in told
    assert "2/2  logreg: failed: the head is solved" in told
    assert json.loads(Path("grid/compare.json").read_text())["results"][0]["trainable_parameters"]


def enter(catalog: Catalog, on: str | None, jobs: int | str) -> Executor | None:
    with executor_for(catalog, on, jobs, device="cpu", cells=2, message=print) as executor:
        return executor


def test_faults_of_a_runner_are_its_own(catalog: Catalog) -> None:
    spec = RunnerSpec(name="odd", start="builtins:repr", summary="odd")
    odd = Catalog((PluginRecord("zoo-odd", "1", "odd", (spec,)),))
    with pytest.raises(
        PluginError, match=r"zoo-odd: the runner 'odd' failed: TypeError: it gave 'NoOptions\(\)', not a"
    ):
        enter(odd, "odd", "auto")
    with pytest.raises(UsageError, match="with --on the runner decides"):
        enter(odd, "odd", 2)
    with pytest.raises(UsageError, match="No runner 'slurm'. `zoo list runners` shows all."):
        enter(catalog, "slurm", "auto")
    assert enter(catalog, None, 1) is None
