"""Trials before a training never end a run that would fit, and every word for a full memory is known.

Seen to fail: a full memory in the estimate ended the run; a MemoryError ended a trial and a step; the message for one was
an IndexError.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from survive.test_numbers import LENET, Hearing, small_memory
from zoo_core.catalog import Catalog
from zoo_core.errors import TrainingError
from zoo_core.frozen.split import FrozenPrefix, Tail
from zoo_core.training import autotune
from zoo_core.training.callback import NullCallback
from zoo_core.training.estimate import estimate
from zoo_core.training.job import prepare
from zoo_core.training.phase_trainer import PhaseTrainer
from zoo_core.training.run import run_job

FULL = {
    "python": MemoryError(),
    "onednn": RuntimeError("could not create a primitive"),
    "mmap": RuntimeError("unable to mmap 4000 bytes from file <x>: Cannot allocate memory (12)"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
}
every_full = pytest.mark.parametrize("error", FULL.values(), ids=FULL)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def fail_above(
    monkeypatch: pytest.MonkeyPatch, most: int, error: Exception, network: type[torch.nn.Module] = Tail
) -> None:
    """No tail, or no other network, computes more than `most` images at once."""
    real = network.forward

    def forward(self: torch.nn.Module, inputs: torch.Tensor, *more: object) -> object:
        if len(inputs) > most:
            raise error
        return real(self, inputs, *more)

    monkeypatch.setattr(network, "forward", forward)


@every_full
def test_an_estimate_takes_fewer_images_and_compiling_waits_where_none_fits(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    job = prepare(replace(LENET, data=str(photos), compile="off"), catalog)
    with monkeypatch.context() as patch:
        fail_above(patch, 2, error)
        assert estimate(job)[0].epoch > 0
    fail_above(monkeypatch, 0, error)
    with pytest.raises(TrainingError, match="out of memory in the estimate, with a single image"):
        estimate(job)
    assert all(parameter.grad is None for parameter in job.model.parameters())
    monkeypatch.setattr(autotune, "compiling_pays", lambda *_: True)  # so that the estimate is made
    assert prepare(replace(LENET, data=str(photos), compile="auto"), catalog).settings.compile == "off"


@every_full
def test_a_trial_of_a_batch_size_that_does_not_fit_gives_none(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    job = prepare(replace(LENET, data=str(photos)), catalog)

    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(autotune, "before_forward", full)
        assert autotune.seconds_per_image(job, 4) is None
    job.model.head.register_forward_hook(full)
    assert autotune.seconds_per_image(job, 4) is None


@every_full
def test_a_step_without_memory_is_computed_in_smaller_pieces(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    hearing = Hearing()
    small_memory(monkeypatch, 4, error)
    run_job(prepare(replace(LENET, data=str(photos), epochs=1, out=str(tmp_path / "run")), catalog), hearing)
    assert hearing.said == [
        "out of memory with 8 images at once: going on with 4 (--micro-batch 4); the batch of the optimizer stays as it was"
    ]


@every_full
def test_no_memory_anywhere_in_a_run_is_one_message(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def evaluate(self: PhaseTrainer, evaluator: object) -> None:
        raise error

    monkeypatch.setattr(PhaseTrainer, "evaluate", evaluate)
    job = prepare(replace(LENET, data=str(photos), save_every=0, out=str(tmp_path / "run")), catalog)
    with pytest.raises(TrainingError, match=r"(?s)^out of memory: .*go on with: zoo resume .*run$"):
        run_job(job, NullCallback())


@every_full
@pytest.mark.parametrize("views", [0, 1], ids=["computed", "cached"])
def test_evaluations_and_features_take_fewer_images_where_memory_is_short(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, error: Exception, views: int
) -> None:
    """Seen to fail: they always computed 64 images at once on a GPU, and 8 on a CPU."""
    config = replace(LENET, data=str(photos), strategy="last:1", epochs=1, views=views, compile="off", batch_size=2)
    whole = run_job(prepare(replace(config, out=str(tmp_path / "whole")), catalog), NullCallback())
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "another cache"))
    fail_above(monkeypatch, 3, error)
    fail_above(monkeypatch, 3, error, FrozenPrefix)
    short = run_job(prepare(replace(config, out=str(tmp_path / "short")), catalog), NullCallback())
    for one, other in zip(whole.trained.epochs, short.trained.epochs, strict=True):
        assert (one.train_loss, one.val_loss) == pytest.approx((other.train_loss, other.val_loss), rel=1e-4)
    fail_above(monkeypatch, 0, error, FrozenPrefix)
    with pytest.raises(TrainingError, match="^out of memory: "):
        run_job(prepare(replace(config, out=str(tmp_path / "none"), cache_dtype="bfloat16"), catalog), NullCallback())
