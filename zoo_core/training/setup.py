"""A trainer for a job: its images, its cache with room for the run, and the trainer over both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zoo_core.data.batches import Batches, resized_store
from zoo_core.data.decoders import Decoders
from zoo_core.data.eviction import make_room, stores
from zoo_core.data.store import Store
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.world import World
from zoo_core.frozen.cache_pair import feature_caches
from zoo_core.frozen.caching import cache_budget
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.input_planner import InputPlanner
from zoo_core.frozen.keys import prefix_keys
from zoo_core.frozen.view_identity import view_identity
from zoo_core.paths import cache_dir
from zoo_core.tasks.objective import objective_for
from zoo_core.training.callback import Callback
from zoo_core.training.checkpoint import Checkpoint
from zoo_core.training.job import Job
from zoo_core.training.stopping import StopRequest
from zoo_core.training.trainer import Trainer


def make_trainer(
    job: Job,
    planner: InputPlanner,
    callback: Callback,
    stop_request: StopRequest,
    save: Callable[[int, Checkpoint], None],
) -> Trainer:
    """The trainer of a job at its start."""
    return Trainer(
        model=job.model,
        plan=job.plan,
        config=job.settings,
        planner=planner,
        objective=objective_for(job.source.task, job.model.head, job.source.parts["train"].targets, job.metric),
        callback=callback,
        stop_request=stop_request,
        save=save,
    )


def make_planner(job: Job, world: World, message: Callable[[str], None]) -> InputPlanner:
    """The inputs of a job's phases; older caches make room for this run's where the budget is too small for both."""
    config = job.settings
    tiles = config.tiles != "none" or kind_of(job.device).is_accelerator  # which has none in any case
    workers, root = config.workers, cache_dir()
    resized = resized_store(root, job.preprocessing, message) if job.caching.resized_bytes else None
    parts, usual = job.source.parts, (job.preprocessing, config.batch_size, workers)
    decoders = Decoders(job.preprocessing, workers) if config.decoding == "processes" else None
    features, exact = feature_caches(
        job.backbone,
        job.shapes,
        augment=world.broadcast_object(view_identity(job.augmentation)),  # by chance for a function
        dtype=config.cache_dtype,
        device=job.device,
        workers=workers,
        message=message,
        precision=config.prefix_precision,
        tiles=tiles,
    )
    features.tells_bfloat16 = True
    if (job.caching.total or resized) and world.rank == world.ranks_sharing(root)[0]:
        _make_room(job, (features, exact), resized)
    return InputPlanner(
        model=job.model,
        plan=job.plan,
        caching=job.caching,
        features=features,
        exact=exact,
        train=Batches(parts["train"], *usual, job.augmentation, resized, decoders),
        val=Batches(parts["val"], *usual, resized=resized, decoders=decoders) if "val" in parts else None,
        test=Batches(parts["test"], *usual, decoders=decoders) if "test" in parts else None,
        decoders=decoders,
        tiles=tiles,
        caches_test=job.caching.test and job.merge is None,
        classes=job.source.classes,
        device=job.device,
        world=world,
    )


def _make_room(job: Job, caches: Sequence[FeatureCache], resized: Store | None) -> None:
    """Remove the least recently used caches if this run needs their room; those that it will read itself stay."""
    needed, budget = job.caching.total + job.caching.resized_bytes, cache_budget(job.settings.cache_gb)
    root = caches[0].root
    there = dict(stores(root))
    if sum(there.values()) + needed > budget:
        for features in caches:
            features.keys = prefix_keys(job.model, job.preprocessing, features.identity, job.device)
        own = {features.folder(split) for features in caches for split in job.caching.splits if split is not None}
        if resized is not None:
            own.add(resized.folder)
        make_room(root, needed - sum(there.get(folder, 0) for folder in own), budget, keep=own)
