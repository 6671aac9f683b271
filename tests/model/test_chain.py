from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo_core.errors import PluginError
from zoo_core.freezing.plan import FROZEN, TRAINABLE, Rule
from zoo_core.model.assemble import Model, trainable_parameters
from zoo_core.model.chain import Chain
from zoo_core.model.shapes import stage_shapes


class Upstream(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.features = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm2d(6))
        self.fc = nn.Linear(6, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(self.bn1(self.conv1(images))).mean((2, 3)))


def chain(network: nn.Module) -> Chain:
    return Chain.cut(
        network,
        {
            "stem": ("conv1", "bn1"),
            "body": "features",
            "classifier": (nn.AdaptiveAvgPool2d(1), nn.Flatten(), "fc"),
        },
    )


def model() -> Model:
    base, _ = chain(Upstream()).split()
    return Model(base, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 2)))


IMAGES = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def test_a_cut_network_computes_what_it_did_and_keeps_its_published_keys() -> None:
    network = Upstream().eval()
    cut = chain(network).eval()
    assert cut.stages == ("stem", "body", "classifier")
    assert torch.equal(cut(IMAGES), network(IMAGES))
    assert dict(cut.named_upstream()).keys() == network.state_dict().keys()


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("training", [True, False])
def test_the_shapes_of_its_stages_are_found_and_it_stays_as_it_is(device: str, training: bool) -> None:
    base, _ = chain(Upstream()).split()
    base.to(device).train(training)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    assert stage_shapes(base, 3, 9) == {"stem": (4, 7, 7), "body": (6, 5, 5)}
    assert all(module.training == training for module in base.modules())
    assert {tensor.device.type for tensor in base.state_dict().values()} == {device}
    if device == "cpu":
        assert all(torch.equal(tensor, before[name]) for name, tensor in base.state_dict().items())


def test_a_chain_splits_before_its_classifier() -> None:
    base, classifier = chain(Upstream()).split()
    assert base.stages == ("stem", "body")
    assert classifier is not None
    assert [key for key, _ in classifier.named_upstream()] == ["fc.weight", "fc.bias"]
    assert base.split() == (base, None)


def test_two_parts_with_one_last_name_are_refused() -> None:
    network = nn.ModuleDict({"a": nn.ModuleDict({"conv": nn.ReLU()}), "b": nn.ModuleDict({"conv": nn.ReLU()})})
    with pytest.raises(PluginError, match="two parts of the stage 'stem' have the same last name"):
        Chain.cut(network, {"stem": ("a.conv", "b.conv")})


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.train(),
        lambda model: model.backbone.train(),
        lambda model: model.backbone.stage("body").train(),
        lambda model: model.apply(lambda module: module.train()),
        lambda model: [setattr(module, "training", True) for module in model.modules()],
        lambda model: model.backbone.stage("body")[3].train(),
    ],
)
def test_frozen_statistics_do_not_move_whoever_calls_train(ask) -> None:
    network = model()
    network.apply_rules({"stem": FROZEN, "body": FROZEN, "head": TRAINABLE})
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ask(network)
    first, second = network(IMAGES), network.backbone(IMAGES)
    assert torch.equal(second, network.backbone(IMAGES)), "dropout is active in a frozen stage"
    after = network.state_dict()
    to_device = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(name.startswith("head.") for name in to_device), to_device
    assert first.requires_grad


def test_learning_statistics_move_and_can_be_held_while_weights_learn() -> None:
    network = model()
    network.apply_rules({"stem": TRAINABLE, "body": Rule(lr=1, statistics="frozen"), "head": TRAINABLE})
    network.train()
    stem, body = network.backbone.stage("stem").bn1, network.backbone.stage("body")[3]
    before = stem.running_mean.clone(), body.running_mean.clone()
    network(IMAGES).sum().backward()
    assert not torch.equal(stem.running_mean, before[0])
    assert torch.equal(body.running_mean, before[1])
    assert body.weight.grad is not None
    assert network.backbone.stage("body")[2].training, "only normalisation is held still, dropout goes on"


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (FROZEN, []),
        (TRAINABLE, ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias"]),
        (Rule(lr=1, parameters="norm"), ["bn1.weight", "bn1.bias"]),
        (Rule(lr=1, parameters="bias"), ["conv1.bias", "bn1.bias"]),
    ],
)
def test_a_rule_says_which_parameters_of_a_stage_learn(rule: Rule, names: list[str]) -> None:
    stem = model().backbone.stage("stem")
    learning = {id(parameter) for parameter in trainable_parameters(stem, rule)}
    assert [name for name, parameter in stem.named_parameters() if id(parameter) in learning] == names


def test_a_frozen_head_keeps_still_too() -> None:
    network = model()
    network.apply_rules({"stem": TRAINABLE, "body": TRAINABLE, "head": FROZEN})
    network.train()
    before = network.head[2].running_mean.clone()
    network(IMAGES)
    assert torch.equal(network.head[2].running_mean, before)
    assert not any(parameter.requires_grad for parameter in network.head.parameters())
