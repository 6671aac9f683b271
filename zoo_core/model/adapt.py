"""The functions that a strategy names: its plan, and the parameters that it adds to a backbone and
merges back."""

from __future__ import annotations

from collections.abc import Callable

from zoo_core.catalog import Choice, attributing_errors, owner_of
from zoo_core.errors import PluginError, brief
from zoo_core.freezing.plan import Plan
from zoo_core.model.chain import Chain
from zoo_core.specs import FreezeSpec, resolve

ADDED = "zoo_added"
"""The attribute of a module that lists its parameters added by a strategy; copies of the module
keep it."""

Merge = Callable[[], None]


def make_plan(strategy: Choice[FreezeSpec], stages: tuple[str, ...], epochs: int) -> Plan:
    """Ask a strategy for its plan over these stages. Raises PluginError when the answer is no such
    plan."""
    function = resolve(strategy.spec.plan)
    with attributing_errors(strategy.entry):
        try:
            plan = function(strategy.options, stages=stages, epochs=epochs)
        except PluginError as error:  # of a rule, a phase or a plan, which do not know whose they are
            raise PluginError(f"{owner_of(strategy.entry)} gives a plan that cannot be: {error}.") from error
        if not isinstance(plan, Plan) or plan.stages != stages or plan.epochs != epochs:
            raise TypeError(f"it gave {brief(plan)}, not a Plan of {epochs} epochs for {', '.join(stages)}")
    return plan


def adapt(strategy: Choice[FreezeSpec], base: Chain, plan: Plan) -> Merge | None:
    """Let a strategy add parameters to the stages whose rules train only added ones.

    Returns the function that merges them into the base, in place; None for a strategy that adds
    nothing. Raises PluginError when the strategy does not act as its plan says.
    """
    owner = owner_of(strategy.entry)
    rules = [plan.rules(phase) for phase in plan.phases]
    stages = tuple(
        name for name in plan.stages if any(rule[name].trainable and rule[name].parameters == "added" for rule in rules)
    )
    if not stages:
        return None
    if strategy.spec.adapt is None:
        raise PluginError(f"{owner} plans for added parameters, and its spec names no 'adapt' that adds them.")
    published = _shapes(base)
    before = set(base.parameters())
    function = resolve(strategy.spec.adapt)
    with attributing_errors(strategy.entry):
        merge = function(strategy.options, base, stages=stages)
    for module in base.modules():
        added = tuple(name for name, parameter in module.named_parameters(recurse=False) if parameter not in before)
        if added:
            setattr(module, ADDED, added)

    def merge_and_check() -> None:
        with attributing_errors(strategy.entry):
            merge()
        if _shapes(base) != published:
            changed = sorted(name for name, _ in _shapes(base).items() ^ published.items())
            raise PluginError(f"{owner} did not merge back what it added: {', '.join(changed)} differ.")

    return merge_and_check


def _shapes(base: Chain) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor under its published key."""
    return {name: tuple(tensor.shape) for name, tensor in base.named_upstream()}
