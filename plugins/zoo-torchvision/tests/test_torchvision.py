"""The cheapest network of each family computes as torchvision's own; `scripts/prove.py` compares all."""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import vision_transformer
from zoo_torchvision import keys, plugin
from zoo_torchvision.model import Embedding, published

from zoo_core import NoOptions
from zoo_core.testing import backbone_checks, difference_from, stir

SPECS = plugin.zoo_backbones()
CHEAPEST = {spec.family: spec for spec in sorted(SPECS, key=lambda spec: -spec.gmacs)}
SLOW = 2.0  # GMACs: a network of more takes five seconds and longer
TABLE = Path(__file__).parents[1] / "ARCHITECTURES.md"


def quickly_filled(variant: str) -> nn.Module:
    """torchvision's network with random numbers; its own initialisation takes seconds."""
    with torch.device("meta"):
        network = published(NoOptions(), variant=variant)
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        if tensor.ndim > 1 and tensor.is_floating_point():
            tensor.uniform_(-0.02, 0.02)
        else:  # weights and variances of norms, and indices
            tensor.fill_(1)
    stir(network)
    return network


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, marks=() if spec.gmacs < SLOW else pytest.mark.whole, id=spec.name)
        for spec in CHEAPEST.values()
    ],
)
def test_outputs_equal_torchvisions_for_the_same_weights(spec):
    upstream = quickly_filled(spec.variant)
    tokens = spec.features.kind == "tokens"  # torchvision's own take one size
    size = spec.preprocessing.size if tokens or spec.size_step is None else 2 * spec.stride
    assert difference_from(upstream, spec, size=size, batch=1) == 0


@pytest.mark.parametrize(
    "check",
    [
        check
        for check in backbone_checks(plugin, slow=False)
        if check.name.partition(":")[0] in ("regnet_y_400mf", plugin.__name__)
    ],
    ids=str,
)
def test_conformance(check):
    check()


def test_the_table_has_every_network_of_torchvision_and_each_is_equal():
    rows = re.findall(
        r"^\| (\w+) \|(?:.*?\|){4} (yes|no) \| ([\w-]*) ?\|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {equal for _, equal, _ in rows} == {"yes"}
    assert {name for name, _, plugin in rows if not plugin} == {spec.name for spec in SPECS}
    assert set(torchvision.models.list_models(module=torchvision.models)) <= {name for name, _, _ in rows}


def test_all_weights_of_the_networks_are_there():
    names = {spec.variant.partition(":")[0] for spec in SPECS}
    theirs = {one.url.rpartition("/")[2] for name in names for one in torchvision.models.get_model_weights(name)}
    refs = [(spec, ref) for spec in SPECS for ref in spec.weights]
    assert {ref.sources[0].file for _, ref in refs} == theirs
    assert all(spec.takes_size(ref.preprocessing.size) for spec, ref in refs)
    assert {ref.commercial for _, ref in refs if "swag" in ref.tag} == {False}
    assert all(ref.commercial for _, ref in refs if "swag" not in ref.tag)


def test_positions_are_interpolated_as_torchvision_does():
    """The tokens of larger images are those of torchvision's network for that size, with its interpolated positions."""
    small, large = (vision_transformer.VisionTransformer(size, 16, 1, 1, 8, 8).eval() for size in (64, 96))
    torch.nn.init.normal_(small.encoder.pos_embedding)
    large.load_state_dict(vision_transformer.interpolate_embeddings(96, 16, small.state_dict()))
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(Embedding(small)(images), Embedding(large)(images))


def test_keys_of_older_files_are_translated():
    tensor = torch.zeros(1)
    dense = keys.densenet({"features.denseblock1.denselayer12.norm.1.weight": tensor, "features.norm5.weight": tensor})
    assert list(dense) == ["features.denseblock1.denselayer12.norm1.weight", "features.norm5.weight"]
    layer = "encoder.layers.encoder_layer_0"
    vit = keys.vision_transformer({f"{layer}.mlp.linear_1.bias": tensor, f"{layer}.mlp.linear_2.weight": tensor})
    assert list(vit) == [f"{layer}.mlp.0.bias", f"{layer}.mlp.3.weight"]


def test_an_exported_vision_transformer_takes_any_number_of_images():
    vit = vision_transformer.VisionTransformer(32, 16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    embedding, images = Embedding(vit).eval(), torch.rand(3, 3, 32, 32)
    program = torch.export.export(embedding, (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    assert torch.equal(program.module()(images), embedding(images))
