"""A backbone that ends at an earlier stage: `NAME:upto=STAGE`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import zoo_core
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo
from zoo_core.errors import UsageError, WeightsError
from zoo_core.model.assemble import Model, build_network, split_base
from zoo_core.options import UPTO, with_option
from zoo_core.runs.directory import read_run
from zoo_core.tensors import read_tensors
from zoo_core.weights.resolve import load_backbone, resolve_weights


def call(*arguments: object) -> None:
    zoo.main([str(word) for word in arguments], standalone_mode=False)


@pytest.mark.parametrize(
    ("text", "stages", "again"),
    [
        ("lenet5:upto=c3", ("c1", "c3"), "lenet5:upto=c3"),
        ("zoo-lenet:lenet5:upto=c1", ("c1",), "lenet5:upto=c1"),
        ("lenet5: upto = c3", ("c1", "c3"), "lenet5:upto=c3"),
        ("lenet5:upto=c5", ("c1", "c3", "c5"), "lenet5"),
        ("timm-convit_tiny:upto=stem", ("stem",), "timm-convit_tiny:upto=stem"),
    ],
)
def test_a_choice_keeps_the_first_stages_and_says_so_again(
    text: str, stages: tuple[str, ...], again: str, catalog: Catalog
) -> None:
    choice = catalog.backbone(text)
    assert (choice.spec.stages, str(choice)) == (stages, again)
    assert catalog.backbone(str(choice)) == choice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lenet5:upto=c4", r"'lenet5' has no stage 'c4'\. Its stages: c1, c3, c5\."),
        ("lenet5:upto=", "'lenet5' has no stage ''"),
        ("lenet5:upto=c1,upto=c3", "'lenet5' sets the option 'upto' twice"),
        ("lenet5:upto=c1,width=2", "'lenet5' has no option 'width'"),
    ],
)
def test_a_wrong_stage_is_answered_with_the_stages(text: str, reason: str, catalog: Catalog) -> None:
    with pytest.raises(UsageError, match=reason):
        catalog.backbone(text)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0:upto=blocks3", "resnet18:upto=layer2", "googlenet:upto=inception3b"]
)
def test_the_base_computes_what_the_whole_has_there(name: str, catalog: Catalog) -> None:
    choice = catalog.backbone(name)
    network = build_network(choice).eval()
    base, replaced = split_base(network, choice)
    assert replaced is not None
    assert (*base.stages, *replaced.stages) == network.stages
    features = image = torch.randn(1, 3, 64, 64)
    for stage in base.stages:
        features = network.stage(stage)(features)
    assert torch.equal(base(image), features)


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("lenet5", "lenet5:upto=c1"),
        ("lenet5:upto=c3", "lenet5:upto=c1"),
        ("zoo-lenet:lenet5", "zoo-lenet:lenet5:upto=c1"),
        ("cifar_resnet:depth=20,shortcut=no", "cifar_resnet:depth=20,shortcut=no,upto=stem"),
    ],
)
def test_another_end_replaces_the_one_that_is_there(text: str, again: str, catalog: Catalog) -> None:
    """Seen to fail: advice on a backbone that ends earlier recommended one with two ends."""
    stage = again.rpartition("=")[2]
    assert with_option(text, UPTO, stage) == again
    assert catalog.backbone(again).spec.stages[-1] == stage


def test_weights_of_the_whole_fill_it_and_those_of_later_stages_are_dropped(catalog: Catalog, tmp_path: Path) -> None:
    whole, part = catalog.backbone("lenet5"), catalog.backbone("lenet5:upto=c3")
    all_of_it, _ = load_backbone(whole, resolve_weights(whole, "default"))
    base, dropped = load_backbone(part, resolve_weights(part, "default"))
    expected = dict(all_of_it.named_upstream())
    own = dict(base.named_upstream())
    assert own.keys() < expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in own.items())
    assert dropped
    assert all(key.startswith("classifier.") for key in dropped), "the classifier alone is named"


def test_tokens_of_an_earlier_stage_are_averaged(catalog: Catalog) -> None:
    """Its class token has not gathered the image yet."""
    model = zoo_core.create_model(
        backbone="timm-deit_tiny_patch16_224:upto=blocks_0", head="linear", num_classes=3, weights="none"
    )
    model.eval()
    assert isinstance(model, Model)
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        tokens = model.backbone(image)
        (linear,) = (module for module in model.head.modules() if isinstance(module, torch.nn.Linear))
        assert torch.allclose(model(image), linear(tokens[:, 1:].mean(1)), atol=1e-5)


def test_a_run_is_trained_predicted_explained_and_exported_like_any_other(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    asked = ("--backbone", "lenet5:upto=c3", "--data", photos, "--epochs", 2, "--strategy", "last:1")
    call("finetune", *asked, "--out", "run")
    shown = capsys.readouterr()
    assert "c3; left out: c5" in shown.out + shown.err
    assert "c5." not in shown.out + shown.err, "seen to fail: every tensor of the later stages was named"
    run = read_run(Path("run"))
    assert run.facts.backbone.name == "lenet5:upto=c3"
    keys = read_tensors(run.weights_path).keys()
    assert keys
    assert not any(key.startswith("c5") for key in keys)
    model = zoo_core.load("run")
    (answer,) = model.predict([next(photos.rglob("*.png"))])
    assert sum(answer.values) == pytest.approx(1, abs=1e-5)
    call("evaluate", "run", "--data", photos)
    call("explain", "run", next(photos.rglob("*.png")), "-o", "maps.png")
    call("export", "run", "--to", "torch-export", "-o", "model.pt2")
    call("finetune", *asked, "--weights", "run", "--out", "again")
    with pytest.raises(WeightsError, match="missing"):
        call("finetune", "--backbone", "lenet5", "--data", photos, "--weights", "run", "--out", "whole")
    call("resume", "run", "--epochs", "+1")
    capsys.readouterr()
    call("info", "lenet5:upto=c3", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [stage["name"] for stage in told["stages"]] == ["c1", "c3"]
    assert told["params"] == sum(stage["params"] for stage in told["stages"])


def test_info_names_the_stages_where_one_is_wrong() -> None:
    """Seen to fail: no backbone was called so."""
    with pytest.raises(UsageError, match=r"'lenet5' has no stage 'c9'\. .*Its stages: c1, c3, c5\."):
        call("info", "lenet5:upto=c9")


def test_a_run_is_named_after_the_stage_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = zoo_core.FinetuneConfig(backbone="lenet5:upto=c1", strategy="head-only", epochs=1, train_share=0.02)
    assert zoo_core.finetune(config).directory == Path("runs/lenet5-c1-head-only-1")
