from __future__ import annotations

import pytest
import torch

from zoo_core.builtin import Pooling
from zoo_core.catalog import Catalog
from zoo_core.errors import PluginError, UsageError
from zoo_core.library import create_model
from zoo_core.model.assemble import build_head, build_head_for, build_network, count_parameters
from zoo_core.model.heads import GeMPool2d, pooled
from zoo_core.model.shapes import stage_shapes
from zoo_core.tasks.units import in_units, units_of

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
        ("linear:avgmax", ["pool", "flatten", "dropout", "output"]),
        ("mlp:8,pool=gem", ["pool", "flatten", "hidden1", "activation1", "dropout1", "output"]),
        ("flatten", ["flatten", "output"]),
        (
            "flatten:hidden=8+4",
            ["flatten"]
            + [f"{layer}{number}" for number in (1, 2) for layer in ("hidden", "activation", "dropout")]
            + ["output"],
        ),
        ("cosine:gem", ["pool", "flatten", "output"]),
        ("prototype:max", ["pool", "flatten", "output"]),
        ("logreg:avgmax", ["pool", "flatten", "output"]),
    ],
)
def test_a_head_maps_a_feature_map_to_its_outputs(catalog: Catalog, text: str, layers: list[str]) -> None:
    head = build_head(catalog.head(text), in_channels=16, num_outputs=7, in_size=(3, 5))
    assert [name for name, _ in head.named_children()] == layers
    assert head(FEATURES).shape == (4, 7)


def test_linear_is_pooling_and_a_matrix(catalog: Catalog) -> None:
    head = build_head(catalog.head("linear"), in_channels=16, num_outputs=7).eval()
    expected = FEATURES.mean((2, 3)) @ head.output.weight.T + head.output.bias
    assert torch.allclose(head(FEATURES), expected, atol=1e-6)


def test_a_head_that_cannot_be_built_is_blamed_on_its_distribution(catalog: Catalog) -> None:
    with pytest.raises(PluginError, match="zoo-core: the head 'linear' could not be built"):
        build_head(catalog.head("linear"), in_channels=-1, num_outputs=7)


@pytest.mark.parametrize(
    "text", ["linear:dropout=1", "mlp:hidden=0", "mlp:hidden=8,dropout=-0.1", "flatten:hidden=0", "cosine:scale=0"]
)
def test_a_number_out_of_range_is_refused(catalog: Catalog, text: str) -> None:
    with pytest.raises(UsageError, match="must"):
        catalog.head(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("linear", 16 * 7 + 7),
        ("linear:avgmax", 32 * 7 + 7),
        ("linear:gem", 16 * 7 + 7 + 1),
        ("mlp:hidden=8+4", 16 * 8 + 8 + 8 * 4 + 4 + 4 * 7 + 7),
        ("flatten", 240 * 7 + 7),
        ("flatten:hidden=8", 240 * 8 + 8 + 8 * 7 + 7),
        ("cosine", 16 * 7 + 1),
        ("prototype", 16 * 7 + 1),
        ("logreg", 16 * 7 + 7),
    ],
)
def test_a_head_has_the_parameters_that_its_layers_need(catalog: Catalog, text: str, count: int) -> None:
    head = build_head(catalog.head(text), in_channels=16, num_outputs=7, in_size=(3, 5))
    assert count_parameters(head) == count


def generalised_mean(features: torch.Tensor, p: float) -> torch.Tensor:
    return features.clamp(min=1e-6).double().pow(p).mean((2, 3)).pow(1 / p).float()


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("avg", FEATURES.mean((2, 3))),
        ("max", FEATURES.amax((2, 3))),
        ("avgmax", torch.cat((FEATURES.mean((2, 3)), FEATURES.amax((2, 3))), 1)),
        ("gem", generalised_mean(FEATURES, 3.0)),
    ],
)
def test_each_pooling_is_what_its_name_says(pool: Pooling, expected: torch.Tensor) -> None:
    layers, width = pooled(pool, 16)
    result = torch.nn.Sequential(*(layer for _, layer in layers))(FEATURES)
    assert result.shape == (4, width)
    assert torch.allclose(result, expected, atol=1e-5)


def test_the_exponent_of_gem_learns_and_leads_from_the_average_to_the_maximum() -> None:
    pool, positive = GeMPool2d(), FEATURES.abs() + 0.1
    pool(positive).sum().backward()
    assert pool.p.grad is not None
    assert pool.p.grad.abs() > 0
    with torch.no_grad():
        pool.p.fill_(1.0)
        assert torch.allclose(pool(positive).flatten(1), positive.mean((2, 3)), atol=1e-5)
        pool.p.fill_(60.0)
        assert torch.allclose(pool(positive).flatten(1), positive.amax((2, 3)), rtol=0.06)


def test_pooling_without_parameters_stands_at_the_front_of_a_plain_sequence(catalog: Catalog) -> None:
    """What has no parameters may be computed with the frozen base, once."""
    for text in ("linear", "mlp:pool=max", "logreg:avgmax", "prototype", "flatten"):
        head = build_head(catalog.head(text), in_channels=16, num_outputs=7, in_size=(3, 5))
        assert isinstance(head, torch.nn.Sequential)
        first_layers = list(head)[: 1 if text == "flatten" else 2]
        assert not [parameter for layer in first_layers for parameter in layer.parameters()]


def test_a_cosine_ignores_how_long_features_and_directions_are(catalog: Catalog) -> None:
    head = build_head(catalog.head("cosine:scale=5"), in_channels=16, num_outputs=7)
    outputs = head(FEATURES)
    assert outputs.abs().max() <= 5
    with torch.no_grad():
        head.output.weight.mul_(3)
    assert torch.allclose(head(7 * FEATURES), outputs, atol=1e-5)
    pooled_features, weight = FEATURES.mean((2, 3)), head.output.weight
    expected = 5 * torch.cosine_similarity(pooled_features[:, None], weight[None], dim=2)
    assert torch.allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize(("backbone", "size", "expected"), [("lenet5", 32, (1, 1)), ("resnet18", 96, (3, 3))])
def test_a_head_that_needs_the_size_is_told_that_of_the_feature_map(
    catalog: Catalog, backbone: str, size: int, expected: tuple[int, int]
) -> None:
    choice = catalog.backbone(backbone)
    base, _ = build_network(choice).split()
    shapes = stage_shapes(base, choice.spec.preprocessing.channels, size)
    head = build_head_for(shapes, choice, catalog.head("flatten"), num_outputs=2, task="classification")
    assert head.output.in_features == choice.spec.channels * expected[0] * expected[1]


def test_create_model_builds_it_for_the_size_that_the_weights_expect(catalog: Catalog) -> None:
    model = create_model("resnet18", num_classes=3, head="flatten:hidden=4", weights="none", catalog=catalog)
    assert model.head.hidden1.in_features == 512 * 7 * 7


def test_a_regression_answers_in_the_units_of_its_targets(catalog: Catalog) -> None:
    targets = torch.tensor([[10.0, 5.0], [30.0, 5.0]])
    head = build_head(catalog.head("linear"), in_channels=16, num_outputs=2, task="regression")
    assert [name for name, _ in head.named_children()] == ["pool", "flatten", "dropout", "output", "units"]
    plain = head(FEATURES)
    units = units_of(head)
    assert units is not None
    units.set_from(targets)
    assert (units.mean.tolist(), units.std.tolist()) == ([20.0, 5.0], [10.0, 1.0])
    assert torch.allclose(head(FEATURES), plain * units.std + units.mean)
    assert {"units.mean", "units.std"} <= head.state_dict().keys()
    wrapped = in_units(Pinched(), 2)
    assert wrapped(FEATURES).shape == (4, 2)
    assert units_of(wrapped) is not None


class Pinched(torch.nn.Module):
    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        return features_BCHW[:, :2, 0, 0]
