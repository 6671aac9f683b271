"""Heads that are solved rather than trained: fitted at once to the features of all training images.

Shapes: B batch, C channels, H height, W width, F features, N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature

import torch
from torch import Tensor, nn

from zoo_core.data.dealing import joined
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Phase, Plan
from zoo_core.model.solvers import Solvable
from zoo_core.specs import HEAD


@torch.no_grad()
def fit_head(
    head: nn.Module, reduced_NF: Tensor, targets: Tensor, seed: int, groups: Sequence[str] | None = None
) -> None:
    """Fit a head to the reduced features of all training images, whose `groups` are told to a head
    that asks for them.

    Raises TrainingError when they are not finite numbers.
    """
    assert isinstance(head, Solvable)
    if not torch.isfinite(reduced_NF).all():  # a solver would search on for long among them
        raise TrainingError("the features of the training images are not finite numbers. Are the weights sound?")
    if groups is not None and "groups_N" in signature(head.fit).parameters:
        head.fit(reduced_NF, targets, seed, groups_N=joined(groups))  # type: ignore[call-arg]
    else:
        head.fit(reduced_NF, targets, seed)


def only_solved(plan: Plan, phase: Phase, head: nn.Module) -> bool:
    """Whether a phase has nothing to train: only the head is trained, and it is solved."""
    return isinstance(head, Solvable) and plan.trainable(phase) == (HEAD,)


def with_single_epochs(plan: Plan, head: nn.Module) -> Plan:
    """The plan with one epoch for each phase that has nothing to train."""
    phases = (replace(phase, epochs=1) if only_solved(plan, phase, head) else phase for phase in plan.phases)
    return replace(plan, phases=tuple(phases))
