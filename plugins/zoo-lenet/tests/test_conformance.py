"""LeNet-5 keeps the contract, and the weights in the wheel are the ones that its table describes."""

import hashlib
from importlib.resources import files

import pytest
import torch
from safetensors.torch import load
from zoo_lenet import plugin

from zoo_core import PackageFile
from zoo_core.testing import build, plugin_checks

SPEC = plugin.zoo_backbones()[0]


@pytest.mark.parametrize("check", plugin_checks(plugin, slow=False), ids=str)
def test_conformance(check):
    check()


@pytest.fixture
def shipped() -> bytes:
    source = SPEC.weights[0].sources[0]
    assert isinstance(source, PackageFile)
    return files(source.package).joinpath(source.file).read_bytes()


def test_the_shipped_weights_have_the_sha256_of_the_spec(shipped):
    assert hashlib.sha256(shipped).hexdigest() == SPEC.weights[0].sources[0].sha256


def test_the_shipped_weights_have_the_keys_and_shapes_of_the_chain(shipped):
    network = build(SPEC)
    stored = {key: (tensor.shape, tensor.dtype) for key, tensor in load(shipped).items()}
    assert stored == {key: (tensor.shape, torch.float32) for key, tensor in network.named_upstream()}
