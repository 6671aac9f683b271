from __future__ import annotations

import pytest
import torch

from zoo_core.catalog import Catalog
from zoo_core.errors import PluginError, UsageError
from zoo_core.model.assemble import build_head

FEATURES = torch.randn(4, 16, 3, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("linear", ["pool", "flatten", "dropout", "output"]),
        ("linear:max,dropout=0.5", ["pool", "flatten", "dropout", "output"]),
        ("mlp:8", ["pool", "flatten", "hidden1", "activation1", "dropout1", "output"]),
        (
            "mlp:hidden=8+4,batchnorm=yes,activation=gelu",
            ["pool", "flatten"]
            + [f"{layer}{number}" for number in (1, 2) for layer in ("hidden", "norm", "activation", "dropout")]
            + ["output"],
        ),
    ],
)
def test_a_head_maps_any_feature_map_to_its_outputs(catalog: Catalog, text: str, layers: list[str]) -> None:
    head = build_head(catalog.head(text), in_channels=16, num_outputs=7)
    assert [name for name, _ in head.named_children()] == layers
    assert head(FEATURES).shape == (4, 7)


def test_linear_is_pooling_and_a_matrix(catalog: Catalog) -> None:
    head = build_head(catalog.head("linear"), in_channels=16, num_outputs=7).eval()
    expected = FEATURES.mean((2, 3)) @ head.output.weight.T + head.output.bias
    assert torch.allclose(head(FEATURES), expected, atol=1e-6)


def test_a_head_that_cannot_be_built_is_blamed_on_its_distribution(catalog: Catalog) -> None:
    with pytest.raises(PluginError, match="zoo-core: the head 'linear' could not be built"):
        build_head(catalog.head("linear"), in_channels=-1, num_outputs=7)


@pytest.mark.parametrize("text", ["linear:dropout=1", "mlp:hidden=0", "mlp:hidden=8,dropout=-0.1"])
def test_a_number_out_of_range_is_refused(catalog: Catalog, text: str) -> None:
    with pytest.raises(UsageError, match="must"):
        catalog.head(text)
