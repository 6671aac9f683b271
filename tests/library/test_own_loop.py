"""Freeze strategies in a training loop of one's own, and the run that such a model becomes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

import zoo_core
from zoo_core import FROZEN, TRAINABLE, Model, Phase, Plan, UsageError
from zoo_core.catalog import Catalog


@pytest.fixture
def model(catalog: Catalog) -> Model:
    torch.manual_seed(0)
    return zoo_core.create_model("resnet18", num_classes=2, weights="none", catalog=catalog)


def moved_by_steps(module: nn.Module, optimizer: torch.optim.Optimizer, *, rude: bool = False) -> set[str]:
    """Take two steps as somebody's own loop would; return the names of all tensors that moved."""
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        module.train()
        if rude:
            for one in module.modules():
                one.training = True
        images_BCHW = torch.randn(4, 3, 64, 64, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images_BCHW), torch.tensor([0, 1, 1, 0])).backward()
        optimizer.step()
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("rude", [False, True])
def test_a_zoo_model_trains_its_last_stages_and_keeps_the_others_still(
    model: Model, catalog: Catalog, rude: bool
) -> None:
    applied = zoo_core.freeze(model, "last:1", catalog=catalog)
    moved = moved_by_steps(model, torch.optim.AdamW(applied.parameter_groups(lr=1e-3)), rude=rude)
    assert {name.split(".")[1] for name in moved if name.startswith("backbone.")} == {"layer4"}
    assert {name for name in model.state_dict() if name.startswith("head.")} <= moved


def torchvisions() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=2)


@pytest.mark.parametrize("rude", [False, True])
def test_any_module_is_frozen_by_its_children(catalog: Catalog, rude: bool) -> None:
    """Seen to fail without the hooks: train() moved the statistics of frozen layers."""
    network = torchvisions()
    applied = zoo_core.freeze(network, "last:2", catalog=catalog)
    assert applied.plan.stages == ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    moved = moved_by_steps(network, torch.optim.SGD(applied.parameter_groups(lr=0.1)), rude=rude)
    assert {name.split(".")[0] for name in moved} == {"layer3", "layer4", "fc"}
    assert {group["name"] for group in applied.parameter_groups(lr=0.1)} == {"layer3", "layer4", "head"}


def test_stages_by_path_take_what_lies_outside_into_the_first(catalog: Catalog) -> None:
    network = torchvisions()
    stages = ["layer1", "layer2", "layer3", "layer4.0", "layer4.1"]
    applied = zoo_core.freeze(network, "last:1", stages=stages, head="fc", catalog=catalog)
    moved = moved_by_steps(network, torch.optim.SGD(applied.parameter_groups(lr=0.1)), rude=True)
    assert {".".join(name.split(".")[:2]) for name in moved} == {"layer4.1", "fc.weight", "fc.bias"}
    everything = zoo_core.freeze(network, "full", stages=stages, head="fc", catalog=catalog)
    moved = moved_by_steps(network, torch.optim.SGD(everything.parameter_groups(lr=0.1)))
    assert "conv1.weight" in moved
    assert "bn1.running_mean" in moved, "the hooks of the plan before are gone"


def test_parameters_in_no_module_of_their_own_belong_to_the_first_stage(catalog: Catalog) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(3))
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4))
            self.drop = nn.Dropout(0.5)
            self.head = nn.Linear(4, 2)

        def forward(self, images_BCHW: Tensor) -> Tensor:
            return self.head(self.drop(self.body(images_BCHW + self.token[:, None, None])))

    network = Tokens()
    zoo_core.freeze(network, "head-only", catalog=catalog)
    assert [name for name, one in network.named_parameters() if one.requires_grad] == ["head.weight", "head.bias"]
    network.train()
    network(torch.zeros(1, 3, 64, 64))
    assert network.drop.training, "dropout before the head is not frozen with the first stage"
    zoo_core.freeze(network, "full", catalog=catalog)
    assert all(one.requires_grad for one in network.parameters())


def test_a_strategy_of_several_phases_goes_on_by_epochs(model: Model, catalog: Catalog) -> None:
    applied = zoo_core.freeze(model, "lp-ft", epochs=4, catalog=catalog)
    changes = [applied.start_epoch(epoch) for epoch in range(6)]
    assert changes == [False, False, True, False, False, False]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_plan_of_ones_own_is_applied(catalog: Catalog) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    plan = Plan(stages=("1", "2"), phases=(Phase(1, (TRAINABLE, FROZEN, TRAINABLE)),))
    applied = zoo_core.freeze(network, plan)
    moved = moved_by_steps(network, torch.optim.SGD(applied.parameter_groups(lr=0.1)))
    assert moved == {"1.weight", "1.bias", "3.weight", "3.bias"}
    with pytest.raises(UsageError, match="the plan is for the stages 1, 2; these are 1"):
        zoo_core.freeze(nn.Sequential(*network[:3]), plan)


def test_a_frozen_network_is_copied_with_what_keeps_it_still(catalog: Catalog) -> None:
    network = torchvisions()
    zoo_core.freeze(network, "head-only", catalog=catalog)
    twin = copy.deepcopy(network).train()
    before = twin.bn1.running_mean.clone()
    twin(torch.randn(2, 3, 64, 64))
    assert torch.equal(twin.bn1.running_mean, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "last:9"}, "'last:9' asks for 9 stages and this backbone has 6"),
        ({"strategy": "lats:2"}, "No strategy 'lats'. Did you mean 'last'"),
        ({"strategy": "full", "stages": ["layer9"]}, "ResNet has no module 'layer9'. Did you mean"),
        ({"strategy": "full", "stages": ["layer4", "layer4.0"]}, "must not overlap, and 'layer4.0' lies in two"),
        ({"strategy": "lora"}, "'lora' adds parameters, and only to models of zoo_core.create_model"),
    ],
)
def test_a_wrong_strategy_or_path_is_refused(catalog: Catalog, settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        zoo_core.freeze(torchvisions(), catalog=catalog, **settings)


def test_a_module_without_a_stage_and_a_head_is_refused(model: Model, catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="Linear needs a stage and a head, and it has 0 children"):
        zoo_core.freeze(nn.Linear(2, 2), "full", catalog=catalog)
    with pytest.raises(UsageError, match="a zoo Model has its own stages and head"):
        zoo_core.freeze(model, "full", stages=["a"], catalog=catalog)


# -- the run


@pytest.fixture
def small(catalog: Catalog) -> Model:
    torch.manual_seed(0)
    return zoo_core.create_model("lenet5", num_classes=2, weights="none", catalog=catalog)


def train(model: Model, photos: Path, catalog: Catalog, strategy: str = "last:2") -> None:
    """A loop of one's own over torchvision's data set."""
    data = torchvision.datasets.ImageFolder(photos, transform=model.transform())
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    applied = zoo_core.freeze(model, strategy, catalog=catalog)
    optimizer = torch.optim.AdamW(applied.parameter_groups(lr=1e-2))
    for _ in range(5):
        model.train()
        for images_BCHW, targets_B in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images_BCHW), targets_B).backward()
            optimizer.step()


def test_a_model_trained_by_hand_becomes_a_run_that_opens_everywhere(
    small: Model, photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    train(small, photos, catalog)
    evaluation = zoo_core.save_run(small, tmp_path / "run", data=photos, catalog=catalog)
    assert evaluation.images == 4
    facts = json.loads((tmp_path / "run" / "config.json").read_text())
    assert facts["strategy"]["name"] == "last:2"
    assert facts["plan"]["phases"][0]["rules"][0]["lr"] == 0
    predictor = zoo_core.load(tmp_path / "run", device="cpu", catalog=catalog)
    image = torch.rand(1, 1, 32, 32)
    small.eval()
    with torch.inference_mode():
        assert torch.equal(predictor.network(image), small(image))
    again = zoo_core.evaluate_run(tmp_path / "run", device="cpu", catalog=catalog)
    assert again.evaluation.score == evaluation.score
    card = (tmp_path / "run" / "README.md").read_text()
    assert "Trained in a loop of its own" in card
    assert "curves.png" not in card
    published = zoo_core.publish(tmp_path / "run", "owner/name", catalog=catalog, dry_run=True)
    assert set(published.files) == {"README.md", "config.json", "confusion.png", "model.safetensors"}


def test_a_saved_run_is_opened_trained_further_and_saved_again(
    small: Model, photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    zoo_core.save_run(small, tmp_path / "one", data=photos, catalog=catalog)
    opened = zoo_core.load(tmp_path / "one", device="cpu", catalog=catalog).network
    assert isinstance(opened, Model)
    train(opened, photos, catalog, "head-only")
    zoo_core.save_run(opened, tmp_path / "two", data=photos, catalog=catalog)
    assert json.loads((tmp_path / "two" / "config.json").read_text())["strategy"]["name"] == "head-only"


def test_held_out_images_are_given_as_a_part_and_classes_in_the_models_order(
    small: Model, photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    train(small, photos, catalog)
    held = [(path, path.parent.name) for path in sorted(photos.rglob("*.png"))]
    right = zoo_core.save_run(small, tmp_path / "a", data={"val": held}, catalog=catalog)
    swapped = zoo_core.save_run(small, tmp_path / "b", data={"val": held}, classes=["red", "blue"], catalog=catalog)
    assert right.images == 10
    assert swapped.score == pytest.approx(1 - right.score)


def test_what_does_not_fit_the_model_is_refused_and_leaves_nothing(
    photos: Path, tmp_path: Path, catalog: Catalog, model: Model
) -> None:
    three = zoo_core.create_model("lenet5", num_classes=3, weights="none", catalog=catalog)
    with pytest.raises(UsageError, match="the model has 3 outputs, and the data 2: blue, red"):
        zoo_core.save_run(three, tmp_path / "run", data=photos, catalog=catalog)
    with pytest.raises(UsageError, match="put together by hand"):
        zoo_core.save_run(Model(model.backbone, model.head), tmp_path / "run", data=photos, catalog=catalog)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_saved_in_mid_training_goes_on_training(
    small: Model, photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    """Seen to fail: it was left in evaluation mode."""
    for is_training in (True, False):
        small.train(is_training)
        zoo_core.save_run(small, tmp_path / f"run{is_training}", data=photos, catalog=catalog)
        assert small.training is is_training
