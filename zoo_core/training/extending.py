"""A finished run that is trained further: the checkpoint from which it goes on as an interrupted
run does.

A finished run keeps the weights of its best epoch, and no state of its optimizer, which takes twice
their space. So the added epochs start from those weights with a new optimizer, and their learning
rate warms up and falls to zero once more (a warm restart: Loshchilov and Hutter, "SGDR", 2017,
arXiv 1608.03983).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zoo_core.errors import UsageError, ZooError, reason_of
from zoo_core.freezing.plan import Plan
from zoo_core.runs.directory import MODEL, RunWriter, read_metrics
from zoo_core.runs.schema import RunFacts
from zoo_core.settings.config import MAX_EPOCHS
from zoo_core.tensors import read_tensors
from zoo_core.training.checkpoint import remove_checkpoints
from zoo_core.training.job import Job
from zoo_core.training.solve import only_solved
from zoo_core.training.trainer import Trainer
from zoo_core.weights.load import check_keys_and_shapes
from zoo_core.wording import counted, quoted


def check_extension(directory: Path, facts: RunFacts, epochs: int, *, is_finished: bool) -> RunFacts:
    """The facts of a run with so many more epochs. Raises UsageError where it cannot have them."""
    if not is_finished:
        raise UsageError(
            f"the run {directory} has not finished. Finish it with `zoo resume {quoted(directory)}`, then give it more epochs."
        )
    epochs_done = (line.get("epoch") for line in read_metrics(directory) if line.get("event") == "epoch")
    done = [epoch for epoch in epochs_done if isinstance(epoch, int)]
    if not done:
        raise UsageError(
            f"{directory} was trained in a loop of its own, and zoo does not know how to go on. Start from its weights: "
            f"zoo finetune --from {quoted(directory)} --data DATA"
        )
    plan = Plan.from_dict(facts.plan)
    while plan.phases[-1].restarts and done[-1] <= plan.epochs - plan.phases[-1].epochs:
        plan = replace(plan, phases=plan.phases[:-1])  # the command that added them was killed as it began
    if not 1 <= epochs <= MAX_EPOCHS - plan.epochs:
        raise UsageError(
            f"a run has at most {MAX_EPOCHS:,} epochs; this one has {plan.epochs:,}, and {epochs:,} more are asked for."
        )
    return replace(facts, plan=plan.extended(epochs).to_dict())


def begin_extension(job: Job, facts: RunFacts, writer: RunWriter, trainer: Trainer) -> None:
    """Write the checkpoint from which a finished run is trained further, and unfinish the run.

    It loses its finished weights last. Until then it is a finished run, whatever its plan says, and
    from then on it goes on from the checkpoint, which holds them. The ranks call it together.
    Raises UsageError where more epochs change nothing.
    """
    state, added = trainer.state, job.plan.phases[-1].epochs
    if only_solved(job.plan, job.plan.phases[-1], job.model.head):
        raise UsageError("the head of this run is solved at once: more epochs change nothing. Give it other images.")
    if job.merge is not None:
        raise UsageError(
            f"'{job.strategy}' merged its parameters into the weights, so that the run cannot go on with them. Start "
            f"from its weights: zoo finetune --from {quoted(writer.directory)} --data {quoted(facts.config.data_text)}"
        )
    lines = read_metrics(writer.directory)
    state.lr = next((line["lr"] for line in lines if line.get("lr") and line.get("event") == "result"), state.lr)
    _load(job, writer.directory)
    try:
        state.begin_at(job.plan.epochs - added, [line for line in lines if line.get("event") == "epoch"])
    except (KeyError, ValueError) as error:
        raise ZooError(
            f"the metrics of {writer.directory} are not those of its training: {reason_of(error)}."
        ) from error
    checkpoint = state.state_dict()
    if trainer.planner.world.is_main:
        remove_checkpoints(writer.directory)  # a killed run may have left one of the same step
        trainer.save(state.global_step, checkpoint)
        writer.replace_facts(facts)
        (writer.directory / MODEL).unlink()
        if others := writer.others():
            trainer.callback.message(f"made of the model before, so make them anew after this: {', '.join(others)}")
    trainer.planner.world.barrier()
    trainer.callback.message(
        f"trained further for {counted(added, 'epoch')}, from the weights of its best epoch, {state.best.epoch}: a finished "
        "run keeps no state of its optimizer, so the learning rate warms up and falls to zero once more"
    )


@torch.no_grad()
def _load(job: Job, directory: Path) -> None:
    """Copy the weights of a finished run into the model; its tensors stay the same objects."""
    path = directory / MODEL
    own, found = dict(job.model.named_saved()), read_tensors(path)
    check_keys_and_shapes(own, found, subject=str(path))
    for name, tensor in found.items():
        own[name].copy_(tensor)
