"""Rules for freeze strategies: plans over one to five stages and one to ten epochs, and the
parameters that some add."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from zoo_core.catalog import Choice, Entry
from zoo_core.errors import UsageError
from zoo_core.freezing.plan import Plan
from zoo_core.model.adapt import adapt, make_plan
from zoo_core.model.chain import Chain
from zoo_core.options import parse_options
from zoo_core.specs import HEAD, FreezeSpec
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    other_values,
)
from zoo_core.testing.networks import CLOSE, apart, with_required

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
EPOCHS = (1, 2, 3, 10)


@rule("Return Plan(stages=stages, phases=...) with the stages as given and phases of `epochs` epochs together.")
def plans_for_all_stages_and_epochs(spec: FreezeSpec) -> None:
    """Some number of stages and epochs can be planned, and every plan is for those that were
    asked for."""
    assert list(_plans(spec)), "it refuses every number of stages up to 5 and of epochs up to 10"


@rule("Make a plan from options, stages and epochs alone: no random numbers, no clock, no state.")
def plans_the_same_each_time(spec: FreezeSpec) -> None:
    """A run that is resumed has the plan that it began with."""
    for plan in _plans(spec):
        for _ in range(3):
            again = make_plan(chosen(spec), plan.stages, plan.epochs)
            assert again == plan, f"it gave two plans for {len(plan.stages)} stages and {plan.epochs} epochs"


@rule("Train the head in some phase, and give each phase a tuple of rules.")
def trains_the_head(spec: FreezeSpec) -> None:
    """A new head knows nothing; a plan that never trains it answers at random."""
    for plan in _plans(spec):
        assert all(isinstance(phase.rules, tuple) for phase in plan.phases), "the rules of a phase are no tuple"
        trained = any(HEAD in plan.trainable(phase) for phase in plan.phases)
        assert trained, f"the head is never trained with {len(plan.stages)} stages and {plan.epochs} epochs"


@rule("Refuse a value with UsageError, and plan for every value that the options take.")
def takes_its_options(spec: FreezeSpec) -> None:
    """Each option has a value besides its default with which there is a plan, or a message that
    says why not."""
    for name, text in other_values(spec.options):
        for _ in _plans(spec, f"{name}={text}"):
            pass


@rule("Add parameters that change nothing at first, to the stages that are named; merge them so that the outputs stay.")
def merges_what_it_adds(spec: FreezeSpec) -> None:
    """Added parameters leave the outputs as they are, and after the merge the base has its
    published keys again."""
    if spec.adapt is None:
        return
    base = Chain(
        {name: nn.Sequential(nn.Conv2d(3 if name == "stem" else 4, 4, 3, padding=1)) for name in STAGES}
    ).eval()
    plan = next(plan for plan in _plans(spec) if plan.stages == STAGES)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = copy.deepcopy(base)(images)
        merge = adapt(chosen(spec), base, plan)
        assert merge is not None, "its plan trains no added parameters, and its spec names `adapt`"
        far = apart(before, base.eval()(images))
        assert far <= CLOSE, f"the parameters that it adds change the outputs by {far:.2g} before any training"
        for parameter in base.parameters():
            parameter.add_(0.01)
        trained = base(images)
        merge()
        far = apart(trained, base(images))
    assert far <= CLOSE, f"merging changes the outputs by {far:.2g}"


STRATEGY_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    plans_for_all_stages_and_epochs,
    plans_the_same_each_time,
    trains_the_head,
    takes_its_options,
    merges_what_it_adds,
)


def chosen(spec: FreezeSpec, options: str = "") -> Choice[FreezeSpec]:
    """The strategy as the catalog would choose it."""
    return Choice(
        Entry(spec, "under test", "0"), parse_options(spec.name, spec.options, with_required(spec.options, options))
    )


def _plans(spec: FreezeSpec, options: str = "") -> Iterator[Plan]:
    """Its plans for one to five stages and one to ten epochs; those that it refuses are left
    out."""
    for count in range(1, len(STAGES) + 1):
        for epochs in EPOCHS:
            try:
                plan = make_plan(chosen(spec, options), STAGES[:count], epochs)
            except UsageError:
                continue
            yield plan
