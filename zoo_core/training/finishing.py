"""The name, the pictures and the last line of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.data.places import slug
from zoo_core.options import UPTO, take_option
from zoo_core.runs.directory import CURVES
from zoo_core.runs.ending import error_of_best, loss_rises_since
from zoo_core.runs.pictures import optional_picture
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import result_figures
from zoo_core.tasks.metrics import Metric
from zoo_core.training.job import Job

if TYPE_CHECKING:
    from zoo_core.training.result import Result


def run_name(job: Job) -> str:
    """The backbone and the strategy, and its last stage, the head and the data where they are not the
    default."""
    head, usual = job.head.spec.name, settings_of(FinetuneConfig)
    _, last_stage = take_option(job.config.backbone, UPTO)
    parts = [job.backbone.spec.name, *([slug(last_stage)] if last_stage else []), job.strategy.spec.name]
    parts += [head] if head != usual["head"].default else []
    parts += [slug(job.source.title)] if job.config.data != usual["data"].default else []
    return "-".join(parts)


def told_to_trackers(job: Job) -> dict[str, Any]:
    """The settings of a job as they were decided; the rate is left out where the training finds it."""
    values, names = job.settings.to_dict(), settings_of(FinetuneConfig)
    return {name: values[name] for name in names if name != "lr" or not job.settings.lr_search}


def draw(directory: Path, result: Result, metric: Metric, names: Sequence[str], message: Callable[[str], None]) -> None:
    """Draw the curves and the task's picture; whatever goes wrong there is only told."""
    task, history = task_named(result.task), result.trained
    with optional_picture(directory / CURVES, message):
        from zoo_core.runs.plots import plot_curves  # matplotlib waits until there is something to draw

        plot_curves(directory / CURVES, history.epochs, history.best, metric)
    if result.measured is None:
        return
    with optional_picture(directory / task.picture, message):
        task.draw(directory / task.picture, result.evaluation, names)


def result_line(result: Result) -> dict[str, object]:
    """The last line of a run's metrics."""
    return {
        "event": "result",
        "part": result.part,
        "baseline": result.baseline and result.baseline.to_dict(),
        "best_epoch": result.trained.best,
        "last_epoch": result.trained.epochs[-1].epoch,
        "loss_rises_since": loss_rises_since(result.trained.epochs),
        "score_error": error_of_best(result.trained.epochs),
        "lr": result.trained.lr,
        "seconds": sum(report.seconds for report in result.trained.epochs),
        **({} if result.measured is None else result_figures(result.measured)),
        "calibration": result.calibration,
        "forgotten": result.forgotten and result.forgotten.to_dict(),
    }
