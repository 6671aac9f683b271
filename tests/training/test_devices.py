"""No step of a training mixes devices. It needs no GPU: fake tensors know their device and shape, and hold no numbers.

What a GPU computes, and how fast, is not tried by this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers import make_photos, make_table
from zoo_core.catalog import Catalog
from zoo_core.data.on_device import crop_together, normalised
from zoo_core.data.store import Store
from zoo_core.data.transforms import FRESH, crop_of
from zoo_core.devices.kinds import Cuda
from zoo_core.devices.world import World
from zoo_core.frozen import split
from zoo_core.frozen.inputs import CachedFeatures
from zoo_core.model.assemble import build_network
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import BackboneSpec
from zoo_core.training import train_step
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job, prepare
from zoo_core.training.phase_trainer import PhaseTrainer
from zoo_core.training.setup import make_planner, make_trainer
from zoo_core.training.snapshot import load_optimizer, optimizer_state
from zoo_core.training.stopping import StopRequest
from zoo_core.training.train_step import Batch, TrainStep
from zoo_core.training.trainer import Trainer
from zoo_core.weights.load import without_storage
from zoo_core.weights_specs import Preprocessing

GPU = torch.device("cuda", 0)
SETTINGS = FinetuneConfig(
    backbone="norms", weights="none", strategy="last:1", size=64, batch_size=8, views=0, precision="float32"
)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Tensors without numbers, on a GPU that need not be there. Autograd needs one: gradients come from nowhere."""

    def with_gradients(self: TrainStep, batch: Batch, *, alone: bool = False) -> Tensor:
        loss = accumulate_gradients(self, batch, alone=alone)
        for parameter in self.tail.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        return loss

    accumulate_gradients = TrainStep.accumulate_gradients
    monkeypatch.setattr(TrainStep, "accumulate_gradients", with_gradients)
    monkeypatch.setattr(Tensor, "backward", lambda loss: None)
    monkeypatch.setattr(Tensor, "item", lambda tensor: 0.0)
    monkeypatch.setattr(split, "folded", lambda stage, tiles: stage)  # it copies, which fake tensors cannot
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(Cuda, "random_state", lambda self: None)
    # It swaps tensors, which fake ones cannot be.
    monkeypatch.setattr(train_step, "laid_out", lambda module, memory_format: module)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def moved_to_gpu(model: nn.Module) -> None:
    """`model.to(GPU)`, which cannot put a fake tensor in the place of a real one."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            fake = torch.empty(parameter.shape, dtype=parameter.dtype, device=GPU)
            module.register_parameter(name, nn.Parameter(fake, parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype, device=GPU))


def on_gpu(job: Job) -> Trainer:
    """The training of a job, as it would begin on a GPU."""
    moved_to_gpu(job.model)
    job = replace(job, device=GPU)
    planner = make_planner(job, World(), NullCallback().message)
    return make_trainer(job, planner, NullCallback(), StopRequest(), save=lambda number, checkpoint: None)


def step(trainer: Trainer) -> PhaseTrainer:
    """One step of the trainer, and its outputs on the validation images."""
    phase = trainer.enter_phase(0)
    batch = next(phase.batches(epoch=0))
    assert batch.features.device == batch.targets.device == GPU
    trainer.train_batch(phase, batch)
    outputs_NK, targets = trainer.evaluator.outputs(phase.step.tail, phase.inputs.val)
    assert outputs_NK.device.type == targets.device.type == "cpu"
    return phase


def devices_of(optimizer: torch.optim.Optimizer) -> set[torch.device]:
    """Where the moments of all trained parameters are."""
    states = [optimizer.state[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    assert all(states)
    return {tensor.device for state in states for tensor in state.values() if tensor is not None}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strategy": "full", "augment": "crop-flip"},
        {"strategy": "head-only", "head": "mlp:hidden=16,batchnorm=true,dropout=0.5"},
        {"strategy": "norm-only"},
        {"strategy": "lora"},
        {"head": "cosine"},
        {"head": "linear:pool=gem"},
        {"head": "flatten:hidden=8"},
        {"label_smoothing": 0.1},
        {"ema": 0.9, "l2_sp": 0.1},
        {"gradient_checkpointing": True},
        {"micro_batch": 2},
    ],
    ids=str,
)
def test_a_step_stays_on_the_device(
    settings: dict[str, object], tmp_path: Path, catalog: Catalog, request: pytest.FixtureRequest
) -> None:
    photos = make_photos(tmp_path / "photos", count=12)
    job = prepare(replace(SETTINGS, data=str(photos), **settings), catalog)
    request.getfixturevalue("faked")
    assert devices_of(step(on_gpu(job)).step.optimizer) == {GPU}


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_step_of_every_task_stays_on_the_device(
    task: str, tmp_path: Path, catalog: Catalog, request: pytest.FixtureRequest
) -> None:
    table = make_table(tmp_path, "path,a,b", lambda name, number: f"{number % 2},{(number + 1) % 2}")
    job = prepare(replace(SETTINGS, data=str(table), task=task), catalog)
    request.getfixturevalue("faked")
    assert devices_of(step(on_gpu(job)).step.optimizer) == {GPU}


def test_every_backbone_computes_where_its_images_are(catalog: Catalog, request: pytest.FixtureRequest) -> None:
    many = ("zoo-timm", "zoo-torchvision")  # their own tests try a sample
    names = [entry.spec.name for entry in catalog.entries(BackboneSpec) if entry.distribution not in many]
    choices = {name: catalog.backbone(name) for name in names}
    with without_storage():
        networks = {name: build_network(choice) for name, choice in choices.items()}
    request.getfixturevalue("faked")
    assert len(networks) > 15
    for name, network in networks.items():
        moved_to_gpu(network)
        preprocessing = choices[name].spec.preprocessing
        size, channels = preprocessing.size, preprocessing.channels
        assert network(torch.zeros(2, channels, size, size, device=GPU)).device == GPU, name


def test_images_are_cut_and_features_held_on_the_device(
    tmp_path: Path, faked: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessing = Preprocessing(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    small = np.zeros((40, 50, 3), np.uint8)
    pairs = [(small, crop_of(small, 32, "crop-flip", FRESH + number, b"x" * 16)) for number in range(4)]
    pixels_BCHW = crop_together(pairs, preprocessing, GPU)
    assert (pixels_BCHW.device, pixels_BCHW.dtype) == (GPU, torch.uint8)
    assert normalised(pixels_BCHW, preprocessing, GPU).device == GPU

    monkeypatch.setattr(Cuda, "free_memory", lambda self, device: 10**9)
    keys = [bytes([number] * 16) for number in range(6)]
    with Store(tmp_path, np.float16) as store:
        store.add(keys, [np.full((2, 2, 4), number, np.float16) for number in range(6)])
        store.commit()
        entries, labels = store.find(keys)[0].reshape(3, 2), np.arange(3)
        kept = CachedFeatures(store, entries, labels, "float16", GPU, (4, 2, 2))
        ((inputs, targets),) = kept.batches([[(0, 0), (2, 1)]])
        assert kept._held is not None
        assert kept._held.device == inputs.device == targets.device == GPU
        assert inputs.shape == (2, 4, 2, 2)


def test_what_an_optimizer_remembers_comes_back_to_the_device(
    tmp_path: Path, catalog: Catalog, request: pytest.FixtureRequest
) -> None:
    """Fused steps on a GPU count there; a counter that was left on the CPU would be read from the wrong memory."""
    photos = make_photos(tmp_path / "photos", count=12)
    job = prepare(replace(SETTINGS, data=str(photos)), catalog)
    request.getfixturevalue("faked")
    trainer = on_gpu(job)
    optimizer = step(trainer).step.optimizer
    kept = {name: tensor.cpu() for name, tensor in optimizer_state(job.model, optimizer).items()}
    optimizer.state.clear()
    load_optimizer(job.model, optimizer, kept)
    assert devices_of(optimizer) == {GPU}
