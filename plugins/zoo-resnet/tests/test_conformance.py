import pytest
import torchvision
from zoo_resnet import plugin

from zoo_core.testing import backbone_checks, difference_from, stir


@pytest.mark.parametrize("check", backbone_checks(plugin), ids=str)
def test_conformance(check):
    check()


@pytest.mark.parametrize("spec", plugin.zoo_backbones(), ids=lambda spec: spec.name)
def test_outputs_equal_torchvisions_for_the_same_weights(spec):
    upstream = torchvision.models.get_model(spec.name)
    stir(upstream)
    assert difference_from(upstream, spec, size=spec.min_size) <= 1e-6
