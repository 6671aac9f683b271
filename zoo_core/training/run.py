"""Runs a job: makes the run directory, trains, evaluates the best epoch, and writes the results.

A run that was interrupted or killed is resumed from its newest checkpoint, and ends with the bytes
of one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zoo_core.catalog import Catalog
from zoo_core.data.groups import group_counts
from zoo_core.data.scan import Watch
from zoo_core.data.sources import PartName
from zoo_core.devices.collector import rare_collections
from zoo_core.devices.find import find_device
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.malloc import freed_memory_kept
from zoo_core.devices.world import World, joined_world
from zoo_core.errors import UsageError
from zoo_core.runs.answers import write_answers
from zoo_core.runs.card import render_card
from zoo_core.runs.differences import differences
from zoo_core.runs.directory import RunWriter, read_facts
from zoo_core.runs.ending import LAST_COUNTS, ending_in_words, error_of_best, loss_rises_since
from zoo_core.runs.fitted import write_fitted
from zoo_core.runs.images import write_images
from zoo_core.runs.provided import KINDS, as_in_run
from zoo_core.settings import Augment, FinetuneConfig
from zoo_core.tasks import task_named
from zoo_core.training.after import measure_and_fit
from zoo_core.training.callback import Callback
from zoo_core.training.checkpoint import newest_checkpoint, remove_checkpoints, write_checkpoint
from zoo_core.training.extending import begin_extension, check_extension
from zoo_core.training.failing import explain_how_to_resume, only_writer, raising_callback_errors
from zoo_core.training.finishing import draw, result_line, run_name, told_to_trackers
from zoo_core.training.forgetting import measure_forgotten
from zoo_core.training.job import Job, prepare
from zoo_core.training.recording import Recording
from zoo_core.training.result import CannotResume, Result
from zoo_core.training.setup import make_planner, make_trainer
from zoo_core.training.stopping import Interrupted, stop_on_signals
from zoo_core.training.threads import computing_with, threads_of_run
from zoo_core.training.tracking import Trackers
from zoo_core.training.trainer import History, Trainer
from zoo_core.wording import quoted

MEASURED: tuple[PartName, ...] = ("test", "val")
STOPPING = "stopping: this step is finished and saved first (once more to leave at once)"
"""The message at the first signal."""


@rare_collections()
@freed_memory_kept()
def finetune(
    config: FinetuneConfig,
    catalog: Catalog,
    callback: Callback,
    show: Callable[[Job], None] = lambda job: None,
    scanning: Watch | None = None,
) -> Result:
    """Prepare a fine-tune together with the processes that train, then run it.

    `scanning` is told how many images were inspected; `show` gets the job before its training.
    """
    with joined_world(find_device(config.device)) as world:
        job = prepare(config, catalog, scanning, world)
        for note in job.notes:
            callback.message(note)
        show(job)
        return run_job(job, callback)


@freed_memory_kept()
def run_job(job: Job, callback: Callback) -> Result:
    """Train, evaluate, and write a new run directory."""
    world = job.world
    made = RunWriter.create(job.config.out, run_name(job)).directory if world.is_main else None
    writer = RunWriter(Path(world.broadcast_object(made)))
    try:
        with _training(job, callback, writer, resumed=False) as (trainer, trackers):
            return _finish(job, trainer, trainer.run(), writer, trackers)
    except BaseException as error:
        if world.is_main and not isinstance(error, Interrupted):
            writer.discard_unless_begun()
        raise


@rare_collections()
@freed_memory_kept()
def resume(
    directory: Path,
    catalog: Catalog,
    callback: Callback,
    show: Callable[[Job], None] = lambda job: None,
    scanning: Watch | None = None,
    *,
    data: Any = None,
    augment: Augment | None = None,
    per_machine: Mapping[str, Any] | None = None,
    more_epochs: int | None = None,
) -> Result:
    """Resume a run from its newest checkpoint, or from its start if it has none.

    `scanning` is told how many images are inspected, `show` gets the job before it starts; `data`
    are the images of a program and `augment` its function; settings in `per_machine` are taken
    instead of the run's. A finished run is trained for `more_epochs`, if they are given.

    Raises UsageError if the run is finished, or with `more_epochs` is not, and ZooError that names
    the differences if data, classes, plugins or versions are not those of the run.
    """
    facts = read_facts(directory)
    writer = RunWriter(directory)
    if more_epochs is not None:
        facts = check_extension(directory, facts, more_epochs, is_finished=writer.finished)
    elif writer.finished:
        with only_writer(directory, World()):
            remove_checkpoints(directory)  # the run may have been killed before it came to that
        raise UsageError(
            f"the run {directory} is finished. `zoo evaluate {quoted(directory)}` measures it, and "
            f"`zoo resume {quoted(directory)} --epochs +10` trains it for 10 more epochs."
        )
    handed_over: dict[str, Any] = {"data": data, "augment": augment}
    given = {name: value for name, value in handed_over.items() if value is not None} | dict(per_machine or {})
    catalog = as_in_run(catalog, facts, KINDS.keys() - given.keys())
    with joined_world(find_device((per_machine or {}).get("device", facts.config.device))) as world:
        config = replace(facts.config, **given)
        job = prepare(config, catalog, scanning, world, earlier=facts.data.earlier_split, added=facts.added_epochs)
        changed = differences(facts, job.facts())
        if changed:
            raise CannotResume(directory, "\n  ".join(changed))
        if config.threads is None and not kind_of(job.device).is_accelerator:
            threads = threads_of_run(facts.threads, job.settings.threads, callback.message)
            job = replace(job, settings=replace(job.settings, threads=threads))
        new = {name: own for name, own in job.decisions.items() if name not in facts.decisions}
        job = replace(job, decisions={**facts.decisions, **new})  # in the run's order, which its card has
        for note in job.notes:
            callback.message(note)
        show(job)
        begin = None if more_epochs is None else partial(begin_extension, job, facts, writer)
        with _training(job, callback, writer, resumed=True, begin=begin) as (trainer, trackers):
            return _finish(job, trainer, trainer.run(), writer, trackers)


@contextmanager
def _training(
    job: Job, callback: Callback, writer: RunWriter, *, resumed: bool, begin: Callable[[Trainer], None] | None = None
) -> Iterator[tuple[Trainer, Trackers]]:
    """The trainer of a run at its start or at its newest checkpoint, which saves, stops and fails
    as a run does, and the trackers that follow it. `begin` writes the checkpoint from
    which a finished run goes on."""
    world = job.world
    with (
        only_writer(writer.directory, world),
        computing_with(job.settings.threads, callback.message),
        explain_how_to_resume(writer, job, resumed=resumed),
        stop_on_signals(lambda: callback.message(STOPPING)) as stop_request,
    ):
        if world.is_main and resumed:
            writer.remove_leftovers()
        if world.is_main:
            facts = job.facts()
            if not resumed:
                writer.write_facts(facts)
            write_images(writer.directory, facts, job.source.parts)
        saved = newest_checkpoint(writer.directory, clean=world.is_main) if resumed else None
        planner = make_planner(job, world, callback.message)
        try:
            trackers = Trackers(job.trackers if world.is_main else (), writer.directory, callback.message)
            recording = Recording(callback, writer if world.is_main else None, trackers, stop_request)
            save = lambda number, checkpoint: write_checkpoint(writer.directory, number, checkpoint)  # noqa: E731
            trainer = make_trainer(job, planner, recording, stop_request, save)
            if begin is not None:
                begin(trainer)
                saved = newest_checkpoint(writer.directory, clean=False)
            if saved is not None:
                trainer.state.load_state_dict(saved)
                writer.metrics = [report.to_dict() for report in trainer.state.history]
            if resumed:
                callback.message(_position(trainer) if saved else "no checkpoint was written yet: the run begins anew")
            trackers.start(told_to_trackers(job), job.facts().to_dict(), trainer.state.epoch + 1)
            with trackers.ending(), raising_callback_errors(writer, job, stop_request):
                yield trainer, trackers
        finally:
            planner.close()


def _finish(job: Job, trainer: Trainer, history: History, writer: RunWriter, trackers: Trackers) -> Result:
    """Evaluate the best epoch's weights and write everything down; the weights get their name
    last."""
    parts, outputs = job.source.parts, len(job.source.classes)
    part = next((name for name in MEASURED if name in parts), None)
    images, task = trainer.planner.test or trainer.planner.val, task_named(job.source.task)
    if job.merge is not None:
        job.merge()
    evaluation, fitted, calibration = measure_and_fit(trainer, merged=job.merge is not None)
    result = Result(
        directory=writer.directory,
        trained=history,
        measured=evaluation,
        calibration=calibration,
        baseline=part and trainer.objective.baseline(parts["train"].targets, parts[part].targets, outputs),
        part=part,
        num_computed=trainer.planner.num_computed,
        task=task.name,
        groups=group_counts(job.source),
        forgotten=measure_forgotten(job, trainer),
        ending=LAST_COUNTS
        if trainer.planner.val is None
        else ending_in_words(
            best=history.best,
            last=history.epochs[-1].epoch,
            planned=job.plan.epochs,
            rises_since=loss_rises_since(history.epochs),
            rule=job.config.best_epoch,
            metric=trainer.objective.metric,
            error=error_of_best(history.epochs),
        ),
    )
    if trainer.planner.world.is_main:
        line = result_line(result)
        with writer.model_written(job.model.named_saved()):
            draw(writer.directory, result, trainer.objective.metric, job.source.classes, trainer.callback.message)
            write_fitted(writer.directory, fitted)
            answers = None if evaluation is None else task.answered(evaluation)
            if images is not None and answers is not None:
                write_answers(writer.directory, images.part, job.source.classes, answers)
            writer.add_metrics(line)
            writer.write_card(render_card(job.facts(), line))
        remove_checkpoints(writer.directory)
    trainer.planner.world.barrier()
    tracked = trackers.end("finished", result_line(result))
    return replace(result, trackers=tracked, stopped_by=trainer.stop_request.signal)


def _position(trainer: Trainer) -> str:
    """The position at which a run is resumed, for a person."""
    state = trainer.state
    if state.epoch == trainer.plan.epochs:
        return "all epochs are done: only their result is missing"
    return f"going on in epoch {state.epoch + 1} after step {state.step} of {trainer.steps}"
