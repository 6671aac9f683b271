from __future__ import annotations

import itertools

import pytest
import torch

from helpers import resolved
from zoo_core.catalog import Catalog
from zoo_core.freezing.plan import FROZEN, TRAINABLE, Phase, Plan, Rule
from zoo_core.library import create_model
from zoo_core.model.adapt import ADDED, make_plan
from zoo_core.model.assemble import Model
from zoo_core.settings import ResolvedSettings
from zoo_core.training.schedule import Rates, make_optimizer, parameter_groups, schedule, set_rates
from zoo_core.training.snapshot import load_optimizer, optimizer_state

PRETRAINED, SCRATCH = resolved(lr=0.01, base_lr=0.1), resolved(lr=0.01, base_lr=0.2)


@pytest.fixture(scope="module")
def model(catalog: Catalog) -> Model:
    return create_model("resnet18", num_classes=3, weights="none", catalog=catalog)


def optimizer_of(model: Model, plan: Plan, number: int = 0, settings: ResolvedSettings = PRETRAINED):
    phase = plan.phases[number]
    model.apply_rules(plan.rules(phase))
    rates = Rates.of(settings.lr, settings.base_lr, plan, phase)
    return make_optimizer(settings, parameter_groups(model, plan, number, rates, settings.weight_decay))


def parameters_of(optimizer: torch.optim.Optimizer) -> set[torch.nn.Parameter]:
    return {parameter for group in optimizer.param_groups for parameter in group["params"]}


@pytest.mark.parametrize("text", ["head-only", "last:1", "last:3", "full"])
def test_the_optimizer_moves_exactly_what_learns(catalog: Catalog, model: Model, text: str) -> None:
    plan = make_plan(catalog.strategy(text), catalog.backbone("resnet18").spec.stages, 3)
    moved = parameters_of(optimizer_of(model, plan))
    assert moved == {parameter for parameter in model.parameters() if parameter.requires_grad}
    planned = {p for part in plan.trainable(plan.phases[0]) for p in model.part(part).parameters()}
    assert moved == planned


def test_each_stage_gets_its_share_and_norms_and_biases_no_decay(model: Model) -> None:
    stages = ("stem", "layer1", "layer2", "layer3", "layer4")
    rules = (FROZEN, FROZEN, FROZEN, Rule(lr=0.5, statistics="update"), TRAINABLE, TRAINABLE)
    plan = Plan(stages=stages, phases=(Phase(1, rules),))
    groups = optimizer_of(model, plan).param_groups
    rates = {group["part"]: group["lr"] for group in groups}
    assert rates == pytest.approx({"layer3": 0.01 * 0.1 * 0.5, "layer4": 0.01 * 0.1, "head": 0.01})
    for group in groups:
        flat = {parameter.ndim <= 1 for parameter in group["params"]}
        assert flat == {group["weight_decay"] == 0.0}


def test_from_scratch_the_base_learns_at_a_fifth_of_the_heads_rate(catalog: Catalog, model: Model) -> None:
    plan = make_plan(catalog.strategy("full"), catalog.backbone("resnet18").spec.stages, 1)
    groups = optimizer_of(model, plan, settings=SCRATCH).param_groups
    assert {group["lr"] for group in groups if group["part"] != "head"} == {0.01 * 0.2}


def test_parameters_that_go_on_learning_keep_their_optimizer_state(model: Model) -> None:
    stages = ("stem", "layer1", "layer2", "layer3", "layer4")
    head_only = Phase(1, (FROZEN,) * 5 + (TRAINABLE,))
    with_last = Phase(1, (FROZEN,) * 4 + (TRAINABLE, TRAINABLE))
    plan = Plan(stages=stages, phases=(head_only, with_last))
    first = optimizer_of(model, plan)
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    first.step()
    kept = {parameter: state["exp_avg"].clone() for parameter, state in first.state.items()}
    second = optimizer_of(model, plan, number=1)
    load_optimizer(model, second, optimizer_state(model, first))
    assert set(kept) == set(model.head.parameters())
    assert all(torch.equal(second.state[parameter]["exp_avg"], state) for parameter, state in kept.items())
    assert parameters_of(second) > set(kept)


def test_the_schedule_rises_then_falls_as_a_cosine() -> None:
    shares = [schedule(step, 100, 0.1) for step in range(100)]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert shares[10] == pytest.approx(1.0)
    assert shares[55] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(shares[10:]))
    assert 0 < shares[-1] < 0.001


def test_rates_are_a_share_of_each_groups_peak(catalog: Catalog, model: Model) -> None:
    plan = make_plan(catalog.strategy("last:1"), catalog.backbone("resnet18").spec.stages, 1)
    optimizer = optimizer_of(model, plan)
    set_rates(optimizer, 2, 100, 100, 0.1)
    assert {group["part"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {"layer4": 0.0003, "head": 0.003}
    )


def test_a_stage_that_joins_later_has_a_warm_up_of_its_own(catalog: Catalog, model: Model) -> None:
    plan = make_plan(catalog.strategy("gradual:every=2"), catalog.backbone("resnet18").spec.stages, 8)
    optimizer = optimizer_of(model, plan, 1)
    unfrozen_at = {group["part"]: group["unfrozen_at"] for group in optimizer.param_groups}
    assert unfrozen_at == {"layer4": 2, "head": 0}
    set_rates(optimizer, 20, 80, 10, 0.1)  # the first step of the second phase; a warm-up takes 8
    shares = {group["part"]: group["lr"] / group["max_lr"] for group in optimizer.param_groups}
    assert shares["layer4"] == pytest.approx(shares["head"] / 8)
    set_rates(optimizer, 27, 80, 10, 0.1)
    shares = {group["part"]: group["lr"] / group["max_lr"] for group in optimizer.param_groups}
    assert shares["layer4"] == shares["head"] == schedule(27, 80, 0.1)


def test_only_pretrained_parameters_lose_their_decay_where_they_are_drawn_back(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: those that a strategy had added lost it too, which nothing draws anywhere."""
    stages = ("stem", "layer1", "layer2", "layer3", "layer4")
    rules = (FROZEN, FROZEN, FROZEN, Rule(lr=1.0), Rule(lr=1.0, parameters="added"), TRAINABLE)
    plan = Plan(stages=stages, phases=(Phase(1, rules),))
    monkeypatch.setattr(model.backbone.stage("layer4")[0].conv1, ADDED, ("weight",), raising=False)
    groups = parameter_groups(model, plan, 0, Rates(dict.fromkeys((*stages, "head"), 1.0)), 0.1, base_decays=False)
    decays = {group["part"]: 0.0 for group in groups} | {
        group["part"]: 0.1 for group in groups if group["weight_decay"]
    }
    assert decays == {"layer3": 0.0, "layer4": 0.1, "head": 0.1}
