"""Processes of this machine: how many fit, one that dies, one that is interrupted, `--jobs` from end to end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
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
from zoo_core.discovery import PluginRecord
from zoo_core.errors import PluginError, UsageError, ZooError


@pytest.mark.parametrize(
    ("device", "cores", "memory", "cells", "jobs", "reason"),
    [
        ("cpu", 2, 20e9, 99, 1, "there are 2 cores, and one computes with 4"),
        ("cpu", 9, 20e9, 99, 2, "there are 9 cores, and one computes with 4"),
        ("cpu", 64, 20e9, 99, 5, "20.0 GB of memory are free, and one may take 4.0 GB"),
        ("cpu", 64, 1e9, 99, 1, "1.0 GB of memory are free"),
        ("cpu", 64, None, 99, 16, "there are 64 cores"),
        ("cpu", 64, None, 11, 2, "another process is worth its start for 4 trainings or more"),
        ("cuda", 64, 500e9, 99, 1, "cuda is filled by one training"),
    ],
)
def test_as_many_trainings_fit_as_cores_and_memory_take(
    device: str, cores: int, memory: float | None, cells: int, jobs: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "usable_cores", lambda: cores)
    monkeypatch.setattr(processes, "_free_memory", lambda: None if memory is None else int(memory))
    count, told = fitting(torch.device(device), cells)
    assert count == jobs
    assert reason in told


def test_the_free_memory_of_this_machine_is_known() -> None:
    assert (processes._free_memory() or 0) > 10**7


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


def test_calls_that_run_are_interrupted() -> None:
    pool, start = LocalProcesses(1), time.monotonic()
    slept = pool.submit(time.sleep, 60)
    while not pool._busy:
        time.sleep(0.01)
    pool.shutdown(cancel_futures=True)
    assert isinstance(slept.exception(), ZooError)
    assert time.monotonic() - start < 30


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
