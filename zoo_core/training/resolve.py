"""Decides every setting that was left open, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial, reduce
from typing import Any

import torch
from torch import nn

from zoo_core.catalog import Catalog, Choice
from zoo_core.data.batches import default_workers
from zoo_core.data.decoders import HAS_DECODERS
from zoo_core.data.sources import Source
from zoo_core.errors import UsageError
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import Caching, choose_caching
from zoo_core.frozen.split import SplitPoint, split_shapes
from zoo_core.model.adapt import make_plan
from zoo_core.model.assemble import Model, count_parameters
from zoo_core.model.shapes import StageShapes
from zoo_core.settings import FinetuneConfig, ResolvedSettings
from zoo_core.settings.needs import Need, idle
from zoo_core.settings.words import USUAL_LAYOUT
from zoo_core.specs import BackboneSpec, FreezeSpec
from zoo_core.tasks import task_named
from zoo_core.training.defaults import (
    USUAL_LR,
    default_augment,
    default_base_lr,
    default_decoding,
    default_device,
    default_epochs,
    default_lr_search,
    default_patience,
    default_precision,
    default_strategy,
    is_enlarged,
    reason_of_views,
    reason_to_train_only_a_head,
)
from zoo_core.training.solve import only_solved, with_single_epochs
from zoo_core.training.threads import usual_threads
from zoo_core.weights_specs import Preprocessing

USUAL_BATCH = 32
"""The batch size of "auto" until a GPU has tried others, and on a CPU, where larger are no faster."""


@dataclass(frozen=True)
class Resolution:
    """The settings of a run, and the strategy, the plan and the cache that follow from them.

    `shapes` are those of one image's features at each split point of the model.
    """

    settings: ResolvedSettings
    strategy: Choice[FreezeSpec]
    plan: Plan
    shapes: dict[SplitPoint, tuple[int, ...]]
    caching: Caching
    notes: tuple[str, ...]
    """Sentences about settings that have no effect in this run."""


def resolve_settings(
    config: FinetuneConfig,
    catalog: Catalog,
    model: Model,
    *,
    backbone: BackboneSpec,
    source: Source,
    preprocessing: Preprocessing,
    shapes: StageShapes,
    pretrained: bool,
    device: torch.device,
    budget: int,
    added: Sequence[int] = (),
) -> Resolution:
    """Decide every setting that a config leaves open, by the rules of zoo_core.training.defaults.

    Four decisions need a trial on the machine: a batch size, a step layout, tiles and a compile of
    "auto" are 32, the usual one, "frozen" and off here, and `zoo_core.training.autotune` improves
    them before the job is shown. `budget` is the number of bytes that the cache may take, and the
    plan goes on for each number of `added` epochs. Raises UsageError for settings that exclude each other.
    """
    images, parameters = len(source.parts["train"]), count_parameters(model.backbone)
    decided = _Decisions(config)
    cost = model.head, device, backbone, images, preprocessing
    is_open = config.strategy == "auto" and pretrained and not reason_to_train_only_a_head(*cost, whole=True)
    usual_strategy = default_strategy(
        images,
        parameters,
        pretrained=pretrained,
        classes=max(1, len(source.classes)),
        stages=len(backbone.stages),
        only_head=reason_to_train_only_a_head(*cost),
        enlarged=is_open and is_enlarged(source.parts["train"], preprocessing),
    )
    strategy_name = decided("strategy", usual_strategy)
    decided("base_lr", default_base_lr(images, parameters, pretrained=pretrained))
    if config.augment == "auto":  # the rule reads some of the images
        decided("augment", default_augment(source.parts["train"], preprocessing))
    epochs = decided("epochs", default_epochs(strategy_name, backbone, images, preprocessing))
    decided("task", (source.task, "the data has targets of this kind"))
    decided("metric", (task_named(source.task).metric.name.replace("_", "-"), f"it is the usual one for {source.task}"))
    decided("size", (preprocessing.size, "the initial weights expect it"))
    decided("fit", (preprocessing.fit, "the initial weights expect it"))
    decided("device", default_device(device))
    workers = decided("workers", (default_workers(), "each core decodes images, up to 16"))
    if config.decoding == "processes" and not HAS_DECODERS:
        raise UsageError("--decoding processes: no process inherits an open file on Windows. Leave it out.")
    if config.decoding == "auto":  # the rule reads an image
        decided("decoding", default_decoding(source.parts["train"], device, workers))
    decided("precision", default_precision(device))
    again = config.gradient_checkpointing
    decided("compile", ("off", "stages that are computed again are not compiled" if again else "it saves no time"))
    batch_size = decided("batch_size", (USUAL_BATCH, "larger batches are no faster on a CPU"))
    decided("micro_batch", (batch_size, "a batch goes through the network in one piece"))
    decided("step_layout", (USUAL_LAYOUT, "only long, uncompiled trainings of stages on a CPU try others"))
    decided("tiles", ("frozen", "only uncompiled trainings of such convolutions in float32 on a CPU try others"))
    decided.values["threads"] = config.threads or usual_threads()
    decided("patience", default_patience(config, epochs, is_measured="val" in source.parts))

    strategy = catalog.strategy(strategy_name)
    planned = make_plan(strategy, backbone.stages, epochs)
    plan = reduce(Plan.extended, added, with_single_epochs(planned, model.head))
    at_splits = split_shapes(shapes, model.head)
    chosen = FinetuneConfig(**decided.values)
    counts = {name: len(part) for name, part in source.parts.items()}
    caching = choose_caching(chosen, plan, at_splits, preprocessing, **counts, budget=budget)
    if caching.views != config.views:
        decided.values["views"] = caching.views
        decided.reasons["views"] = reason_of_views(chosen, plan, caching)
    search, reason = default_lr_search(config, plan, model.head, caching.splits, images)
    decided("lr", (1.0 if search else USUAL_LR, reason))
    settings = ResolvedSettings(
        **decided.values,
        lr_search=search,
        split_points=tuple(map(partial(_place, plan), caching.splits)),
        reasons=decided.reasons,
    )
    lacking = _lacking(chosen, source, plan, model.head, caching)
    usual = {**decided.usual, "views": caching.views}
    if config.augment == "none":  # images as they are: the one view gives what was asked for
        usual["augment"] = "none"
    elif Need.VIEWS in lacking and config.augment != "auto":
        usual["augment"], _ = default_augment(source.parts["train"], preprocessing)
    return Resolution(settings, strategy, plan, at_splits, caching, tuple(idle(config, lacking, usual)))


def _lacking(config: FinetuneConfig, source: Source, plan: Plan, head: nn.Module, caching: Caching) -> set[Need]:
    """The needs of settings that a run does not have; `config` has no open setting."""
    rules = [rule for phase in plan.phases for rule in phase.rules[:-1] if rule.trainable]
    depths = [plan.frozen_depth(phase) for phase in plan.phases]
    stepping = [number for number, phase in enumerate(plan.phases) if not only_solved(plan, phase, head)]
    read_again = None in caching.splits and plan.epochs > 1
    has = {
        Need.SPLIT: source.split.get("kind") != "given",
        Need.STEPS: bool(stepping),
        Need.VALIDATION: "val" in source.parts,
        Need.MEASURED: "val" in source.parts or "test" in source.parts,
        Need.VIEWS: bool(stepping) and caching.views != 1,
        Need.TRAINED_STAGES: any(depth < len(plan.stages) for depth in depths),
        Need.KEPT_ACTIVATIONS: not config.gradient_checkpointing,
        Need.TRAINED_WEIGHTS: any(rule.parameters != "added" for rule in rules),
        Need.CACHED_FEATURES: caching.views > 0,
        Need.CACHE: read_again or (any(depths) and config.views != 0),
        Need.MAPS: any((split := caching.splits[number]) is None or not split.pooled for number in stepping),
    }
    return {need for need, is_there in has.items() if not is_there}


class _Decisions:
    """The values of all settings, of which the open ones are decided one by one, and the reasons."""

    def __init__(self, config: FinetuneConfig) -> None:
        self.values: dict[str, Any] = {one.name: getattr(config, one.name) for one in fields(FinetuneConfig)}
        self.reasons: dict[str, str] = {}
        self.usual: dict[str, Any] = {}
        """The values that zoo would choose, also of settings that somebody gave."""

    def __call__(self, name: str, choice: tuple[Any, str]) -> Any:
        """The value of a setting: the given one, or else that of a choice and its reason."""
        self.usual[name] = choice[0]
        if self.values[name] in (None, "auto"):
            self.values[name], self.reasons[name] = choice
        return self.values[name]


def _place(plan: Plan, split: SplitPoint | None) -> str:
    """A split point in words: "layer3", "layer4 pooled", or "none"."""
    if split is None:
        return "none"
    return plan.stages[split.stages - 1] + (" pooled" if split.pooled else "")
