"""The figures of benchmarks/accelerator.py are those of the one device, and of the run itself, that they are said to be of."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerator_bench
import accelerator_speed
import pytest
import torch
from accelerator_checks import WAITED
from accelerator_speed import gpu_busy, images_a_second_read

from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches
from zoo_core.settings import FinetuneConfig
from zoo_core.training.job import prepare

BUSY, IDLE = "00000000-0000-0000-0000-00000000000b", "00000000-0000-0000-0000-00000000000a"
TOOL = f"""#!{sys.executable}
import sys, time
busy = {{"GPU-{BUSY}": [100], "GPU-{IDLE}": [0]}}
of_all = sum(busy.values(), [])
while True:
    for share in busy[sys.argv[2]] if sys.argv[1] == "-i" else of_all:
        print(share, flush=True)
    time.sleep(0.01)
"""


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def properties(device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(uuid=BUSY if device.index else IDLE)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")


@pytest.mark.parametrize(("device", "share"), [("cuda:0", 0.0), ("cuda:1", 100.0)])
def test_the_use_of_one_gpu_of_two_is_its_own(
    device: str, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: one of two that was busy all the time was 50 % busy."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with gpu_busy(device) as busy:
        time.sleep(1)
    assert busy.share == busy.most == share


def test_without_the_tool_the_use_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: the whole part ended, as on the GPUs of AMD."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with gpu_busy("cuda:0") as busy:
        pass
    assert busy.share is None


def test_a_card_has_its_own_name() -> None:
    assert accelerator_bench.name_of("cuda:1") == "card 1"


def test_the_notice_of_torchs_mode_is_no_wait() -> None:
    notice = "Synchronization debug mode is a prototype feature and does not yet detect all synchronizing operations"
    assert WAITED not in notice


@pytest.mark.parametrize("decoding", ["threads", "processes"])
def test_reading_alone_reads_as_the_run_does(
    decoding: str, photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: threads read for a run whose processes do, and the two rates were compared."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    seen: list[bool] = []

    class Noting(Batches):
        def in_order(self):  # type: ignore[no-untyped-def]
            seen.append(self.decoders is not None)
            return super().in_order()

    monkeypatch.setattr(accelerator_speed, "Batches", Noting)
    settings: dict[str, Any] = {"backbone": "lenet5", "weights": "none", "data": str(photos), "decoding": decoding}
    images, rate = images_a_second_read(prepare(FinetuneConfig(**settings), catalog))
    assert images == 16
    assert rate > 0
    assert seen == [decoding == "processes"]
