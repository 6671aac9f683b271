"""Runs a job: the run directory is made, the training goes its way, and what came out is written down.

A run that was interrupted or killed goes on from its newest checkpoint, and ends with the same bytes as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches, resized_store
from zoo_core.data.eviction import make_room, stores
from zoo_core.data.scan import Watch
from zoo_core.data.sources import PartName
from zoo_core.data.store import Store
from zoo_core.devices.find import find_device
from zoo_core.devices.world import World, join_world
from zoo_core.errors import LostError, TrainingError, UsageError, ZooError
from zoo_core.frozen.caching import cache_budget
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.input_planner import InputPlanner
from zoo_core.frozen.split import prefix_keys
from zoo_core.paths import cache_dir
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import CURVES, RunWriter, read_facts
from zoo_core.runs.epochs import EpochReport
from zoo_core.runs.schema import differences
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.metrics import Baseline, Evaluation
from zoo_core.tasks.objective import objective_for
from zoo_core.training.callback import Callback
from zoo_core.training.checkpoint import newest_checkpoint, remove_checkpoints, write_checkpoint
from zoo_core.training.evaluate import evaluate
from zoo_core.training.job import Job, prepare
from zoo_core.training.phase_trainer import is_out_of_memory
from zoo_core.training.progress import Position
from zoo_core.training.stopping import ForcedExit, Interrupted, StopRequest, stop_on_signals
from zoo_core.training.trainer import History, Trainer


@dataclass(frozen=True)
class Result:
    """What came out of a run. `part` is the one that `evaluation` was measured on: "test" when the data has it.
    `baseline` is the score of the best constant answer on the same images.

    `num_computed` counts the images that went through the frozen front to be kept: 0 when all of them were found.
    """

    directory: Path
    trained: History
    evaluation: Evaluation
    baseline: Baseline
    part: str
    num_computed: int
    task: TaskName


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
    world = join_world(find_device(config.device))
    try:
        job = prepare(config, catalog, scanning, world)
        show(job)
        return run_job(job, callback)
    finally:
        world.close()


def run_job(job: Job, callback: Callback) -> Result:
    """Train, evaluate, and write a new run directory."""
    world = job.world
    name = f"{job.backbone.spec.name}-{job.strategy.spec.name}"
    made = RunWriter.create(job.config.out, name).directory if world.is_main else None
    writer = RunWriter(Path(world.broadcast_object(made)))
    try:
        return _run(job, callback, writer, world, resumed=False)
    except Interrupted:
        raise
    except BaseException:
        if world.is_main:
            writer.discard_unless_begun()
        raise


def resume(
    directory: Path,
    catalog: Catalog,
    callback: Callback,
    show: Callable[[Job], None] = lambda job: None,
    scanning: Watch | None = None,
    *,
    data: Any = None,
) -> Result:
    """Go on with a run from its newest checkpoint, or from its start where it has none.

    `scanning` is told how many images are looked at, `show` what will be done; `data` are those of a run whose images a
    program handed over.

    Raises UsageError when there is nothing to go on with, and ZooError that names what differs when data, classes,
    plugins or versions are not those of the run.
    """
    facts = read_facts(directory)
    writer = RunWriter(directory)
    if writer.finished:
        with _alone(directory, World()):
            remove_checkpoints(directory)  # it may have been killed before it came to that
        raise UsageError(f"the run {directory} is finished. `zoo evaluate {directory}` measures it.")
    world = join_world(find_device(facts.config.device))
    try:
        config = facts.config if data is None else replace(facts.config, data=data)
        job = prepare(config, catalog, scanning, world)
        changed = differences(facts, job.facts())
        if changed:
            raise ZooError(
                f"cannot resume {directory}; these have changed since it started:\n  " + "\n  ".join(changed) + "\n"
                "Put them back as they were, or start a new run with `zoo finetune`."
            )
        job = replace(job, decisions={**job.decisions, **facts.decisions})
        show(job)
        return _run(job, callback, writer, world, resumed=True)
    finally:
        world.close()


def _run(job: Job, callback: Callback, writer: RunWriter, world: World, *, resumed: bool) -> Result:
    with (
        _alone(writer.directory, world),
        _explaining_how_to_resume(writer, world, resumed=resumed),
        stop_on_signals(lambda: _announce_stop(callback)) as stop_request,
    ):
        if world.is_main and resumed:
            writer.remove_leftovers()
        if world.is_main and not resumed:
            writer.write_facts(job.facts())
        start = newest_checkpoint(writer.directory, clean=world.is_main) if resumed else None
        planner = _feeds(job, world, callback.message)
        try:
            trainer = _loop(job, planner, _Recording(callback, writer if world.is_main else None), stop_request, writer)
            if start is not None:
                trainer.restore(start)
                writer.metrics = [report.to_dict() for report in trainer.state.history]
            if resumed:
                callback.message(_where(trainer))
            trained = trainer.run()
            return _finish(job, trainer, trained, writer)
        finally:
            planner.close()


@contextmanager
def _explaining_how_to_resume(writer: RunWriter, world: World, *, resumed: bool) -> Iterator[None]:
    """Say of whatever stops a run from outside what is kept, and the command that goes on."""
    command = f"zoo resume {writer.directory}" + (f" --devices {world.size}" if world.size > 1 else "")
    try:
        yield
    except Interrupted as stopped:
        raise Interrupted(f"{stopped} Go on with: {command}", stopped.signum) from None
    except ForcedExit as left:
        told = "left at once; what the last checkpoint holds is kept."
        raise Interrupted(f"{told} Go on with: {command}", left.signum) from None
    except (OSError, RuntimeError) as error:
        then = f"go on with: {command}" if resumed or writer.begun else "start again."
        if isinstance(error, OSError):
            if isinstance(error, BrokenPipeError):  # whoever read our output has gone
                raise
            raise TrainingError(
                f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}. Free space or make "
                f"it writable (ZOO_CACHE names another cache folder), then {then}"
            ) from error
        if world.is_lost(error):
            raise LostError(f"another process of this training ended. When that is mended, {then}") from error
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"the memory is too small: {str(error).splitlines()[0]} Give a smaller --batch-size or --image-size, or free "
            f"memory and {then}"
        ) from error


def _feeds(job: Job, world: World, message: Callable[[str], None]) -> InputPlanner:
    config = job.settings
    workers = config.workers
    root = cache_dir()
    resized = None
    if job.caching.resized_bytes:
        resized = resized_store(root, job.preprocessing, message)
    train = Batches(job.source.parts["train"], job.preprocessing, config.batch_size, workers, config.augment, resized)
    val = Batches(job.source.parts["val"], job.preprocessing, config.batch_size, workers, "none", resized)
    entry = job.backbone.entry
    precision = "" if config.precision == "float32" else f" {config.precision}"
    features = FeatureCache(
        root=root,
        identity=f"{entry.distribution} {entry.version} {job.backbone}{precision}",
        shapes=job.shapes,
        augment=config.augment,
        dtype=config.cache_dtype,
        device=job.device,
        workers=workers,
        message=message,
    )
    if (job.caching.total or resized) and world.rank == world.ranks_sharing(root)[0]:
        _make_room(job, features, resized)
    return InputPlanner(
        job.model, job.plan, job.caching, features, train, val, job.source.classes, job.device, world, config.precision
    )


def _make_room(job: Job, features: FeatureCache, resized: Store | None) -> None:
    """Remove what was used least recently, where this run needs its room; what the run finds of its own stays."""
    needed, budget = job.caching.total + job.caching.resized_bytes, cache_budget(job.settings.cache_gb)
    there = dict(stores(features.root))
    if sum(there.values()) + needed > budget:
        features.keys = prefix_keys(job.model, job.preprocessing, features.identity, job.device)
        own = {features.folder(cut) for cut in job.caching.splits if cut is not None}
        if resized is not None:
            own.add(resized.folder)
        make_room(features.root, needed - sum(there.get(folder, 0) for folder in own), budget, keep=own)


def _loop(job: Job, planner: InputPlanner, callback: Callback, stop_request: StopRequest, writer: RunWriter) -> Trainer:
    return Trainer(
        model=job.model,
        plan=job.plan,
        config=job.settings,
        planner=planner,
        objective=objective_for(job.source.task, job.model.head, job.source.parts["train"].targets),
        callback=callback,
        stop_request=stop_request,
        save=lambda number, checkpoint: write_checkpoint(writer.directory, number, checkpoint),
    )


def _finish(job: Job, trainer: Trainer, trained: History, writer: RunWriter) -> Result:
    """Measure the best epoch's weights and write everything down; the weights get their name last."""
    from zoo_core.runs.plots import plot_curves  # matplotlib waits until there is something to draw

    part: PartName = "test" if "test" in job.source.parts else "val"
    evaluation = trainer.evaluate_best() if part == "val" and job.merge is None else None
    if job.merge is not None:
        job.merge()  # what is measured, drawn and written below is the merged model
    if evaluation is None:
        workers = job.settings.workers
        batches = Batches(job.source.parts[part], job.preprocessing, job.settings.batch_size, workers)
        watch = trainer.stop_if_requested if job.merge is None else None  # what is merged can no longer be saved
        evaluation = evaluate(job.model, batches, job.device, trainer.objective, watch)
    task = task_named(job.source.task)
    result = Result(
        directory=writer.directory,
        trained=trained,
        evaluation=evaluation,
        baseline=task.baseline(job.source.parts["train"].targets, job.source.parts[part].targets),
        part=part,
        num_computed=trainer.planner.features.num_computed,
        task=task.name,
    )
    if trainer.planner.world.is_main:
        line = result_line(result)
        with writer.model_written(job.model.named_saved()):
            plot_curves(writer.directory / CURVES, trained.epochs, trained.best, task.metric)
            task.draw(writer.directory / task.picture, evaluation, job.source.classes)
            writer.add_metrics(line)
            writer.write_card(render_card(job.facts(), line))
        remove_checkpoints(writer.directory)
    trainer.planner.world.barrier()
    return result


@contextmanager
def _alone(directory: Path, world: World) -> Iterator[None]:
    """Hold the run directory: two runs that write to one would spoil it."""
    if not world.is_main:
        yield
        return
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ZooError(f"another process is writing to {directory}. Wait for it, or stop it first.") from None
    try:
        yield
    finally:
        lock.release()
        (directory / ".lock").unlink(missing_ok=True)


def _where(trainer: Trainer) -> str:
    """Where a run goes on."""
    if trainer.state.at == Position():
        return "no checkpoint was written yet: the run begins anew"
    if trainer.state.at.epoch == trainer.plan.epochs:
        return "all epochs are done: only their result is missing"
    return f"going on in epoch {trainer.state.at.epoch + 1} after step {trainer.state.at.step} of {trainer.steps}"


def _announce_stop(callback: Callback) -> None:
    callback.message("stopping: this step is finished and saved first (once more to leave at once)")


@dataclass(frozen=True)
class _Recording:
    """Writes each epoch down before whoever watches is told; only the first process writes."""

    callback: Callback
    writer: RunWriter | None

    def on_caching(self, done: int, total: int) -> None:
        self.callback.on_caching(done, total)

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        self.callback.on_step(epoch, step, steps)

    def on_epoch(self, report: EpochReport) -> None:
        if self.writer is not None:
            self.writer.add_metrics(report.to_dict())
        self.callback.on_epoch(report)

    def message(self, text: str) -> None:
        self.callback.message(text)


def result_line(result: Result) -> dict[str, object]:
    """The last line of a run's metrics."""
    evaluation = result.evaluation
    return {
        "event": "result",
        "part": result.part,
        "images": evaluation.images,
        "metric": evaluation.metric,
        "score": evaluation.score,
        "loss": evaluation.loss,
        "baseline": result.baseline.to_dict(),
        "best_epoch": result.trained.best,
        "lr": result.trained.lr,
        "seconds": sum(report.seconds for report in result.trained.epochs),
        **evaluation.figures(),
    }
