"""For every strategy, on a real backbone: steps are taken, and exactly what was planned has moved."""

from __future__ import annotations

import pytest
import torch

from zoo_core.catalog import Catalog
from zoo_core.freezing.plan import Plan
from zoo_core.library import create_model
from zoo_core.model.adapt import make_plan
from zoo_core.model.assemble import Model
from zoo_core.model.chain import NORMALISATION
from zoo_core.settings import FinetuneConfig
from zoo_core.training.schedule import Rates, make_optimizer, parameter_groups

STRATEGIES = [
    *(
        "head-only",
        "last:1",
        "last:3,decay=0.5",
        "last:2,statistics=frozen",
        "first:2",
        "full",
        "full:statistics=frozen",
    ),
    *("layerwise:0.5", "gradual:1", "gradual:every=2,decay=0.5", "lp-ft:probe=0.5", "norm-only", "bias-only"),
]


@pytest.fixture(scope="module")
def model(catalog: Catalog) -> Model:
    return create_model("resnet18", num_classes=3, weights="none", catalog=catalog)


def expected_to_move(model: Model, plan: Plan, number: int) -> set[str]:
    """Written down here anew, from the words of the plan, stage by stage."""
    moving = set()
    for part, rule in plan.rules(plan.phases[number]).items():
        if rule.lr == 0:
            continue
        for path, module in model.part(part).named_modules():
            norm = isinstance(module, NORMALISATION)
            for name, _ in module.named_parameters(recurse=False):
                if (
                    rule.parameters == "all"
                    or (rule.parameters == "norm" and norm)
                    or (rule.parameters == "bias" == name)
                ):
                    moving.add(f"{part}/{path}.{name}")
            if norm and rule.statistics == "update":
                moving |= {f"{part}/{path}.{name}" for name, _ in module.named_buffers(recurse=False)}
    return moving


def everything(model: Model, plan: Plan) -> dict[str, torch.Tensor]:
    return {
        f"{part}/{name}": tensor.clone()
        for part in plan.parts
        for name, tensor in model.part(part).state_dict().items()
    }


@pytest.mark.parametrize("text", STRATEGIES)
def test_steps_move_exactly_what_is_planned_in_each_phase(catalog: Catalog, model: Model, text: str) -> None:
    plan = make_plan(catalog.strategy(text), catalog.backbone("resnet18").spec.stages, 8)
    config = FinetuneConfig(backbone="resnet18", lr=0.01, base_lr=0.1)
    generator = torch.Generator().manual_seed(0)
    assert plan.epochs == 8
    for number, phase in enumerate(plan.phases):
        model.apply_rules(plan.rules(phase))
        rates = Rates.of(config.lr, config.base_lr, plan, phase)
        optimizer = make_optimizer(config, parameter_groups(model, plan, number, rates, 0.01))
        learning = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        assert learning == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        before = everything(model, plan)
        model.train()
        for _ in range(2):
            optimizer.zero_grad()
            images_BCHW = torch.randn(4, 3, 32, 32, generator=generator)
            torch.nn.functional.cross_entropy(model(images_BCHW), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
        after = everything(model, plan)
        to_device = {name for name in before if not torch.equal(before[name], after[name])}
        assert to_device == expected_to_move(model, plan, number)


GOLDEN = {
    "head-only": "4x stem=0 layer1=0 layer2=0 head=1",
    "last:2,decay=0.5": "4x stem=0 layer1=0.5 layer2=1 head=1",
    "first:1": "4x stem=1 layer1=0 layer2=0 head=1",
    "full:statistics=frozen": "4x stem=1! layer1=1! layer2=1! head=1",
    "layerwise:0.5": "4x stem=0.25 layer1=0.5 layer2=1 head=1",
    "gradual": (
        "1x stem=0 layer1=0 layer2=0 head=1 | 1x stem=0 layer1=0 layer2=1 head=1 | "
        "1x stem=0 layer1=1 layer2=1 head=1 | 1x stem=1 layer1=1 layer2=1 head=1"
    ),
    "gradual:3": "3x stem=0 layer1=0 layer2=0 head=1 | 1x stem=0 layer1=0 layer2=1 head=1",
    "lp-ft:0.25": "1x stem=0 layer1=0 layer2=0 head=1 | 3x stem=1 layer1=1 layer2=1 head=1",
    "norm-only": "4x stem=1norm layer1=1norm layer2=1norm head=1",
    "bias-only:statistics=frozen": "4x stem=1bias! layer1=1bias! layer2=1bias! head=1",
}


def told(plan: Plan) -> str:
    phases = []
    for phase in plan.phases:
        parts = [
            f"{part}={rule.lr:g}{'' if rule.parameters == 'all' else rule.parameters}"
            + ("!" if rule.trainable and rule.statistics == "frozen" else "")
            for part, rule in plan.rules(phase).items()
        ]
        phases.append(f"{phase.epochs}x {' '.join(parts)}")
    return " | ".join(phases)


@pytest.mark.parametrize(("text", "expected"), GOLDEN.items())
def test_the_plan_is_what_its_name_says(catalog: Catalog, text: str, expected: str) -> None:
    from zoo_core.specs import resolve

    choice = catalog.strategy(text)
    plan = resolve(choice.spec.plan)(choice.options, stages=("stem", "layer1", "layer2"), epochs=4)
    assert told(plan) == expected
