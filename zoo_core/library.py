"""zoo as a library: the functions that programs call."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, Choice, open_catalog
from zoo_core.devices.find import find_device
from zoo_core.devices.precision import as_usual
from zoo_core.errors import HubError, UsageError, shown
from zoo_core.freezing.plan import Plan
from zoo_core.hub.load import is_address, pull_run
from zoo_core.model.adapt import adapt, make_plan
from zoo_core.model.apply import AppliedPlan, parts_of
from zoo_core.model.assemble import Model, build_head_for
from zoo_core.model.design import ModelDesign
from zoo_core.model.shapes import stage_shapes
from zoo_core.notebook import default_callback
from zoo_core.options import split_name
from zoo_core.paths import user_path
from zoo_core.predict import Predictor
from zoo_core.predictors import open_pretrained, open_run
from zoo_core.runs.directory import CONFIG, is_run
from zoo_core.settings import Augment, FinetuneConfig
from zoo_core.specs import TASKS, BackboneSpec, TaskName
from zoo_core.training import run as runs
from zoo_core.training.callback import Callback
from zoo_core.training.result import Result
from zoo_core.weights.resolve import load_backbone, resolve_weights

ONE_AT_A_TIME = threading.RLock()
"""Whoever draws from the process's one stream of random numbers, or sets it, holds this lock."""


@names_plugins
def create_model(
    backbone: str,
    *,
    num_classes: int,
    head: str = "linear",
    weights: str | Path = "default",
    task: TaskName = "classification",
    catalog: Catalog | None = None,
) -> Model:
    """Build a backbone with a new head: images (B, C, H, W) to outputs (B, num_classes).

    `backbone` and `head` may have options (`"mlp:hidden=256"`); `weights` is a tag, "none",
    "default" or a path. The outputs are logits of classes or labels, or numbers, by the task. A
    head that needs the feature map's size is built for the image size of the weights. A training in
    another thread is waited for, whose random numbers these are. Raises UsageError for an unknown
    name and WeightsError when the weights cannot be had.
    """
    if num_classes < 1:
        raise UsageError(f"num_classes must be at least 1, got {num_classes}")
    if task not in TASKS:
        raise UsageError(f"there is no task '{task}'. Tasks: {', '.join(TASKS)}.")
    catalog = catalog or open_catalog()
    choice, head_choice = catalog.backbone(backbone), catalog.head(head)
    start = resolve_weights(choice, str(weights))
    with ONE_AT_A_TIME:
        base, _ = load_backbone(choice, start)
        shapes = stage_shapes(base, start.preprocessing.channels, start.preprocessing.size)
        answers = build_head_for(shapes, choice, head_choice, num_outputs=num_classes, task=task)
    design = ModelDesign(
        backbone=choice, head=head_choice, preprocessing=start.preprocessing, task=task, start=start.facts()
    )
    return Model(base, answers, design)


@names_plugins
def freeze(
    module: nn.Module,
    strategy: str | Plan,
    *,
    epochs: int = 1,
    stages: Sequence[str] | None = None,
    head: str | None = None,
    catalog: Catalog | None = None,
) -> AppliedPlan:
    """Apply a freeze strategy, or a plan, to a module that you train in a loop of your own.

        applied = zoo_core.freeze(model, "last:2")
        optimizer = torch.optim.AdamW(applied.parameter_groups(lr=1e-3))

    Frozen parts get no gradients, and their statistics stay still when you call `module.train()`. For
    strategies with several phases give `epochs`, and call `applied.start_epoch(epoch)` at the start
    of each. A zoo Model knows its stages; of any other module name them by paths, in order, and the
    head (default: children with parameters, of which the last is the head). Raises UsageError for
    an unknown strategy or path, and where a strategy does not fit.
    """
    if isinstance(module, Model):
        if stages is not None or head is not None:
            raise UsageError("a zoo Model has its own stages and head: leave out stages and head.")
        names = module.backbone.stages
    else:
        parts = parts_of(module, stages, head)
        names = tuple(parts)[:-1]
    choice = None
    if isinstance(strategy, Plan):
        plan = strategy
        if plan.stages != names:
            raise UsageError(f"the plan is for the stages {', '.join(plan.stages)}; these are {', '.join(names)}.")
    else:
        choice = (catalog or open_catalog()).strategy(strategy)
        plan = make_plan(choice, names, epochs)
    if isinstance(module, Model):
        merge = None if choice is None else adapt(choice, module.backbone, plan)
        return AppliedPlan(module, module.parts, plan, choice, merge)
    if choice is not None and choice.spec.adapt is not None:
        raise UsageError(f"'{choice}' adds parameters, and only to models of zoo_core.create_model.")
    return AppliedPlan(module, parts, plan, choice)


@contextmanager
def _alone() -> Iterator[None]:
    """One thread at a time, with torch as in a fresh program. The random numbers of the program around
    it go on as if none had been drawn: those of the CPU, as asking a GPU for its own would start it."""
    with ONE_AT_A_TIME, as_usual(), torch.random.fork_rng(devices=()):
        yield


@names_plugins
def finetune(config: FinetuneConfig, *, catalog: Catalog | None = None, callback: Callback | None = None) -> Result:
    """Fine-tune by the settings of `config` and write a run directory.

    Threads take turns, because a process has one stream of random numbers. Returns the directory, the history and the
    evaluation. Raises ZooError with the cause and a next step.
    """
    with _alone():
        return runs.finetune(config, catalog or open_catalog(), callback or default_callback())


@names_plugins
def resume(
    run: str | Path,
    *,
    data: Any = None,
    more_epochs: int | None = None,
    augment: Augment | None = None,
    device: str | None = None,
    track: str | None = None,
    catalog: Catalog | None = None,
    callback: Callback | None = None,
) -> Result:
    """Go on with a run that was interrupted, from its newest checkpoint.

    `data` are the images of a run whose images a program handed over, and `augment` is the function
    that varied them; they must be those that it began with. A finished run is trained for
    `more_epochs`: from the weights of its best epoch, as in its last phase, with a learning rate
    that warms up and falls to zero once more. `device` and `track` name another device and other
    trackers than the run's own. Raises UsageError for a finished run without `more_epochs`, and
    ZooError that lists all that has changed since the run began.
    """
    with _alone():
        own, followed = catalog or open_catalog(), callback or default_callback()
        here = {name: value for name, value in (("device", device), ("track", track)) if value is not None}
        return runs.resume(
            user_path(run), own, followed, data=data, augment=augment, per_machine=here, more_epochs=more_epochs
        )


@names_plugins
def load(
    name: str | Path, *, weights: str = "default", device: str = "auto", catalog: Catalog | None = None
) -> Predictor:
    """Load a predictor: a run directory, a published model (`owner/name[@revision]`), or a pretrained backbone.

    A name that a backbone has means the backbone, whatever folder lies there; `./NAME` and a Path mean the folder.

    `weights` chooses those of a backbone; a run has its own. Nothing in a run or repository is executed or unpickled.
    Raises UsageError when there is no such run or backbone, or a run was given `weights`, HubError when a repository
    cannot be had, and ZooError when it is no zoo model or its plugin is not installed.
    """
    catalog = catalog or open_catalog()
    place: torch.device = find_device(device)
    found = run_or_backbone(name, weights, catalog)
    with as_usual():
        if not isinstance(found, Path):
            return open_pretrained(found, weights, place)
        predictor = open_run(found, catalog, place)
    return predictor if user_path(name).is_dir() else replace(predictor, title=str(name))


def run_or_backbone(name: str | Path, weights: str, catalog: Catalog) -> Path | Choice[BackboneSpec]:
    """The run directory that a name means, fetched from the Hub where it lies there, or the backbone.

    Raises as `load` does.
    """
    if not isinstance(name, str | Path):
        raise UsageError(f"load takes the path of a run or a name, not a {type(name).__name__}.")
    path = user_path(name)
    named = isinstance(name, str) and names_backbone(name, catalog)
    if named and (path / CONFIG).is_file() and is_run(path):
        raise UsageError(f"'{name}' is a backbone, and a run in this folder. Say ./{name} for the run, or rename it.")
    if weights != "default" and not named and (path.is_dir() or "/" in str(name)):
        raise UsageError(
            f"{name} is a run and has weights of its own: leave out --weights, which chooses a backbone's."
        )
    if path.is_dir() and not named:
        return path
    if isinstance(name, Path) or ("/" in name and (path.parent.is_dir() or not is_address(name))):
        raise UsageError(f"there is no run directory {name}.")
    if "/" in name:
        return _published(name)
    try:
        return catalog.backbone(name)
    except UsageError as error:
        if named or ":" in name:  # it has a backbone's name, or options
            raise
        raise UsageError(f"There is no run directory '{shown(name)}' here. {error}") from None


def names_backbone(text: str, catalog: Catalog) -> bool:
    """Whether a text chooses a backbone: then a folder of that name is meant only as `./NAME`."""
    name, _ = split_name(text)
    return any(name in entry.names for entry in catalog.entries(BackboneSpec))


def _published(name: str) -> Path:
    try:
        return pull_run(name)
    except HubError as error:
        raise HubError(f"there is no run directory {name}, and the Hub does not give it: {error}") from None
