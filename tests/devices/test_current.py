"""The GPU that a program has chosen for its thread is the one that is meant, and stays the chosen one.

Seen to fail: a training on "cuda" took the first GPU, and left it as the program's own.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from zoo_core.devices.find import find_device
from zoo_core.devices.kinds import KINDS, Cuda
from zoo_core.devices.precision import as_usual
from zoo_core.devices.world import join_world


class TwoGpus(Cuda):
    """Two GPUs, of which a program has chosen one; none before it has used any."""

    def __init__(self, chosen: int | None) -> None:
        super().__init__("cuda")
        self.chosen = chosen

    def count(self) -> int:
        return 2

    @property
    def module(self) -> SimpleNamespace:  # type: ignore[override]
        def set_device(number: int) -> None:
            self.chosen = number

        return SimpleNamespace(
            is_initialized=lambda: self.chosen is not None, current_device=lambda: self.chosen, set_device=set_device
        )


@pytest.mark.parametrize(
    ("chosen", "named", "meant"),
    [(1, "cuda", 1), (1, "auto", 1), (1, "cuda:0", 0), (None, "cuda", 0), (None, "cuda:1", 1)],
)
def test_a_training_takes_the_gpu_that_is_meant_and_puts_the_programs_own_back(
    chosen: int | None, named: str, meant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = TwoGpus(chosen)
    monkeypatch.setitem(KINDS, "cuda", gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with as_usual():
        device = find_device(named)
        join_world(device)
        assert gpus.chosen == meant
    assert device == torch.device("cuda", meant)
    assert gpus.chosen == (chosen or 0)
