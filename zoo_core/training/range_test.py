"""A learning rate from the data: it grows from step to step, and where the loss falls fastest is where training starts.

Smith: Cyclical Learning Rates for Training Neural Networks. WACV 2017, arXiv 1506.01186.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from zoo_core.data.batches import ImageView
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model
from zoo_core.training.phase_trainer import PhaseTrainer
from zoo_core.training.state import load_random, load_trained, random_state, trained_state

LOWEST, HIGHEST = 1e-5, 1.0
STEPS = 80
MEMORY = 0.9  # how much of the mean loss a step keeps
DIVERGED = 4.0  # times the lowest mean loss


def range_test(
    model: Model,
    plan: Plan,
    work: PhaseTrainer,
    groups: Sequence[Sequence[ImageView]],
    read: Callable[[torch.Tensor], float],
) -> float:
    """Find the head's learning rate by a short training whose rate grows; model and random numbers are left as they were.

    `read` turns a step's loss into a number, the same in all processes.
    """
    before, drawn = trained_state(model, plan), random_state()
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    flows = itertools.chain.from_iterable(work.train_inputs(groups) for _ in itertools.count())
    for step, (group, inputs) in enumerate(itertools.islice(flows, STEPS)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        for place in work.optimizer.param_groups:
            place["lr"] = place["max_lr"] * rate
        mean = MEMORY * mean + (1 - MEMORY) * read(work.gradients(group, inputs))
        loss = mean / (1 - MEMORY ** (step + 1))
        if not math.isfinite(loss) or loss > DIVERGED * min([loss, *losses]):
            break
        work.optimizer.step()
        rates.append(rate)
        losses.append(loss)
    load_trained(model, before)
    load_random(drawn)
    work.optimizer.state.clear()
    return steepest(rates, losses)


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest, of rates that grow by one factor from each to the next."""
    if len(losses) < 3:
        return LOWEST
    slopes = np.gradient(np.asarray(losses))
    return float(rates[int(slopes.argmin())])
