"""Trainings on an accelerator agree with those of the CPU: the checks of benchmarks/accelerator.py, each by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from accelerator_bench import Bench
from accelerator_checks import CHECKS

SECONDS = 600


@pytest.mark.filterwarnings("default")  # those of another device's torch are no fault of a training
@pytest.mark.parametrize("name", CHECKS)
def test_a_check_holds(name: str, accelerator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    bench = Bench(accelerator, tmp_path, tmp_path / "result", time.monotonic() + SECONDS)
    CHECKS[name](bench)
    assert bench.rows
    broken = [f"{row['title']}: {row['figure']}" for row in bench.rows if row["holds"] is False]
    assert not broken, "\n".join(broken)
    if not any(row["holds"] for row in bench.rows):
        pytest.skip("; ".join(bench.limits))
