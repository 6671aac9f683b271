"""The device of these tests: the first accelerator that is here. Where none is they are skipped, in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from accelerator_bench import last_run

from zoo_core.devices.find import find_device
from zoo_core.devices.kinds import accelerators


@pytest.fixture
def accelerator() -> str:
    if not accelerators():
        pytest.skip(f"no GPU is here to be compared with the CPU (benchmarks/accelerator.py: {last_run()})")
    return str(find_device("auto"))
