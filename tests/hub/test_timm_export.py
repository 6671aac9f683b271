"""The tensors of a run under timm's keys: the real timm answers with them as zoo does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from torch.nn import functional
from zoo_vgg.keys import to_timm

import zoo_core
from helpers import make_photos, make_table
from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.data.transforms import resized_side
from zoo_core.errors import UsageError
from zoo_core.hub.bundle import PublishOptions, build_bundle
from zoo_core.hub.publish import publish
from zoo_core.hub.timm_export import crop_for_timm, tensors_for_timm
from zoo_core.model.assemble import build_network
from zoo_core.runs.directory import read_run
from zoo_core.runs.fitted import read_fitted, write_fitted
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks import task_named
from zoo_core.weights.load import build_shapes
from zoo_core.weights_specs import Preprocessing

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:timm"),
    pytest.mark.filterwarnings("ignore::FutureWarning:timm"),
]


@pytest.fixture
def alice(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> TestHub:
    hub.add_token("hf_alicestoken", user="alice")
    monkeypatch.setenv("HF_TOKEN", "hf_alicestoken")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    return hub


def trained(catalog: Catalog, folder: Path, backbone: str, size: int, **settings: object) -> Path:
    """A run of one epoch of the head."""
    config = FinetuneConfig(
        backbone=backbone,
        weights="none",
        data=str(make_photos(folder / "photos", count=3)),
        size=size,
        epochs=1,
        out=str(folder / "run"),
    )
    return zoo_core.finetune(replace(config, **settings), catalog=catalog).directory


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_timms_network_gives_the_same_logits(catalog: Catalog, backbone: str) -> None:
    """With tensors and no files; `tests/parity` publishes a network and reads it back."""
    torch.manual_seed(3)
    choice = catalog.backbone(backbone)
    assert choice.spec.timm is not None
    base = build_network(choice).split()[0].eval()
    for name, buffer in base.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    weight, bias = torch.randn(2, choice.spec.channels), torch.randn(2)
    with torch.device("meta"):
        theirs = timm.create_model(choice.spec.timm.architecture, num_classes=2).eval()
    tensors = tensors_for_timm(choice.spec.timm, dict(base.named_upstream()), weight, bias)
    theirs.load_state_dict(tensors, assign=True)
    with torch.inference_mode():
        images_BCHW = torch.randn(2, 3, 64, 64)
        expected_BK = functional.linear(base(images_BCHW).mean((2, 3)), weight, bias)
        assert torch.allclose(theirs(images_BCHW), expected_BK, atol=1e-4, rtol=1e-4)


def test_timms_vgg_answers_the_same_with_one_linear_layer_as_its_three(catalog: Catalog) -> None:
    torch.manual_seed(3)
    base = build_shapes(lambda: build_network(catalog.backbone("vgg11"))).split()[0].to_empty(device="cpu").eval()
    for tensor in base.state_dict().values():
        tensor.normal_(std=0.05)
    weight, bias = torch.randn(2, 512), torch.randn(2)
    with torch.device("meta"):
        theirs = timm.create_model("vgg11", num_classes=2).eval()
    theirs.load_state_dict(to_timm(dict(base.named_upstream()), weight, bias), assign=True)
    with torch.inference_mode():
        images_BCHW = torch.randn(2, 3, 32, 32)
        assert torch.allclose(theirs.forward_features(images_BCHW), base(images_BCHW), atol=1e-6)
        features_BCHW = torch.rand(2, 512, 7, 7)  # as 224 pixels give
        expected_BK = functional.linear(features_BCHW.mean((2, 3)), weight, bias)
        assert torch.allclose(theirs.forward_head(features_BCHW), expected_BK, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "size", "head", "message"),
    [
        ("lenet5", 32, "linear", "'lenet5' has no twin in timm"),
        ("resnet18", 32, "mlp:8", "timm has the head 'linear' with average pooling only"),
        ("resnet18", 32, "linear:max", "timm has the head 'linear' with average pooling only"),
        ("resnet18", 32, "logreg:avgmax", "timm has the head 'linear' with average pooling only"),
        ("resnet18", 32, "prototype", "timm has the head 'linear' with average pooling only"),
        ("vgg11", 32, "linear", "gives the same answers at 224 pixels only"),
    ],
)
def test_what_timm_cannot_hold_is_refused_with_the_reason(
    alice: TestHub, catalog: Catalog, tmp_path: Path, backbone: str, size: int, head: str, message: str
) -> None:
    run = trained(catalog, tmp_path, backbone, size, head=head)
    with pytest.raises(UsageError, match=message):
        publish(run, "alice/twin", catalog=catalog, options=PublishOptions(also_timm=True))
    assert alice.requests == []


def test_what_does_not_classify_is_refused(alice: TestHub, catalog: Catalog, tmp_path: Path) -> None:
    table = make_table(tmp_path / "table", "path,warmth", lambda kind, number: f"{number}.5")
    run = trained(catalog, tmp_path, "resnet18", 32, data=str(table))
    with pytest.raises(UsageError, match="timm's models classify, and this run is for regression"):
        publish(run, "alice/twin", catalog=catalog, options=PublishOptions(also_timm=True))


@pytest.mark.parametrize("size", [32, 64, 96, 160, 192, 208, 224, 256, 299, 300, 384])
@pytest.mark.parametrize("crop", [0.875, 0.9, 0.95, 0.965, 1.0, 0.7, 1 / 3])
def test_timm_resizes_to_the_same_size_at_every_image_size(size: int, crop: float) -> None:
    """With the crop share as it is, timm resized to 182 pixels at size 160 and zoo to 183."""
    where = Preprocessing(size=size, crop=crop, mean=(0.5,) * 3, std=(0.5,) * 3)
    told = crop_for_timm(where)
    transform = timm.data.create_transform((3, size, size), crop_pct=told, mean=where.mean, std=where.std)
    assert transform.transforms[0].size == resized_side(where)
    assert round(told, 2) == pytest.approx(crop, abs=0.03)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_transformers_opens_what_is_published_and_answers_the_same(catalog: Catalog, tmp_path: Path) -> None:
    """Seen to fail: it read zoo's own weights, started the classifier anew and answered anything; and no outputs
    were divided by the temperature."""
    from transformers import pipeline

    run = trained(catalog, tmp_path, "resnet18", 64, head="logreg")
    write_fitted(run, replace(read_fitted(run, 2, task_named("classification")), temperature=0.4))
    repository = tmp_path / "repository"
    repository.mkdir()
    files = build_bundle(read_run(run), "alice/twin", PublishOptions(also_timm=True), catalog, tmp_path)
    for name, path in files.items():
        (repository / name).write_bytes(path.read_bytes())
    answer = pipeline("image-classification", model=str(repository), device="cpu")
    ours = zoo_core.load(run, device="cpu", catalog=catalog)
    for number, size in enumerate(((90, 70), (64, 200), (41, 40))):
        photo = tmp_path / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(photo)
        theirs = {one["label"]: one["score"] for one in answer(str(photo))}
        assert set(theirs) == {"blue", "red"}
        assert theirs == pytest.approx(dict(ours.predict(photo)[0].answers), abs=1e-4)
