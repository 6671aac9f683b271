"""Memory that torch frees stays in the process while zoo trains, and goes back at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.cli.main import zoo
from zoo_core.devices import malloc
from zoo_core.devices.free_memory import free_memory
from zoo_core.devices.malloc import KEPT, LEAST_FREE, OWN_CHOICES
from zoo_core.runs.epochs import EpochReport
from zoo_core.training import run
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job, prepare

needs_glibc = pytest.mark.skipif(malloc._function("mallopt") is None, reason="the malloc of Linux")

SCRIPT = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
import torch
from zoo_core.devices.malloc import freed_memory_kept

torch.set_num_threads(1)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)  # 64 MB, of which malloc takes every one from the system
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

pages = 2**26 // resource.getpagesize()
usual = faults()
with freed_memory_kept():
    with freed_memory_kept():
        faults()
    kept, held = faults(), resident()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(faults).result()
        by_thread = pool.submit(faults).result()
print(usual >= 9 * pages, kept <= pages, by_thread <= pages, held - resident() >= pages // 2)
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What malloc is asked from now on."""
    found: list[str] = []
    monkeypatch.setattr(malloc, "_set", lambda mallopt, values: found.append("kept" if values is KEPT else "usual"))
    monkeypatch.setattr(malloc, "free_memory", lambda: LEAST_FREE)
    for name in OWN_CHOICES:
        monkeypatch.delenv(name, raising=False)
    return found


@needs_glibc
@pytest.mark.skipif((free_memory() or 0) < LEAST_FREE, reason="little memory is free")
@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({}, "True True True True"),
        ({"MALLOC_TRIM_THRESHOLD_": "131072"}, "True False False False"),
        ({"MALLOC_ARENA_MAX": "8"}, "True False False False"),
    ],
    ids=["usual", "a user's own choice", "a user's own threads"],
)
def test_memory_is_kept_within_the_context_alone(environment: dict[str, str], printed: str) -> None:
    own = {name: value for name, value in os.environ.items() if name not in OWN_CHOICES}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**own, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == printed


@needs_glibc
def test_where_little_memory_is_free_it_goes_back_as_usual(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for free in (5e9, 7e9, None):
        monkeypatch.setattr(malloc, "free_memory", lambda free=free: free)
        with malloc.freed_memory_kept():
            asked.append(f"{free} free")
    assert asked == ["5000000000.0 free", "kept", "7000000000.0 free", "usual", "None free"]


@needs_glibc
def test_a_command_keeps_it(asked: list[str]) -> None:
    assert CliRunner().invoke(zoo, ["list", "heads"]).exit_code == 0
    assert asked == ["kept", "usual"]


@needs_glibc
def test_a_training_in_a_program_keeps_it(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first threads on: those that only read images leave memory of their own to later ones."""

    class Watching(NullCallback):
        def on_epoch(self, report: EpochReport) -> None:
            asked.append("epoch")

    def preparing(*given: Any, **named: Any) -> Job:
        asked.append("images")
        return prepare(*given, **named)

    monkeypatch.setattr(run, "prepare", preparing)
    config = FinetuneConfig(backbone="lenet5", epochs=1, out=str(tmp_path / "run"))
    result = zoo_core.finetune(config, callback=Watching())
    zoo_core.resume(result.directory, more_epochs=1, callback=Watching())
    once = ["kept", "images", "epoch", "usual"]
    assert asked == [*once, *once]
