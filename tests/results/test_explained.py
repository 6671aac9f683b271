"""The network of formats that explain: its answers, distances and heat maps are those of predict and explain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import zoo_core
from helpers import make_photos, make_table
from zoo_core.data.on_device import normalised
from zoo_core.explaining.explain import explain
from zoo_core.exporting.explained import Explained, _convolution_backward, explained_network
from zoo_core.exporting.network import example_of, exported_network
from zoo_core.predict import Predictor
from zoo_core.settings import FinetuneConfig

FORWARD = torch.ops.aten.convolution.default


def described(images: Path, root: Path, **given: object) -> tuple[Predictor, Explained, list[Path]]:
    """A run, its explained network, and photos to try."""
    settings = {"backbone": "lenet5", "epochs": 1, "batch_size": 16, "val_share": 0.4, **given}
    run = zoo_core.finetune(FinetuneConfig(data=str(images), out=str(root / "run"), **settings)).directory  # type: ignore[arg-type]
    predictor = zoo_core.load(run, device="cpu")
    example_BCHW = example_of(predictor.preprocessing, with_preprocessing=False)
    made = explained_network(predictor, example_BCHW, with_preprocessing=False)
    photos = sorted(images.parent.rglob("*.png") if images.is_file() else images.rglob("*.png"))
    return predictor, made, photos[:3]


def pixels_of(predictor: Predictor, photos: list[Path]) -> Tensor:
    return torch.from_numpy(np.stack([predictor.prepare(photo) for photo in photos])).permute(0, 3, 1, 2).contiguous()


def check(predictor: Predictor, made: Explained, photos: list[Path]) -> None:
    """Compare with predict and explain. A map of zeros stands for one that explain finds at an earlier stage, or not."""
    images_BCHW = normalised(pixels_of(predictor, photos), predictor.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        found = dict(zip(made.outputs, made(images_BCHW), strict=True))
        expected_BK = exported_network(predictor, with_preprocessing=False)(images_BCHW)
    assert torch.allclose(found["answers"], expected_BK, atol=1e-6, rtol=1e-6)
    familiar = predictor.objective.fitted.familiar
    assert ("features" in found) == (familiar is not None)
    if familiar is not None:
        told = [one.distance for one in predictor.predict(photos)]
        assert np.allclose(familiar.distances(found["features"].double().numpy()), told, rtol=1e-5)
    assert found["map"].any()
    for photo, map_HW in zip(photos, found["map"], strict=True):
        if map_HW.any():
            (one,) = explain(str(predictor.directory), photo, device="cpu")
            assert np.abs(map_HW.numpy() - one.cells_HW).max() / one.cells_HW.max() < 1e-4


def test_of_classes_with_a_stage_before_the_place(tmp_path: Path) -> None:
    """LeNet-5 at 32 pixels has cells before its last convolution only: its gradient is a transposed convolution."""
    predictor, made, photos = described(make_photos(tmp_path / "photos", count=30), tmp_path)
    assert made.outputs == ("answers", "features", "map")
    assert len(made.front) == 2  # type: ignore[arg-type]
    check(predictor, made, photos)


@pytest.mark.parametrize("head", ["mlp:hidden=8,activation=gelu", "linear:pool=avgmax", "flatten"])
def test_of_numbers_and_other_heads(tmp_path: Path, head: str) -> None:
    table = make_table(tmp_path / "photos", "path,size", lambda name, number: f"{number * 1.5}", count=30)
    settings = {"task": "regression"} if head.startswith("mlp") else {}
    data = table if settings else make_photos(tmp_path / "classes", count=30)
    predictor, made, photos = described(data, tmp_path, head=head, size=64, **settings)
    check(predictor, made, photos)


def test_without_enough_validation_images_there_are_no_features(tmp_path: Path) -> None:
    predictor, made, photos = described(make_photos(tmp_path / "photos", count=6), tmp_path)
    assert made.outputs == ("answers", "map")
    assert made.familiar is None
    check(predictor, made, photos)


def test_without_its_map_the_network_answers_alike(tmp_path: Path) -> None:
    predictor, made, photos = described(make_photos(tmp_path / "photos", count=30), tmp_path)
    images_BCHW = normalised(pixels_of(predictor, photos), predictor.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        whole = made(images_BCHW)
        less = made.without_map()(images_BCHW)
    assert made.outputs == ("answers", "features")
    assert len(less) == 2
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(less, whole, strict=False))


def test_bytes_are_normalised_first(tmp_path: Path) -> None:
    predictor, made, photos = described(make_photos(tmp_path / "photos", count=30), tmp_path)
    pixels_BCHW = pixels_of(predictor, photos)
    example_BCHW = example_of(predictor.preprocessing, with_preprocessing=True)
    of_bytes = explained_network(predictor, example_BCHW, with_preprocessing=True)
    with torch.no_grad():
        found = of_bytes(pixels_BCHW)
        expected = made(normalised(pixels_BCHW, predictor.preprocessing, torch.device("cpu")))
    assert all(torch.allclose(one, other, atol=1e-5, rtol=1e-4) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation", "groups"),
    [(9, 1, 0, 1, 1), (9, 2, 1, 1, 2), (10, 2, 1, 1, 4), (11, 3, 2, 2, 1), (10, 3, 0, 1, 2)],
)
def test_the_gradient_of_a_convolution_is_that_of_autograd(
    size: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 4, size, size, generator=generator).requires_grad_()
    weight = torch.randn(8, 4 // groups, 3, 3, generator=generator)
    given = ([stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups)
    outputs = FORWARD(inputs, weight, None, *given)
    gradients = torch.randn(outputs.shape, generator=generator)
    (expected,) = torch.autograd.grad(outputs, inputs, gradients)
    found, *_ = _convolution_backward(gradients, inputs.detach(), weight, None, *given, [True, False, False])
    assert found is not None
    assert torch.allclose(found, expected, atol=1e-5)
