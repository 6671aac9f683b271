"""The processor and the versions on which the speed of a CPU depends."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def speed_key() -> list[object]:
    """All that decides how fast this machine's CPU computes, as plain JSON data."""
    return [
        [processor(), torch.backends.cpu.get_cpu_capability(), os.environ.get("ONEDNN_MAX_CPU_ISA", "")],
        [torch.__version__, platform.platform(), torch.get_num_threads()],
    ]


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = ("model name", "cpu family", "model\t", "stepping")
    return " ".join(dict.fromkeys(line.partition(":")[2].strip() for line in lines if line.startswith(names)))
