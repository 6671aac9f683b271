"""What holds for the plan of every installed strategy, whatever the options, the stages and the epochs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from properties.generated import options_of
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.errors import UsageError
from zoo_core.freezing.plan import Phase, Plan
from zoo_core.runs.card import plan_in_words
from zoo_core.specs import FreezeSpec, resolve

STRATEGIES = [entry.spec.name for entry in open_catalog().entries(FreezeSpec)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_plan_covers_all_epochs_and_stages_and_slows_towards_the_image(catalog: Catalog, name: str) -> None:
    spec = next(entry.spec for entry in catalog.entries(FreezeSpec) if entry.spec.name == name)

    @given(options=options_of(spec.options), depth=st.integers(1, 40), epochs=st.integers(1, 60))
    def check(options: Any, depth: int, epochs: int) -> None:
        stages = tuple(f"s{number}" for number in range(depth))
        try:
            plan = resolve(spec.plan)(options, stages=stages, epochs=epochs)
        except UsageError:
            assume(False)
        assert isinstance(plan, Plan)
        assert (plan.stages, plan.epochs, plan.parts) == (stages, epochs, (*stages, "head"))
        for phase in plan.phases:
            check_phase(plan, phase)
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
        assert len(plan_in_words(plan.to_dict())) == len(plan.phases)

    check()


def check_phase(plan: Plan, phase: Phase) -> None:
    """One rule a stage and one for the head, which learns; the front is frozen; rates rise towards the head."""
    assert len(phase.rules) == len(plan.stages) + 1
    assert phase.rules[-1].trainable
    front = plan.frozen_depth(phase)
    assert not any(rule.trainable for rule in phase.rules[:front])
    assert front == len(plan.stages) or phase.rules[front].trainable
    assert set(plan.trainable(phase)) <= set(plan.parts)
    rates = [rule.lr for rule in phase.rules[:-1] if rule.trainable]
    assert rates == sorted(rates)
    assert all(0 < rate <= 1 for rate in rates)
