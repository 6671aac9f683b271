"""The train step as a reader meets it: few frames from the job to `backward`, and the arithmetic of its docstring.

Seen to fail: with one function more between the run and the step; with micro-batches that count alike whatever their size.
"""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoo_core.catalog import Catalog
from zoo_core.devices.world import World
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job
from zoo_core.training.setup import make_planner, make_trainer
from zoo_core.training.stopping import StopRequest

LENET = FinetuneConfig(backbone="lenet5", strategy="full", epochs=1, batch_size=7, views=0, precision="float32")
MAX_FRAMES = 6


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def test_few_frames_lie_between_the_job_and_backward(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks: list[list[str]] = []
    backward = Tensor.backward

    def noted(loss: Tensor) -> None:
        stacks.append([frame.name for frame in traceback.extract_stack()[:-1]])
        backward(loss)

    monkeypatch.setattr(Tensor, "backward", noted)
    run_job(prepare(replace(LENET, data=str(photos), out=str(tmp_path / "run")), catalog), NullCallback())
    (frames,) = {tuple(stack[stack.index("run_job") :]) for stack in stacks}
    assert len(frames) <= MAX_FRAMES, frames


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 7])
def test_micro_batches_add_up_to_the_gradients_of_the_mean_loss(
    photos: Path, catalog: Catalog, micro_batch: int
) -> None:
    """Of 7 images in micro-batches of 3, 2 and 2, each counts by its share of the batch."""
    job = prepare(replace(LENET, data=str(photos), micro_batch=micro_batch), catalog)
    planner = make_planner(job, World(), NullCallback().message)
    trainer = make_trainer(job, planner, NullCallback(), StopRequest(), save=lambda number, checkpoint: None)
    phase = trainer.enter_phase(0)
    batch = next(phase.batches(epoch=0))
    loss = phase.step.accumulate_gradients(batch)
    gradients = [parameter.grad for parameter in phase.step.tail.parameters()]
    whole = trainer.objective.loss(phase.step.tail(batch.features), batch.targets)
    expected = torch.autograd.grad(whole, list(phase.step.tail.parameters()))
    assert loss.item() == pytest.approx(whole.item(), rel=1e-6)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_the_micro_batches_of_a_layout_end_where_batch_norm_is_trained(photos: Path, catalog: Catalog) -> None:
    """Seen to fail: those of a phase without batch norm stayed, and its statistics were those of eight images."""
    layout, strategy = "channels-last:8", "last:1,statistics=frozen"
    config = replace(
        LENET, backbone="norms", strategy=strategy, step_layout=layout, batch_size=16, weights="none", size=32
    )
    job = prepare(replace(config, data=str(photos)), catalog)
    trainer = make_trainer(
        job, make_planner(job, World(), lambda text: None), NullCallback(), StopRequest(), lambda *saved: None
    )
    phase = trainer.enter_phase(0)
    assert not phase.step.batch_norm_updates
    assert phase.step.num_micro_batches(16) == 2
    trainer.train_batch(phase, next(iter(phase.batches(0, 0))))
    assert trainer.state.micro_batch is None, "nobody asked for them"
    phase.step.batch_norm_updates = True
    assert phase.step.num_micro_batches(16) == 1
