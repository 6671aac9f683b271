"""The optimizer, and the schedule: the learning rate of each stage at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from zoo_core.freezing.plan import Phase, Plan
from zoo_core.model.assemble import Model, trainable_parameters
from zoo_core.model.chain import decayed
from zoo_core.model.lean_torch import without_compiler
from zoo_core.settings import ResolvedSettings
from zoo_core.specs import HEAD

PRETRAINED_BASE_SHARE = 0.1
SCRATCH_BASE_SHARE = 0.2
"""How much slower than the head the backbone moves, unless the config says otherwise."""


@dataclass(frozen=True)
class Rates:
    """The highest learning rate of each stage and the head in one phase; new layers train at the head's."""

    by_part: dict[str, float]

    @classmethod
    def of(cls, lr: float, share: float, plan: Plan, phase: Phase) -> Rates:
        """The rates where the head's is `lr` and that of the backbone a share of it."""
        rules = plan.rules(phase)
        new = {part for part, rule in rules.items() if part == HEAD or rule.parameters == "added"}
        return cls({part: lr * rule.lr * (1.0 if part in new else share) for part, rule in rules.items()})


def parameter_groups(
    model: Model, plan: Plan, number: int, rates: Rates, weight_decay: float, *, base_decays: bool = True
) -> list[dict[str, object]]:
    """The groups of a plan's phase: one a stage, and a second one for its norms, biases, positions and tokens, which
    weight decay leaves alone, as it does the whole base unless `base_decays`.

    `unfrozen_at` is the epoch since which the stage has been trained without a break.
    """
    groups: list[dict[str, object]] = []
    for part, rule in plan.rules(plan.phases[number]).items():
        parameters = list(trainable_parameters(model.part(part), rule))
        decaying = decayed(model.part(part))
        for decay, members in (
            (
                weight_decay if base_decays or part == HEAD or rule.parameters == "added" else 0.0,
                [parameter for parameter in parameters if parameter in decaying],
            ),
            (0.0, [parameter for parameter in parameters if parameter not in decaying]),
        ):
            if members:
                rate, unfrozen_at = rates.by_part[part], unfrozen_epoch(plan, number, part)
                group = {"params": members, "lr": rate, "max_lr": rate, "weight_decay": decay, "part": part}
                groups.append({**group, "unfrozen_at": unfrozen_at})
    return groups


def unfrozen_epoch(plan: Plan, number: int, part: str) -> int:
    """The epoch (from 0) since which a part that is trained in this phase was trained in every phase."""
    while number > 0 and plan.rules(plan.phases[number - 1])[part].trainable:
        number -= 1
    return sum(phase.epochs for phase in plan.phases[:number])


def make_optimizer(config: ResolvedSettings, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    """The optimizer of a phase. Fused: one pass over the memory instead of a dozen, which is most of a step's cost."""
    if config.optimizer == "adamw":
        return without_compiler(torch.optim.AdamW)(groups, fused=True)
    return without_compiler(torch.optim.SGD)(groups, momentum=0.9, nesterov=True, fused=True)


def schedule(step: int, total: int, warmup: float, unfrozen_at: int = 0) -> float:
    """The share of the peak rate at a step: a cosine from one to zero after a linear warm-up over a share of all steps.

    A stage that is unfrozen later, at the step `unfrozen_at`, has a warm-up of the same length of its own.
    """
    rising = max(1, round(warmup * total)) if warmup else 0
    ramp = min(1.0, (step - unfrozen_at + 1) / rising) if rising else 1.0
    if step < rising:
        return ramp
    return ramp * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def set_rates(
    optimizer: torch.optim.Optimizer, step: int, total: int, steps_per_epoch: int, warmup: float, first: int = 0
) -> None:
    """Set every group's rate to its share of its peak at this step of a schedule that begins with
    the epoch `first`."""
    for group in optimizer.param_groups:
        unfrozen_at = max(0, group["unfrozen_at"] - first) * steps_per_epoch
        group["lr"] = group["max_lr"] * schedule(step, total, warmup, unfrozen_at)
