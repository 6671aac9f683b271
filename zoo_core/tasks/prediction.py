"""The answers of a model for one image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zoo_core.html_tables import html_table
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.familiar import Familiar
from zoo_core.wording import counted

STRANGER = (
    "unlike anything it was trained on (distance {distance:.2f}; of the validation images 95 % are within {limit:.2f})"
)
NO_STRANGERS = (
    "this model does not know which images are unlike those of its training. Runs of `zoo finetune` with 20 validation "
    "images or more do; those of zoo 0.2 and before are trained again."
)


@dataclass(frozen=True)
class Prediction:
    """The answers for one image, the most probable first: classes or labels with probabilities, or
    numbers."""

    image: str
    """The path of the image, or "image N" for one from memory."""
    answers: tuple[tuple[str, float], ...]
    hint: str | None = None
    """The reason to doubt the answers, if there is one."""
    values: tuple[float, ...] = ()
    """The probability of every class or label, or every number, in the order of the predictor's classes."""
    intervals: tuple[tuple[float, float], ...] = ()
    """The interval of every number, where a coverage was asked for."""
    distance: float | None = None
    """The distance to the training images' features, near 1 for images like them; None where the
    run does not know it."""
    is_stranger: bool = False
    """Whether it lies beyond nearly all validation images, so that the model knows nothing like
    it."""
    problem: str | None = None
    """The reason why there are no answers, as a sentence."""
    is_read: bool = True
    """Whether the image could be read."""
    task: TaskName = "classification"
    """The task of the model, by which the answers are probabilities or numbers."""

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()


class Predictions(list[Prediction]):
    """A list of predictions, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = []
        for one in self:
            text = task_named(one.task).answer_text
            answers = ", ".join(f"{name} {text(value)}" for name, value in one.answers)
            nothing = one.problem or ("none of these" if one.is_stranger else "-")
            rows.append((one.image, answers or nothing, one.hint or ""))
        return html_table(counted(len(self), "prediction"), ("image", "answers", "doubts"), rows)


def as_stranger(found: Prediction, familiar: Familiar | None, *, reject: bool) -> Prediction:
    """The prediction; where its image lies beyond the limit, with a hint, and without answers to
    `reject`."""
    if familiar is None or found.distance is None or found.distance <= familiar.limit:
        return found
    hint = STRANGER.format(distance=found.distance, limit=familiar.limit)
    found = replace(found, hint=hint, is_stranger=True)
    return replace(found, answers=(), intervals=(), values=()) if reject else found
