"""The plan of a training and its cost, before any training: from the facts of a backbone, or of a job with images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from zoo_core.catalog import Catalog
from zoo_core.data.groups import group_counts
from zoo_core.data.scan import Watch
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.split import SplitPoint, split_shapes
from zoo_core.frozen.storage_types import item_bytes
from zoo_core.model.adapt import adapt, make_plan
from zoo_core.model.assemble import build_head_for, build_network, count_parameters, split_base, trainable_parameters
from zoo_core.model.chain import Chain
from zoo_core.model.shapes import stage_shapes
from zoo_core.model.solvers import Solvable
from zoo_core.settings import Decision, FinetuneConfig, LrSearch
from zoo_core.training.defaults import (
    ENOUGH_A_CLASS,
    ENOUGH_IMAGES,
    ENOUGH_SMALL,
    ENOUGH_SMALL_A_CLASS,
    FEW_EPOCHS,
    FEWEST_FOR_TRIALS,
    MANY_EPOCHS,
    PARAMETERS_PER_IMAGE,
    USUAL_LR,
    default_base_lr,
    default_lr_search,
    default_strategy,
)
from zoo_core.training.estimate import Estimate, estimate
from zoo_core.training.job import fitted, prepare
from zoo_core.training.known import open_known
from zoo_core.training.schedule import Rates
from zoo_core.training.solve import with_single_epochs
from zoo_core.weights.load import build_shapes
from zoo_core.weights.resolve import resolve_weights


@dataclass(frozen=True)
class Planned:
    """A plan with its cost, phase by phase.

    `rates` are the peak learning rates of stages and head; shares of the one to be
    found where there is an `lr_search`. `trained` counts the backbone's trained parameters, `parameters`
    all of them. `bytes_cached` are those of one view of an image at the split point, 0 where no
    features are cached.
    """

    backbone: str
    strategy: str
    plan: Plan
    rates: tuple[dict[str, float], ...]
    lr_search: LrSearch
    trained: tuple[int, ...]
    bytes_cached: tuple[int, ...]
    parameters: int
    estimates: list[Estimate] | None = None
    decisions: Mapping[str, Decision] | None = None
    notes: tuple[str, ...] = ()
    groups: Mapping[str, int] | None = None
    """The number of groups of images in each part; None where images have none."""
    groups_in_words: str | None = None
    augment: str | None = None
    """The augmentation of the images, None where no images were given."""


def plan_for_images(
    config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None, *, sample: Path | None = None
) -> Planned:
    """The plan of a training on the images of `config`, with estimates for this machine.

    No weights are fetched. Images are drawn to the PNG file `sample`, as the network will see them.
    """
    job = prepare(config, catalog, watch, stand_in=True)
    if sample is not None:
        from zoo_core.training.sample_picture import draw_sample  # matplotlib waits until there is something to draw

        draw_sample(sample, job)
    settings, plan = job.settings, job.plan
    base = job.model.backbone
    return Planned(
        backbone=str(job.backbone),
        strategy=str(job.strategy),
        plan=plan,
        rates=tuple(Rates.of(settings.lr, settings.base_lr, plan, phase).by_part for phase in plan.phases),
        lr_search=settings.lr_search,
        trained=_trained(base, plan),
        bytes_cached=_bytes_cached(config, job.shapes, job.caching.splits),
        parameters=count_parameters(base),
        estimates=estimate(job),
        decisions=job.decisions,
        notes=job.notes,
        groups=group_counts(job.source) or None,
        groups_in_words=job.groups,
        augment=settings.augment,
    )


def plan_without_images(config: FinetuneConfig, catalog: Catalog) -> Planned:
    """The plan of a training whose images are not known: where their number decides, they are taken to be few."""
    backbone, choice = catalog.backbone(config.backbone), catalog.head(config.head)
    config, _ = open_known(config, choice)
    start = resolve_weights(backbone, config.weights, stand_in=True)
    preprocessing = fitted(start.preprocessing, config, backbone.spec)
    base, _ = split_base(build_shapes(lambda: build_network(backbone)), backbone)
    of_stages = stage_shapes(base, preprocessing.channels, preprocessing.size)
    task = choice.spec.tasks[0]  # neither the task nor the number of outputs changes the plan
    head = build_shapes(lambda: build_head_for(of_stages, backbone, choice, num_outputs=2, task=task))
    shapes = split_shapes(of_stages, head)
    parameters = count_parameters(base)
    name, notes = config.strategy, []
    if name == "auto":
        name, _ = default_strategy(0, parameters, pretrained=start.pretrained)
        more, _ = default_strategy(
            ENOUGH_IMAGES,
            parameters,
            pretrained=start.pretrained,
            stages=len(backbone.spec.stages),
            only_head="it is solved" if isinstance(head, Solvable) else "",
        )
        enough = -(-parameters // PARAMETERS_PER_IMAGE)
        if start.pretrained:
            is_between = more != name and enough > ENOUGH_IMAGES
            many = f"{more} with at least {ENOUGH_IMAGES:,}, {ENOUGH_A_CLASS} a class, where a CPU affords it, and "
            between = many if is_between else ""
            small = (
                ""
                if isinstance(head, Solvable)
                else f", or {ENOUGH_SMALL} of few pixels, {ENOUGH_SMALL_A_CLASS} a class"
            )
            notes.append(
                f"--strategy auto is {name} here, {between}full with at least {enough:,} training images{small}."
            )
    strategy = catalog.strategy(name)
    epochs = config.epochs or (MANY_EPOCHS if strategy.spec.name == "head-only" else FEW_EPOCHS)
    plan = with_single_epochs(make_plan(strategy, backbone.spec.stages, epochs), head)
    depths = [plan.frozen_depth(phase) for phase in plan.phases]
    cached = config.views != 0 and config.cache_gb > 0
    splits = [max((one for one in shapes if cached and one.stages <= depth), default=None) for depth in depths]
    adapt(strategy, base, plan)
    base_lr = config.base_lr or default_base_lr(0, parameters, pretrained=start.pretrained)[0]
    search, _ = default_lr_search(config, plan, head, splits, FEWEST_FOR_TRIALS)
    lr = 1.0 if search else float(config.lr or USUAL_LR)
    return Planned(
        backbone=str(backbone),
        strategy=str(strategy),
        plan=plan,
        rates=tuple(Rates.of(lr, base_lr, plan, phase).by_part for phase in plan.phases),
        lr_search=search,
        trained=_trained(base, plan),
        bytes_cached=_bytes_cached(config, shapes, splits),
        parameters=parameters,
        notes=tuple(notes),
    )


def _trained(base: Chain, plan: Plan) -> tuple[int, ...]:
    """The number of the backbone's trained parameters in each phase."""
    return tuple(
        sum(
            parameter.numel()
            for name, rule in zip(plan.stages, phase.rules, strict=False)
            for parameter in trainable_parameters(base.stage(name), rule)
        )
        for phase in plan.phases
    )


def _bytes_cached(
    config: FinetuneConfig, shapes: Mapping[SplitPoint, tuple[int, ...]], splits: Iterable[SplitPoint | None]
) -> tuple[int, ...]:
    """The bytes of one view's features at the split point of each phase."""
    return tuple(0 if split is None else item_bytes(config.cache_dtype) * prod(shapes[split]) for split in splits)
