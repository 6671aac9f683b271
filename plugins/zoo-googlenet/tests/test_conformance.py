import pytest
import torch
import torchvision
from zoo_googlenet import plugin

from zoo_core.testing import difference_from, plugin_checks, stir

SPECS = plugin.zoo_backbones()


@pytest.mark.parametrize("check", plugin_checks(plugin, slow=False), ids=str)
def test_conformance(check):
    check()


def torchvisions(name, **settings):
    upstream = torchvision.models.get_model(name, aux_logits=True, init_weights=False, **settings)
    stir(upstream)
    return upstream


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_outputs_equal_torchvisions_for_the_same_weights_auxiliary_heads_included(spec):
    assert difference_from(torchvisions(spec.name), spec, size=spec.min_size) <= 1e-6


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_mean_and_std_do_what_torchvisions_transform_input_does(spec):
    weights = torchvision.models.get_model_weights(spec.name).DEFAULT.transforms()
    pixels_BCHW = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    theirs = torchvisions(spec.name, transform_input=True)._transform_input(
        torchvision.transforms.functional.normalize(pixels_BCHW, weights.mean, weights.std)
    )
    expected = spec.weights[0].preprocessing
    ours = torchvision.transforms.functional.normalize(pixels_BCHW, expected.mean, expected.std)
    assert torch.allclose(ours, theirs, atol=1e-6)
