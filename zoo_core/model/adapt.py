"""Parameters that a strategy adds to a conv base while it learns, and merges back before anything is saved."""

from __future__ import annotations

from collections.abc import Callable

from zoo_core.catalog import Choice
from zoo_core.errors import PluginError
from zoo_core.freezing.plan import Plan
from zoo_core.model.chain import Chain
from zoo_core.specs import FreezeSpec, resolve

ADDED = "zoo_added"
"""The attribute of a module that names which of its own parameters a strategy added; copies of the module keep it."""

Merge = Callable[[], None]


def adapt(strategy: Choice[FreezeSpec], base: Chain, plan: Plan) -> Merge | None:
    """Let a strategy add parameters to the stages in which its plan lets only added ones learn.

    Returns the function that merges them back into the base, in place; None for a strategy that adds nothing.
    Raises PluginError when the strategy does not do what its plan says.
    """
    owner = f"{strategy.entry.distribution}: the strategy '{strategy.spec.name}'"
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
    merge = resolve(strategy.spec.adapt)(strategy.options, base, stages=stages)
    for module in base.modules():
        added = tuple(name for name, parameter in module.named_parameters(recurse=False) if parameter not in before)
        if added:
            setattr(module, ADDED, added)

    def merge_and_check() -> None:
        merge()
        if _shapes(base) != published:
            changed = sorted(name for name, _ in _shapes(base).items() ^ published.items())
            raise PluginError(f"{owner} did not merge back what it added: {', '.join(changed)} differ.")

    return merge_and_check


def _shapes(base: Chain) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor under its published key."""
    return {name: tuple(tensor.shape) for name, tensor in base.named_upstream()}
