"""Heads that are solved, in a whole fine-tune."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo_core
from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches
from zoo_core.data.on_device import normalised
from zoo_core.errors import TrainingError
from zoo_core.paths import sha256_of
from zoo_core.settings import FinetuneConfig
from zoo_core.tensors import read_tensors
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job, prepare
from zoo_core.training.run import run_job
from zoo_core.training.solve import fit_head


@pytest.fixture
def config(photos: Path, tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(
        backbone="norms",
        weights="none",
        size=32,
        epochs=4,
        data=str(photos),
        cache_dtype="float32",
        precision="float32",
        out=str(tmp_path / "run"),
    )


def reduced(job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    """The features of the training images and their classes, by another way than the trainer's."""
    pixels, targets = zip(*Batches(job.source.parts["train"], job.preprocessing, 8, 1).in_order(), strict=True)
    job.model.eval()
    with torch.no_grad():
        images_BCHW = normalised(torch.cat(pixels), job.preprocessing, torch.device("cpu"))
        return job.model.backbone(images_BCHW).mean((2, 3)), torch.cat(targets)


@pytest.mark.parametrize("head", ["logreg", "prototype"])
def test_where_only_the_head_learns_it_is_solved_in_one_epoch(
    config: FinetuneConfig, catalog: Catalog, head: str
) -> None:
    job = prepare(replace(config, head=head, strategy="head-only"), catalog)
    before = {name: tensor.clone() for name, tensor in job.model.backbone.state_dict().items()}
    result = run_job(job, NullCallback())
    assert [report.epoch for report in result.trained.epochs] == [1]
    assert all(torch.equal(tensor, before[name]) for name, tensor in job.model.backbone.state_dict().items())
    features, targets = reduced(job)
    if head == "prototype":
        means = torch.stack([features[targets == label].mean(0) for label in (0, 1)])
        assert torch.allclose(job.model.head.output.means, means, atol=1e-4)
    else:
        expected = prepare(replace(config, head=head, strategy="head-only"), catalog).model.head
        expected.fit(features, targets, config.seed)
        assert torch.allclose(job.model.head.output.weight, expected.output.weight, atol=1e-3, rtol=1e-2)
    assert result.trained.epochs[0].train_loss < 0.7, "fitted to the training images, two classes: chance is 0.69"
    saved = read_tensors(result.directory / "model.safetensors")
    assert {key for key in saved if key.startswith("head.")} == (
        {"head.output.means", "head.output.precision"}
        if head == "prototype"
        else {"head.output.weight", "head.output.bias"}
    )
    loaded = zoo_core.load(result.directory, device="cpu", catalog=catalog)
    assert all(torch.equal(a, b) for a, b in zip(loaded.network.parameters(), job.model.parameters(), strict=True))


def test_a_solved_probe_is_followed_by_fine_tuning(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(replace(config, head="logreg", strategy="lp-ft"), catalog)
    assert [phase.epochs for phase in job.plan.phases] == [1, 2]
    result = run_job(job, NullCallback())
    assert [report.phase for report in result.trained.epochs] == [1, 2, 2]
    assert result.trained.epochs[0].seconds >= 0


@pytest.mark.parametrize("strategy", ["full", "last:1"])
def test_where_stages_learn_the_fitted_head_is_where_the_gradient_starts(
    config: FinetuneConfig, catalog: Catalog, strategy: str
) -> None:
    """With a learning rate of next to nothing the head stays where it was fitted; with a usual one it moves on."""
    fitted = prepare(replace(config, head="prototype", strategy=strategy), catalog)
    assert fitted.plan.epochs == 4
    fit_head(fitted.model.head, *reduced(fitted), config.seed)
    means = fitted.model.head.output.means.detach().clone()
    for lr, stays in ((1e-12, True), (1e-2, False)):
        out = f"{config.out}-{lr}"
        job = prepare(replace(config, head="prototype", strategy=strategy, epochs=1, lr=lr, out=out), catalog)
        run_job(job, NullCallback())
        assert torch.allclose(job.model.head.output.means, means, atol=1e-5) == stays


def test_one_seed_solves_to_the_same_bytes(config: FinetuneConfig, catalog: Catalog, tmp_path: Path) -> None:
    def digest(out: str) -> str:
        result = zoo_core.finetune(replace(config, head="logreg", strategy="head-only", out=out), catalog=catalog)
        return sha256_of(result.directory / "model.safetensors")

    assert digest(str(tmp_path / "a")) == digest(str(tmp_path / "b"))


def test_features_that_are_no_numbers_are_not_searched(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(replace(config, head="logreg", strategy="head-only"), catalog)
    with torch.no_grad():
        next(job.model.backbone.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="the features of the images are not finite numbers"):
        run_job(job, NullCallback())


def test_settings_about_steps_are_taken_where_a_later_phase_takes_some(
    config: FinetuneConfig, catalog: Catalog
) -> None:
    prepare(replace(config, head="logreg", strategy="lp-ft", mixup=0.1, ema=0.1), catalog)
