from __future__ import annotations

import pytest

from zoo_core.catalog import Catalog
from zoo_core.errors import PluginError, UsageError
from zoo_core.freezing.plan import FROZEN, TRAINABLE, Phase, Plan, Rule
from zoo_core.specs import resolve

STAGES = ("stem", "layer1", "layer2", "layer3")


def plan_of(catalog: Catalog, text: str, epochs: int = 5) -> Plan:
    choice = catalog.strategy(text)
    plan = resolve(choice.spec.plan)(choice.options, stages=STAGES, epochs=epochs)
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.parametrize(
    ("text", "learning", "front"),
    [
        ("head-only", ("head",), 4),
        ("last:1", ("layer3", "head"), 3),
        ("last:3", ("layer1", "layer2", "layer3", "head"), 1),
        ("full", ("stem", "layer1", "layer2", "layer3", "head"), 0),
    ],
)
def test_a_strategy_names_what_learns(catalog: Catalog, text: str, learning: tuple[str, ...], front: int) -> None:
    plan = plan_of(catalog, text)
    (phase,) = plan.phases
    assert plan.trainable(phase) == learning
    assert plan.frozen_depth(phase) == front
    assert plan.epochs == 5


def test_more_stages_than_there_are_cannot_learn(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="asks for 5 stages and this backbone has 4: stem, layer1, layer2, layer3"):
        plan_of(catalog, "last:5")


def test_statistics_can_stay_frozen_where_weights_learn(catalog: Catalog) -> None:
    plan = plan_of(catalog, "last:1,statistics=frozen")
    assert plan.rules(plan.phases[0])["layer3"] == Rule(lr=1.0, statistics="frozen")


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ((), "at least one phase"),
        ((Phase(0, (FROZEN, TRAINABLE)),), "at least one epoch"),
        ((Phase(1, (TRAINABLE,)),), "a phase needs 2 rules"),
        ((Phase(1, (FROZEN, FROZEN)),), "no part is trainable"),
        ((Phase(1, (FROZEN, TRAINABLE)),) * 10_001, "10,001 phases of 1 stages are too many"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(phases: tuple[Phase, ...], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Plan(stages=("only",), phases=phases)


def test_a_frozen_stage_cannot_update_its_statistics() -> None:
    with pytest.raises(PluginError, match="cannot update"):
        Rule(lr=0, statistics="update")
