"""While zoo trains, Python looks less often for objects that nothing reaches; a program's own choice comes back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.devices.collector import EVERY, rare_collections
from zoo_core.runs.epochs import EpochReport
from zoo_core.training.callback import NullCallback


@pytest.fixture(autouse=True)
def _threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(("own", "within"), [(700, EVERY), (0, 0), (90_000, 90_000)])
def test_a_programs_own_choice_comes_back(own: int, within: int) -> None:
    gc.set_threshold(own, 9, 8)
    with rare_collections():
        assert gc.get_threshold() == (within, 9, 8)
    assert gc.get_threshold() == (own, 9, 8)


def test_a_training_and_its_continuation_in_a_program_look_less_often(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watching(NullCallback):
        def on_epoch(self, report: EpochReport) -> None:
            seen.append(gc.get_threshold()[0])

    gc.set_threshold(700, 10, 10)
    run = tmp_path / "run"
    zoo_core.finetune(FinetuneConfig(backbone="lenet5", epochs=1, out=str(run)), callback=Watching())
    zoo_core.resume(run, more_epochs=1, callback=Watching())
    assert seen == [EVERY, EVERY]
    assert gc.get_threshold() == (700, 10, 10)
