"""Whether a training that started from a run forgot: its images, answered before and after.

Shapes: N images, K outputs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from zoo_core.data.batches import Batches
from zoo_core.data.sources import Part
from zoo_core.errors import ZooError, reason_of
from zoo_core.frozen.inputs import ImageInputs
from zoo_core.model.assemble import Model, build_head_for
from zoo_core.model.shapes import stage_shapes
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.training.evaluator import EvaluationStopped
from zoo_core.training.job import Job
from zoo_core.training.known import KnownRun
from zoo_core.training.stopping import StopRequest
from zoo_core.training.trainer import Trainer
from zoo_core.weights.load import assign, build_empty
from zoo_core.weights.resolve import load_backbone
from zoo_core.weights_specs import Preprocessing


@dataclass(frozen=True)
class Forgotten:
    """The score of the earlier run and of this one on the images that the earlier one held out.

    Left out are images that this run was `trained_on`, and those of a class that is `gone`. Where
    nothing could be measured, `reason` says why.
    """

    metric: str
    images: int = 0
    before: float | None = None
    after: float | None = None
    trained_on: int = 0
    gone: int = 0
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_forgotten(job: Job, trainer: Trainer) -> Forgotten | None:
    """Answer the held-out images of the run that a training started from, by both; None without
    such a run.

    The ranks call it together. Raises Interrupted.
    """
    known = job.known
    if known is None:
        return None
    metric = task_named(job.source.task).metric.name
    if known.held_out is None:
        return Forgotten(metric, reason=known.reason)
    part, trained_on, gone = _images(job, known, known.held_out)
    if not len(part):
        reason = (
            "each image that the earlier run held out was trained on here, or is of a class that is no longer there"
        )
        return Forgotten(metric, trained_on=trained_on, gone=gone, reason=reason)

    def score(model: Model, preprocessing: Preprocessing, names: tuple[str, ...]) -> float:
        batches = Batches(part, preprocessing, job.settings.batch_size, job.settings.workers)
        evaluator = trainer.evaluator
        if job.merge is not None:  # no checkpoint could undo that
            evaluator = replace(evaluator, stop_request=StopRequest())
        try:
            outputs_NK, targets = evaluator.outputs(model, ImageInputs(batches, job.device))
        except EvaluationStopped:
            trainer.stop()
        return _score(known, job.source.task, names, outputs_NK, targets)

    try:
        with job.world.raise_together():
            earlier = _earlier(job, known)
    except ZooError as error:  # the training is done, and its result does not hang on this
        return Forgotten(metric, trained_on=trained_on, gone=gone, reason=str(error).removesuffix("."))
    before = score(earlier, known.facts.preprocessing, known.facts.classes)
    after = score(job.model, job.preprocessing, job.source.classes)
    return Forgotten(metric, len(part), before, after, trained_on, gone)


def _images(job: Job, known: KnownRun, held_out: Part) -> tuple[Part, int, int]:
    """The held-out images to measure, and the number of those that are left out: trained on, and of
    no class here."""
    train = job.source.parts["train"]
    trained = {train.images.digest(index) for index in range(len(train))}
    new = [index for index in range(len(held_out)) if held_out.images.digest(index) not in trained]
    single, names = task_named(job.source.task).single_label, set(job.source.classes)
    left = [index for index in new if not single or known.facts.classes[int(held_out.targets[index])] in names]
    return held_out.take(left), len(held_out) - len(new), len(new) - len(left)


def _earlier(job: Job, known: KnownRun) -> Model:
    """The earlier run's model. Raises ZooError where its weights are gone: somebody removed it, or
    trains it further."""
    facts = known.facts
    try:
        base, _ = load_backbone(job.backbone, job.start)
        head_tensors = known.head_tensors
    except OSError as error:
        raise ZooError(f"the weights of the earlier run are no longer there: {reason_of(error)}") from error
    shapes = stage_shapes(base, facts.preprocessing.channels, facts.preprocessing.size)
    head = build_empty(
        lambda: build_head_for(shapes, job.backbone, job.head, num_outputs=len(facts.classes), task=facts.task)
    )
    assign(head, head_tensors)
    return Model(base, head).eval().to(job.device)  # whose kind was proven with this base


def _score(known: KnownRun, task_name: TaskName, names: tuple[str, ...], outputs_NK: Tensor, targets: Tensor) -> float:
    """The score of outputs with these names, on targets of the earlier run."""
    task, old = task_named(task_name), known.facts.classes
    if task.single_label:
        answers = [names[place] for place in outputs_NK.argmax(1).tolist()]
        return float(np.mean([old[label] == answer for label, answer in zip(targets.tolist(), answers, strict=True)]))
    shared = known.rows["kept"]
    columns, wanted = ([own.index(name) for name in shared] for own in (names, old))
    score: float = task.evaluate(outputs_NK[:, columns], targets[:, wanted], 0.0).score
    return score
