"""A GPU that does not answer: a training on the CPU asks it nothing, and one on it does without its free memory."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

import zoo_core
from zoo_core.devices.kinds import KINDS, Accelerator, Cuda
from zoo_core.runs.epochs import EpochReport
from zoo_core.training.callback import NullCallback
from zoo_core.training.snapshot import load_random, random_state


class Busy(Cuda):
    """A GPU that can be counted and nothing else."""

    def count(self) -> int:
        return 1

    def current(self) -> int:
        return 0

    @property
    def module(self) -> ModuleType:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable")


@pytest.fixture(autouse=True)
def busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(KINDS, "cuda", Busy("cuda"))


@pytest.mark.parametrize(
    "settings",
    [{"strategy": "full", "batch_size": "auto"}, {"strategy": "full", "lr": "auto"}, {"strategy": "head-only"}],
    ids=str,
)
def test_a_training_on_the_cpu_and_its_continuation_leave_it_alone(
    settings: dict[str, object], photos: Path, tmp_path: Path
) -> None:
    """Seen to fail: each step asked it for its random numbers."""

    class Stopping(NullCallback):
        def on_epoch(self, report: EpochReport) -> None:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    config = zoo_core.FinetuneConfig(
        backbone="lenet5", data=str(photos), epochs=2, device="cpu", out=str(run), **settings
    )
    with pytest.raises(KeyboardInterrupt):
        zoo_core.finetune(config, callback=Stopping())
    assert len(zoo_core.resume(run).trained.epochs) == 2


def test_a_gpu_whose_driver_tells_no_free_memory_holds_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: torch's error ended every training with cached features on some GPUs of Intel."""

    def unsupported(device: torch.device) -> tuple[int, int]:
        raise RuntimeError("The device (Intel(R) Arc(TM)) doesn't support querying the available free memory.")

    gpu = Accelerator("xpu")
    monkeypatch.setattr(gpu.module, "mem_get_info", unsupported)
    assert gpu.free_memory(torch.device("xpu")) == 0


def test_random_numbers_of_a_gpu_are_left_out_on_the_cpu() -> None:
    state = {**random_state(torch.device("cpu")), "cuda": torch.zeros(16, dtype=torch.uint8)}
    drawn = torch.rand(3)
    load_random(state, torch.device("cpu"))
    assert torch.equal(torch.rand(3), drawn)
