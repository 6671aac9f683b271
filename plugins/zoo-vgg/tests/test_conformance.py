import pytest
import torchvision
from zoo_vgg import plugin
from zoo_vgg.keys import from_timm

from zoo_core.testing import difference_from, plugin_checks, stir


@pytest.mark.parametrize("check", plugin_checks(plugin, slow=False), ids=str)
def test_conformance(check):
    check()


def torchvisions(name):
    upstream = torchvision.models.get_model(name, init_weights=False)  # torch's own start is random too, and faster
    stir(upstream)
    return upstream


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, marks=() if spec.name in ("vgg11_bn", "vgg19") else pytest.mark.whole, id=spec.name)
        for spec in plugin.zoo_backbones()
    ],
)
def test_outputs_equal_torchvisions_for_the_same_weights(spec):
    assert difference_from(torchvisions(spec.name), spec, size=spec.min_size) <= 1e-6


def as_timm_writes_it(tensors):
    """The classifier's first two layers as the convolutions of timm's file."""
    shapes = {"classifier.0.weight": (4096, 512, 7, 7), "classifier.3.weight": (4096, 4096, 1, 1)}
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    written = {}
    for key, tensor in tensors.items():
        module, _, name = key.rpartition(".")
        written[f"{names.get(module, module)}.{name}"] = tensor.reshape(shapes.get(key, tensor.shape))
    return written


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn"])
def test_outputs_stay_equal_when_the_weights_come_under_timms_keys(name):
    spec = next(spec for spec in plugin.zoo_backbones() if spec.name == name)
    upstream = torchvisions(name)
    file = as_timm_writes_it(upstream.state_dict())
    assert not any(key.startswith("classifier") for key in file)
    assert difference_from(upstream, spec, size=spec.min_size, published=from_timm(file)) <= 1e-6
