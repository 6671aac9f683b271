"""A strategy may add parameters: they learn alone, and are gone once they are merged.

Seen to fail: without ADDED set in `adapt` nothing of the base learns; without the check in `merge_and_check`, and
without the check for a missing `adapt`, the two errors below do not come.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from zoo_core.catalog import Catalog, Choice, Entry
from zoo_core.errors import PluginError
from zoo_core.freezing.plan import FROZEN, TRAINABLE, Phase, Plan, Rule
from zoo_core.library import create_model
from zoo_core.model.adapt import adapt, make_plan
from zoo_core.model.assemble import Model, trainable_parameters
from zoo_core.model.chain import Chain
from zoo_core.options import NoOptions
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import FreezeSpec
from zoo_core.training.schedule import Rates


class Scaled(nn.Module):
    """A convolution without bias whose answer is multiplied, channel by channel."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.scale_C11 = nn.Parameter(torch.ones(layer.out_channels, 1, 1))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        answer_BCHW: Tensor = self.layer(images_BCHW) * self.scale_C11
        return answer_BCHW


def plan(options: NoOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    scales = Rule(lr=0.5, parameters="added")
    return Plan(stages, (Phase(epochs, (*[FROZEN] * (len(stages) - 1), scales, TRAINABLE)),))


def scale(options: NoOptions, base: Chain, *, stages: tuple[str, ...]) -> Callable[[], None]:
    paths = [f"{stages[0]}.0.conv1", f"{stages[0]}.1.conv2"]
    for path in paths:
        base.set_submodule(path, Scaled(base.get_submodule(path)))

    def merge() -> None:
        for path in paths:
            scaled = base.get_submodule(path)
            with torch.no_grad():
                scaled.layer.weight *= scaled.scale_C11.unsqueeze(-1)
            base.set_submodule(path, scaled.layer)

    return merge


def scale_and_forget(options: NoOptions, base: Chain, *, stages: tuple[str, ...]) -> Callable[[], None]:
    scale(options, base, stages=stages)
    return lambda: None


SPEC = FreezeSpec(name="scales", plan=f"{__name__}:plan", adapt=f"{__name__}:scale", summary="scales in the last stage")


def chosen(spec: FreezeSpec) -> Choice[FreezeSpec]:
    return Choice(Entry(spec, "zoo-scales", "0"), NoOptions())


@pytest.fixture
def model(catalog: Catalog) -> Model:
    return create_model("resnet18", num_classes=3, weights="none", catalog=catalog)


@pytest.fixture
def made(catalog: Catalog) -> Plan:
    return make_plan(chosen(SPEC), catalog.backbone("resnet18").spec.stages, 1)


def test_only_what_was_added_learns_in_its_stage_also_in_a_copy(model: Model, made: Plan) -> None:
    adapt(chosen(SPEC), model.backbone, made)
    for adapted in (model, copy.deepcopy(model)):
        adapted.apply_rules(made.rules(made.phases[0]))
        learning = {name for name, parameter in adapted.backbone.named_parameters() if parameter.requires_grad}
        assert learning == {"layer4.0.conv1.scale_C11", "layer4.1.conv2.scale_C11"}
        rule = made.rules(made.phases[0])["layer4"]
        assert sum(p.numel() for p in trainable_parameters(adapted.part("layer4"), rule)) == 1024
        assert not any(module.training for module in adapted.backbone.modules() if isinstance(module, nn.BatchNorm2d))


def test_merged_the_base_has_its_published_keys_and_answers_the_same(model: Model, made: Plan) -> None:
    keys = [name for name, _ in model.named_saved()]
    merge = adapt(chosen(SPEC), model.backbone, made)
    for parameter in trainable_parameters(model.part("layer4"), made.rules(made.phases[0])["layer4"]):
        nn.init.uniform_(parameter, 0.5, 1.5)
    images_BCHW = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.inference_mode():
        adapted_BK = model(images_BCHW)
    merge()
    assert [name for name, _ in model.named_saved()] == keys
    with torch.inference_mode():
        assert torch.allclose(model(images_BCHW), adapted_BK, atol=1e-5)


def test_what_was_added_learns_at_the_heads_rate_and_not_at_the_bases(made: Plan) -> None:
    config = FinetuneConfig(backbone="resnet18", lr=0.01, base_lr=0.1)
    rates = Rates.of(config.lr, config.base_lr, made, made.phases[0]).by_part
    assert (rates["layer4"], rates["head"]) == (0.005, 0.01)


def test_a_strategy_that_leaves_something_behind_is_named(model: Model, made: Plan) -> None:
    careless = chosen(replace(SPEC, adapt=f"{__name__}:scale_and_forget"))
    merge = adapt(careless, model.backbone, made)
    with pytest.raises(
        PluginError, match="zoo-scales: the strategy 'scales' did not merge back .*layer4.0.conv1.scale"
    ):
        merge()


def test_a_plan_for_added_parameters_needs_somebody_who_adds_them(model: Model, made: Plan) -> None:
    with pytest.raises(PluginError, match="zoo-scales: the strategy 'scales' plans for added parameters, and its spec"):
        adapt(chosen(replace(SPEC, adapt=None)), model.backbone, made)


def test_the_path_of_adapt_is_checked_when_the_spec_is_made() -> None:
    with pytest.raises(PluginError, match="scales: 'no path' is not an import path"):
        replace(SPEC, adapt="no path")


def test_most_strategies_add_nothing(catalog: Catalog, model: Model) -> None:
    strategy = catalog.strategy("last:2")
    before = dict(model.backbone.named_parameters())
    assert adapt(strategy, model.backbone, make_plan(strategy, catalog.backbone("resnet18").spec.stages, 1)) is None
    assert dict(model.backbone.named_parameters()) == before
