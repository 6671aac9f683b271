"""Training with convolutions from tiles: outputs and gradients are those of direct ones in float64, up to rounding.

Seen to fail: with filters that were not turned around for the gradient of the images, with a sum over tiles that
forgot all but the last images, and with an evaluation from tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_core.tiles import products, trained, winograd
from zoo_core.tiles.trained import TilesInTraining, may_suit

NAME = "_FromTilesBackward"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few channels and few tiles are enough."""
    monkeypatch.setitem(products.FEWEST_CHANNELS, torch.backends.cpu.get_cpu_capability(), 1)
    monkeypatch.setattr(trained, "FEWEST_TILES", 1)


def gradients(layer: nn.Conv2d, images: Tensor, *, tiles: bool) -> Mapping[str, Tensor]:
    """The outputs of a layer, and the gradients of all that wants one."""
    images = images.clone().requires_grad_()
    with TilesInTraining() if tiles else nullcontext():
        outputs = layer(images)
    assert (type(outputs.grad_fn).__name__ == NAME) is tiles
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1)).to(outputs.dtype)
    wanted = {"images": images, **dict(layer.named_parameters())}
    found = torch.autograd.grad((outputs * weights).sum(), list(wanted.values()))
    return {"outputs": outputs.detach(), **dict(zip(wanted, found, strict=True))}


def in_float64(layer: nn.Conv2d, images: Tensor) -> Mapping[str, Tensor]:
    exact = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=layer.padding, bias=layer.bias is not None)
    exact.load_state_dict(layer.state_dict())
    return gradients(exact.double(), images.double(), tiles=False)


def assert_close(found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> None:
    assert found.keys() == exact.keys()
    for name, tensor in exact.items():
        assert found[name].shape == tensor.shape
        worst = float((found[name] - tensor).abs().max() / tensor.abs().max())
        assert worst < 3e-5, f"{name}: {worst:.0e}"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 2, (1, 0), (0, 2)])
@pytest.mark.parametrize("size", [(3, 3), (7, 7), (8, 6), (9, 14), (28, 5)])
def test_outputs_and_gradients_are_those_of_a_direct_convolution(
    small: None, size: tuple[int, int], padding: int | tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 12, 3, padding=padding, bias=bias)
    images = torch.randn(3, 8, *size)
    exact = in_float64(layer, images)
    for inputs in (images, images.contiguous(memory_format=torch.channels_last)):
        assert_close(gradients(layer, inputs, tiles=True), exact)


def test_many_images_are_computed_in_parts(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(8, 6, 3, padding=1), torch.randn(5, 8, 9, 9)
    monkeypatch.setattr(winograd, "TILE_BYTES", 2 * 36 * 9 * 8 * 4)
    assert_close(gradients(layer, images, tiles=True), in_float64(layer, images))


def test_with_as_many_channels_as_networks_have_the_rounding_stays_small() -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(256, 256, 3, padding=1, bias=False), torch.randn(8, 256, 14, 14).relu()
    assert_close(gradients(layer, images, tiles=True), in_float64(layer, images))


@pytest.mark.parametrize("wanted", ["images", "weight", "bias"])
def test_each_gradient_alone_is_the_same(small: None, wanted: str) -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(8, 12, 3, padding=1), torch.randn(3, 8, 9, 9)
    exact = in_float64(layer, images)
    layer.requires_grad_(False)
    tensors = {"images": images, **dict(layer.named_parameters())}
    tensors[wanted].requires_grad_()
    with TilesInTraining():
        outputs = layer(images)
    is_bias = wanted == "bias"  # the products are as many, and the sum is all that is wanted
    assert (type(outputs.grad_fn).__name__ == NAME) is not is_bias
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad((outputs * weights).sum(), tensors[wanted])
    assert_close({wanted: found}, {wanted: exact[wanted]})


SUITS = {"inputs": 64, "outputs": 64, "kernel": 3, "padding": 1}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"inputs": 96, "outputs": 160}, True),
        ({"padding": 0}, True),
        ({"padding": 3}, False),
        ({"padding": "same"}, False),
        ({"padding_mode": "reflect"}, True),  # the images are padded before
        ({"inputs": 32}, False),
        ({"outputs": 32}, False),
        ({"kernel": 5, "padding": 2}, False),
        ({"kernel": (3, 1)}, False),
        ({"stride": 2}, False),
        ({"stride": (1, 2)}, False),
        ({"dilation": 2}, False),
        ({"groups": 2, "inputs": 128, "outputs": 128}, False),
    ],
)
def test_convolutions_with_many_channels_suit(
    changed: Mapping[str, object], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    made = {**SUITS, **changed}
    inputs, outputs, kernel = made.pop("inputs"), made.pop("outputs"), made.pop("kernel")
    layer = nn.Conv2d(inputs, outputs, kernel, **made)  # type: ignore[arg-type]
    images = torch.randn(2, layer.in_channels, 33, 33)
    with TilesInTraining():
        assert (type(layer(images).grad_fn).__name__ == NAME) is expected
        assert may_suit(layer) is expected


def test_what_computes_no_gradients_or_other_numbers_is_direct() -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(128, 128, 3, padding=1), torch.randn(2, 128, 33, 33)
    with torch.no_grad():
        direct = layer(images)
        with TilesInTraining():
            assert torch.equal(layer(images), direct)
    with torch.inference_mode(), TilesInTraining():
        assert torch.equal(layer(images), direct)
    with TilesInTraining(), torch.autocast("cpu", torch.bfloat16):
        assert type(layer(images).grad_fn).__name__ != NAME
    torch.set_float32_matmul_precision("medium")
    try:
        with TilesInTraining():
            assert type(layer(images).grad_fn).__name__ != NAME
    finally:
        torch.set_float32_matmul_precision("highest")
    assert may_suit(layer)
    assert not may_suit(nn.Conv2d(128, 128, 3, padding=-1))
    with TilesInTraining():
        assert type(layer(images[:, :, :8, :8]).grad_fn).__name__ != NAME  # too few tiles
        assert type(layer(images[0]).grad_fn).__name__ != NAME  # an image without a batch
        assert type(layer.double()(images.double()).grad_fn).__name__ != NAME
        assert not layer.requires_grad_(False).double()(images.double()).requires_grad


def test_an_activation_may_write_over_the_outputs(small: None) -> None:
    """Seen to fail: the outputs were a view, which torch lets nobody write to; VGG does."""
    torch.manual_seed(0)
    layer, images = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True)), torch.randn(2, 4, 9, 9)
    found = []
    for context in (nullcontext(), TilesInTraining()):
        with context:
            outputs = layer(images)
        found.append(torch.autograd.grad(outputs.square().sum(), layer[0].weight)[0])
    assert torch.allclose(*found, rtol=1e-4, atol=1e-4)


def test_outputs_lie_in_memory_as_those_of_a_direct_convolution_and_are_of_its_type(small: None) -> None:
    """Seen to fail: all were channels last, and of the program's own default type."""
    images, weight = torch.randn(2, 4, 9, 9), torch.randn(6, 4, 3, 3).requires_grad_()
    torch.set_default_dtype(torch.float64)
    try:
        for memory_format in (torch.contiguous_format, torch.channels_last):
            with TilesInTraining():
                outputs = functional.conv2d(images.contiguous(memory_format=memory_format), weight)
            assert outputs.is_contiguous(memory_format=memory_format)
            assert outputs.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_channels_that_do_not_match_are_refused_by_torch(small: None) -> None:
    with TilesInTraining(), pytest.raises(RuntimeError, match="to have 4 channels"):
        functional.conv2d(torch.randn(2, 5, 9, 9), torch.randn(6, 4, 3, 3).requires_grad_())


def test_functional_calls_in_any_form_are_found(small: None) -> None:
    images, weight, bias = torch.randn(2, 4, 9, 9), torch.randn(6, 4, 3, 3).requires_grad_(), torch.randn(6)
    with TilesInTraining():
        found = [
            functional.conv2d(images, weight, bias, 1, 1),
            functional.conv2d(images, weight, bias, (1,), (1,)),
            functional.conv2d(images, weight=weight, bias=bias, padding=[1, 1]),
            torch.conv2d(padding=1, bias=bias, weight=weight, input=images),
        ]
    expected = functional.conv2d(images, weight, bias, padding=1)
    for outputs in found:
        assert type(outputs.grad_fn).__name__ == NAME
        assert torch.allclose(outputs, expected, atol=1e-4)
