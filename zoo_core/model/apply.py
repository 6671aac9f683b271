"""A freeze plan applied to a torch module, for a training loop of one's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from torch.utils.hooks import RemovableHandle

from zoo_core.catalog import Choice
from zoo_core.errors import UsageError, did_you_mean
from zoo_core.freezing.plan import Plan, Rule
from zoo_core.model.adapt import Merge
from zoo_core.model.assemble import Model, set_trainable, trainable_parameters
from zoo_core.model.chain import freeze_part
from zoo_core.specs import HEAD, FreezeSpec

APPLIED = "zoo_applied_plan"
"""The attribute of a module that holds the plan applied to it."""


class AppliedPlan:
    """A plan over the parts of a module, with the rules of one of its phases in force.

    Frozen parts get no gradients, and their normalisation statistics and dropout stay still even
    when the module's `train()` is called. A plan of several phases goes on by `start_epoch`.
    """

    def __init__(
        self,
        module: nn.Module,
        parts: Mapping[str, nn.Module],
        plan: Plan,
        strategy: Choice[FreezeSpec] | None = None,
        merge: Merge | None = None,
    ) -> None:
        """Apply the first phase, in place of a plan that was applied to the module before."""
        before = applied_to(module)
        if before is not None:
            before._remove_hooks()
        self.module = module
        self.parts = parts
        self.plan = plan
        self.strategy = strategy
        self.phase = -1
        self._merge = merge
        self._hooks: list[RemovableHandle] = []
        vars(module)[APPLIED] = self
        self.start_epoch(0)

    @property
    def rules(self) -> dict[str, Rule]:
        """The rules in force, by part."""
        return self.plan.rules(self.plan.phases[self.phase])

    def start_epoch(self, epoch: int) -> bool:
        """Apply the rules of the phase to which an epoch (counted from 0) belongs.

        Returns whether that is another phase than before: an optimizer then needs new parameter
        groups. Epochs beyond the plan belong to its last phase.
        """
        number, end = 0, self.plan.phases[0].epochs
        while epoch >= end and number + 1 < len(self.plan.phases):
            number += 1
            end += self.plan.phases[number].epochs
        if number == self.phase:
            return False
        self.phase = number
        if isinstance(self.module, Model):
            self.module.apply_rules(self.rules)
        else:
            self._apply()
        return True

    def parameter_groups(self, lr: float) -> list[dict[str, object]]:
        """For any torch optimizer, a group of each part's trainable parameters at the part's share
        of `lr`."""
        groups = []
        for name, rule in self.rules.items():
            parameters = list(trainable_parameters(self.parts[name], rule))
            if parameters:
                groups.append({"params": parameters, "lr": lr * rule.lr, "name": name})
        return groups

    def merge(self) -> None:
        """Merge the parameters that the strategy added, such as adapters, into the module's own."""
        if self._merge is not None:
            self._merge()
            self._merge = None

    def _apply(self) -> None:
        self._remove_hooks()
        self.module.train(self.module.training)  # parts that were frozen until now
        for name, rule in self.rules.items():
            set_trainable(self.parts[name], rule)
            for module in self.parts[name].children():
                freeze_part(module, rule)
                self._hooks.append(module.register_forward_pre_hook(_KeepFrozen(rule)))

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


@dataclass(frozen=True)
class _KeepFrozen:
    """A hook that puts frozen modules back into evaluation mode before they compute, whoever called
    train()."""

    rule: Rule

    def __call__(self, module: nn.Module, inputs: object) -> None:
        freeze_part(module, self.rule)


def applied_to(module: nn.Module) -> AppliedPlan | None:
    """The plan that was last applied to a module."""
    return vars(module).get(APPLIED)


def parts_of(module: nn.Module, stages: Sequence[str] | None, head: str | None) -> dict[str, nn.Module]:
    """The parts of any module: its stages in the order in which it calls them, then its head.

    Stages and head are paths of modules (`"layer4"`, `"encoder.layers.11"`). By default the head is
    the last child with parameters, and the stages are the other children with parameters.
    Parameters and statistics outside of all parts belong to the first stage. Raises UsageError for
    an unknown path and for a module without two such children.
    """
    children = [name for name, child in module.named_children() if any(True for _ in child.parameters())]
    head = children[-1] if head is None and children else head
    stages = [name for name in children if name != head] if stages is None else list(stages)
    if head is None or not stages:
        raise UsageError(
            f"{type(module).__name__} needs a stage and a head, and it has {len(children)} children with parameters. "
            "Name modules inside of it: zoo_core.freeze(module, strategy, stages=[...], head=...)."
        )
    paths = [*stages, head]
    modules = dict(module.named_modules())
    for path in paths:
        if not path or path not in modules:
            raise UsageError(f"{type(module).__name__} has no module '{path}'.{did_you_mean(path, modules)}")
        if paths.count(path) > 1 or any(path.startswith(f"{other}.") for other in paths):
            raise UsageError(f"the stages and the head must not overlap, and '{path}' lies in two of them.")
    if HEAD in stages:
        raise UsageError(f"a stage cannot be called '{HEAD}': plans call the last part so. Give it as the head.")
    parts = {name: nn.ModuleList([modules[path]]) for name, path in zip([*stages, HEAD], paths, strict=True)}
    parts[stages[0]].extend(_outside(module, "", paths))
    return dict(parts)


def _outside(module: nn.Module, prefix: str, paths: Collection[str]) -> Iterator[nn.Module]:
    """The modules, and the parameters in no module of their own, that lie outside of these paths."""
    loose = list(module.parameters(recurse=False))
    if loose:
        yield nn.ParameterList(loose)
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if path in paths:
            continue
        if any(other.startswith(f"{path}.") for other in paths):
            yield from _outside(child, f"{path}.", paths)
        elif any(True for _ in child.parameters()) or any(True for _ in child.buffers()):
            yield child  # one without either, such as dropout, has nothing to freeze
