from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo_core
from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.errors import TrainingError, UsageError, ZooError
from zoo_core.paths import sha256_of
from zoo_core.runs.directory import read_metrics, read_run
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job

QUICK = FinetuneConfig(
    backbone="norms", weights="none", strategy="last:1", epochs=2, batch_size=8, size=32, augment="flip", base_lr=0.2
)


@pytest.fixture
def config(photos: Path, tmp_path: Path) -> FinetuneConfig:
    return replace(QUICK, data=str(photos), out=str(tmp_path / "run"))


def test_a_run_directory_holds_everything_and_opens_again(config: FinetuneConfig, catalog: Catalog) -> None:
    result = zoo_core.finetune(config, catalog=catalog)
    names = {path.name for path in result.directory.iterdir()}
    tables = {"answers.csv", "config.json", "metrics.jsonl", "images.safetensors", "model.safetensors"}
    tables |= {"fitted.safetensors"}
    assert names == tables | {"curves.png", "confusion.png", "README.md"}
    facts = read_run(result.directory).facts
    decided = {"precision": facts.config.precision, "compile": facts.config.compile, "lr": 0.01, "patience": 5}
    decided["step_layout"] = "channels-last:8"  # no trial before so short a training
    decided["tiles"] = "frozen"  # too few channels
    assert facts.config == replace(config, **decided)
    assert facts.config.precision in ("float32", "bfloat16")
    assert facts.config.compile in ("on", "off")
    assert (facts.views, facts.split_points) == (2, ("layer2",))
    assert (facts.classes, facts.start, facts.backbone.distribution) == (("blue", "red"), None, "zoo-norms")
    assert facts.data.images == {"train": 16, "val": 4}
    lines = read_metrics(result.directory)
    assert [line["event"] for line in lines] == ["epoch", "epoch", "result"]
    assert lines[-1]["accuracy"] == result.evaluation.accuracy
    assert "An image classifier for 2 classes" in (result.directory / "README.md").read_text()


def test_what_was_saved_answers_as_what_was_trained(config: FinetuneConfig, catalog: Catalog, photos: Path) -> None:
    job = prepare(config, catalog)
    result = run_job(job, NullCallback())
    loaded = zoo_core.load(result.directory, device="cpu", catalog=catalog)
    saved, trained = loaded.network.state_dict(), job.model.state_dict()
    assert saved.keys() == trained.keys()
    assert all(torch.equal(saved[name], trained[name]) for name in saved)
    images = sorted(photos.rglob("*.png"))
    predictions = loaded.predict(images)
    assert [Path(one.image) for one in predictions] == images
    assert all(abs(sum(share for _, share in one.answers) - 1) < 1e-5 for one in predictions)


def test_one_seed_gives_one_result_and_another_seed_another(
    config: FinetuneConfig, catalog: Catalog, tmp_path: Path
) -> None:
    def digest(out: str, **changes: object) -> str:
        result = zoo_core.finetune(replace(config, out=str(tmp_path / out), **changes), catalog=catalog)
        return sha256_of(result.directory / "model.safetensors")

    assert digest("a") == digest("b", workers=1) != digest("c", seed=1)


def test_only_what_the_plan_lets_learn_has_moved(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(config, catalog)
    before = {name: tensor.clone() for name, tensor in job.model.state_dict().items()}
    run_job(job, NullCallback())
    to_device = {name for name, tensor in job.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[1] if name.startswith("backbone") else "head" for name in to_device} == {"layer3", "head"}
    assert any("running_mean" in name for name in to_device)


def test_the_best_epochs_weights_are_kept(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(replace(config, epochs=4), catalog)
    result = run_job(job, NullCallback())
    best = result.trained.epochs[result.trained.best - 1]
    assert best.val_score == max(report.val_score for report in result.trained.epochs)
    assert (result.evaluation.accuracy, result.evaluation.loss) == pytest.approx((best.val_score, best.val_loss))


def test_a_run_goes_on_from_another_runs_weights(config: FinetuneConfig, catalog: Catalog, tmp_path: Path) -> None:
    first = zoo_core.finetune(config, catalog=catalog)
    again = replace(config, weights=str(first.directory), strategy="head-only", out=str(tmp_path / "second"))
    second = prepare(again, catalog)
    assert second.dropped == ("head.output.bias", "head.output.weight")
    loaded = zoo_core.load(first.directory, device="cpu", catalog=catalog).network.state_dict()
    base = second.model.backbone.state_dict()
    assert all(torch.equal(base[name], loaded[f"backbone.{name}"]) for name in base)
    other = replace(again, backbone="resnet18")
    with pytest.raises(ZooError, match="was trained from 'norms', not from 'resnet18'"):
        prepare(other, catalog)


def test_the_test_part_is_what_the_result_is_measured_on(
    config: FinetuneConfig, catalog: Catalog, tmp_path: Path
) -> None:
    for part, count in (("train", 6), ("val", 3), ("test", 5)):
        make_photos(tmp_path / "parts" / part, count=count)
    result = zoo_core.finetune(replace(config, data=str(tmp_path / "parts")), catalog=catalog)
    assert (result.part, result.evaluation.images) == ("test", 10)


def test_a_loss_that_is_no_number_stops_the_training(config: FinetuneConfig, catalog: Catalog) -> None:
    wild = replace(config, backbone="resnet18", strategy="full", lr=100.0, optimizer="sgd", epochs=20)
    with pytest.raises(
        TrainingError,
        match="the loss is .* in epoch 1, step 2 of 2: the training diverged and stopped there. Try a smaller --lr",
    ):
        zoo_core.finetune(wild, catalog=catalog)
    assert not Path(str(config.out), "model.safetensors").exists()


def test_a_run_directory_that_is_not_empty_is_never_written_to(config: FinetuneConfig, catalog: Catalog) -> None:
    out = Path(str(config.out))
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty"):
        zoo_core.finetune(config, catalog=catalog)
    assert [path.name for path in out.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.update(format="x"), "is not the config of a zoo run"),
        (lambda facts: facts.update(version=99), "has version 99, and this zoo reads up to 2"),
        (lambda facts: facts.pop("classes"), "has no 'classes'"),
        (lambda facts: facts.update(classes=[1, 2]), "1 is not a text"),
        (lambda facts: facts["backbone"].update(distribution="zoo-nowhere"), "zoo-nowhere, which is not installed"),
        (lambda facts: facts["backbone"].update(build="os:system"), "'build' is not known"),
        (lambda facts: facts["preprocessing"].update(size="big"), "'big' is not a number"),
        (lambda facts: facts["preprocessing"].update(size=10**9), "must be at least 1 and at most 8192"),
    ],
)
def test_a_config_that_was_tampered_with_is_refused(
    config: FinetuneConfig, catalog: Catalog, change, message: str
) -> None:
    directory = zoo_core.finetune(replace(config, epochs=1), catalog=catalog).directory
    path = directory / "config.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    with pytest.raises(ZooError) as caught:
        zoo_core.load(directory, device="cpu", catalog=catalog)
    assert message in str(caught.value)
