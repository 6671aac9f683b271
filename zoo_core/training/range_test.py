"""A learning rate from the data: it grows from step to step, and the training takes the one at
which the loss falls fastest.

Smith: Cyclical Learning Rates for Training Neural Networks. WACV 2017, arXiv 1506.01186.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count, islice

import numpy as np
import torch

from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model
from zoo_core.training.defaults import USUAL_LR
from zoo_core.training.evaluator import EvaluationStopped
from zoo_core.training.snapshot import load_random, load_trained, random_state, trained_state
from zoo_core.training.train_step import Batch

LOWEST, HIGHEST = 1e-5, 1.0
STEPS = 80
MEMORY = 0.9  # the share of the mean loss that a step keeps
DIVERGED = 4.0  # times the lowest mean loss
SETTLING = 10  # steps: until then the mean loss follows single batches, whose differences exceed any real slope


def range_test(
    model: Model,
    plan: Plan,
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device,
    batches: Callable[[], Iterable[Batch]],
    gradients: Callable[[Batch], float],
    is_stopped: Callable[[], bool],
    message: Callable[[str], None],
) -> float:
    """Find the head's learning rate by a short training whose rate grows; model and random numbers
    stay as they were.

    If the loss falls fastest at an end of the range, or nowhere, the test has no answer, and the
    usual rate is taken. `batches` gives those of an epoch, again each time. `gradients` sets a
    batch's gradients and returns its mean loss, the same on all ranks. Raises EvaluationStopped once
    `is_stopped`, which all ranks are told.
    """
    before, drawn = trained_state(model, plan), random_state(device)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    endless = chain.from_iterable(batches() for _ in count())
    stopped = False
    for step, batch in enumerate(islice(endless, STEPS)):
        if stopped := is_stopped():
            break
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        for group in optimizer.param_groups:
            group["lr"] = group["max_lr"] * rate
        mean = MEMORY * mean + (1 - MEMORY) * gradients(batch)
        loss = mean / (1 - MEMORY ** (step + 1))
        if not math.isfinite(loss) or loss > DIVERGED * min([loss, *losses]):
            break
        optimizer.step()
        rates.append(rate)
        losses.append(loss)
    load_trained(model, before)
    load_random(drawn, device)
    optimizer.state.clear()
    if stopped:
        raise EvaluationStopped
    found = steepest(rates, losses)
    answer = f"no answer, so the default {USUAL_LR:g} is taken" if found is None else f"{found:.2g}"
    message(f"learning rate by a range test: {answer}")
    return USUAL_LR if found is None else found


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the loss falls fastest, of rates that grow by one factor from each to the
    next.

    The first steps do not count. None if the fall is fastest at an end of the others, or if nothing
    falls.
    """
    if len(losses) < SETTLING + 3:
        return None
    slopes = np.gradient(np.asarray(losses))[SETTLING:]
    place = int(slopes.argmin())
    inside = 0 < place < len(slopes) - 1
    return float(rates[SETTLING + place]) if inside and slopes[place] < 0 else None
