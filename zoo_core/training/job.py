"""A fine-tune before its training: chosen, checked, loaded and decided, so that it can be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from zoo_core.catalog import Catalog, Choice
from zoo_core.data.arrange import arranged
from zoo_core.data.augmentation import Augmentation, augmentation_named, with_augmentation
from zoo_core.data.findings import findings
from zoo_core.data.groups import group_counts, groups_in_words
from zoo_core.data.parts import EarlierSplit
from zoo_core.data.places import short_title, with_places
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Source
from zoo_core.devices.find import find_device
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.proof import placed
from zoo_core.devices.world import World
from zoo_core.errors import UsageError
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import Caching, cache_budget
from zoo_core.frozen.split import SplitPoint
from zoo_core.model.adapt import Merge, adapt, make_plan
from zoo_core.model.assemble import Model, build_head_for, build_network, split_base, trainable_parameters
from zoo_core.model.shapes import StageShapes, stage_shapes
from zoo_core.result_specs import TrackerSpec
from zoo_core.runs.directory import now, provider
from zoo_core.runs.schema import DataFacts, Provided, RunFacts
from zoo_core.settings import Decision, FinetuneConfig, FitChoice, ResolvedSettings
from zoo_core.specs import BackboneSpec, FreezeSpec, HeadSpec
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import ChosenMetric, chosen_metric
from zoo_core.tasks.losses import chosen_loss_in_words, focal_gamma
from zoo_core.tasks.objective import check_loss, check_task, own_loss
from zoo_core.training.autotune import autotune
from zoo_core.training.balance import balance_in_words, check_balance
from zoo_core.training.baseline import check_baseline
from zoo_core.training.defaults import FEW_EPOCHS
from zoo_core.training.known import KnownRun, open_known
from zoo_core.training.opening import open_configured, others_named
from zoo_core.training.prospects import prospects
from zoo_core.training.resolve import resolve_settings
from zoo_core.training.tracking import trackers_named
from zoo_core.version import __version__
from zoo_core.weights.load import build_shapes
from zoo_core.weights.resolve import InitialWeights, load_backbone, named_weights, resolve_weights
from zoo_core.weights_specs import Preprocessing


@dataclass(frozen=True)
class Job:
    """Everything that a fine-tune needs; nothing is trained or written yet.

    `config` holds the settings as somebody asked for them, `settings` all of them with a value, and
    `decisions` those that zoo decided, with the reasons. `shapes` are those of one image's features
    at each split point, `caching` names the split points and views that are cached. `notes` are
    sentences on poor prospects and on settings without effect, for the user alone.
    """

    config: FinetuneConfig
    settings: ResolvedSettings
    decisions: Mapping[str, Decision]
    backbone: Choice[BackboneSpec]
    head: Choice[HeadSpec]
    strategy: Choice[FreezeSpec]
    plan: Plan
    source: Source
    preprocessing: Preprocessing
    augmentation: Augmentation
    start: InitialWeights
    dropped: tuple[str, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    model: Model
    shapes: dict[SplitPoint, tuple[int, ...]]
    caching: Caching
    merge: Merge | None
    metric: ChosenMetric | None
    """The metric that somebody chose to count, None: the task's own."""
    device: torch.device
    world: World = field(default_factory=World)
    trackers: tuple[Choice[TrackerSpec], ...] = ()
    others: Mapping[str, tuple[Choice[Any], ...]] = field(default_factory=dict)
    """The data set, the metric and the trackers that settings name, by setting."""
    known: KnownRun | None = None
    """The run whose weights and rows of the head this training starts from."""

    def trainable_count(self, phase: int) -> int:
        """The number of trainable parameters in a phase, those of the head included."""
        rules = self.plan.rules(self.plan.phases[phase])
        return sum(p.numel() for part, rule in rules.items() for p in trainable_parameters(self.model.part(part), rule))

    @property
    def balance(self) -> str | None:
        """The balance of uneven classes in words, None where nothing is balanced."""
        if self.config.balance == "none":
            return None
        return balance_in_words(self.config.balance, self.source.parts["train"], self.source.classes)

    @property
    def loss(self) -> str | None:
        """The focal loss in words, None where the loss is the usual one."""
        return chosen_loss_in_words(self.config.loss)

    @property
    def groups(self) -> str | None:
        """The groups of images and how they were dealt, in words; None without groups."""
        images = {name: len(part) for name, part in self.source.parts.items()}
        return groups_in_words(group_counts(self.source), images, self.config.group_by)

    def facts(self) -> RunFacts:
        """Everything that decides the result, for config.json."""
        parts = self.source.parts
        return RunFacts(
            created=now(),
            zoo_core=__version__,
            torch=torch.__version__,
            config=self.settings.as_config(self.config),
            backbone=Provided(**provider(self.backbone)),
            head=Provided(**provider(self.head)),
            strategy=Provided(**provider(self.strategy)),
            start=self.start.facts(),
            classes=self.source.classes,
            preprocessing=self.preprocessing,
            augmentations=tuple(Provided(**provider(one)) for one in self.augmentation.choices),
            data=DataFacts(
                title=short_title(self.source.title),
                images={name: len(part) for name, part in parts.items()},
                digests={name: part.digest() for name, part in parts.items()},
                split=self.source.split,
                skipped=self.source.skipped,
                findings=self.findings,
                groups=group_counts(self.source),
            ),
            head_rows=None if self.known is None else self.known.rows,
            balance=self.balance,
            provided={name: tuple(Provided(**provider(one)) for one in parts) for name, parts in self.others.items()},
            plan=self.plan.to_dict(),
            task=self.source.task,
            decisions=self.decisions,
            split_points=self.settings.split_points,
            views=self.settings.views,
            threads=None if kind_of(self.device).is_accelerator else self.settings.threads,
        )


def prepare(
    config: FinetuneConfig,
    catalog: Catalog,
    watch: Watch | None = None,
    world: World | None = None,
    *,
    earlier: EarlierSplit | None = None,
    added: Sequence[int] = (),
    stand_in: bool = False,
) -> Job:
    """Choose, check and load everything that a config names, and decide what it leaves open.

    `watch` is told how many images were inspected. `world` holds the processes that train together:
    all of them prepare, and decide the same. `earlier` is the split of a resumed run, and `added`
    the epochs by which it was trained further. With `stand_in` the job is for a plan alone, and
    random weights stand for those of a tag.

    Raises UsageError for a wrong setting, DataError and WeightsError for wrong files.
    """
    world = world or World()
    backbone = catalog.backbone(config.backbone)
    head = catalog.head(config.head)
    config, known = open_known(config, head)
    device = find_device(config.device)
    config, augmentation = with_augmentation(config, catalog)
    gamma = focal_gamma(config.loss)
    trackers = trackers_named(config.track, catalog)
    usual, shapes = _check_design(backbone, head, config)
    source = open_configured(config, catalog, watch)
    config = with_places(config, [ref.tag for ref in backbone.spec.weights])
    if not isinstance(config.data, str):
        config = replace(config, data=source.title)
    check_task(source.task, head, catalog, label_smoothing=config.label_smoothing, gamma=gamma)
    metric = chosen_metric(config.metric, source.task, task_named(source.task).metric, catalog)
    source = scan_images(source, bad_images=config.bad_images, watch=watch)
    source = arranged(source, config, earlier)
    if metric is not None:
        check_baseline(metric, source)
    if config.strategy != "auto":  # a wrong one ends before a download
        make_plan(catalog.strategy(config.strategy), backbone.spec.stages, config.epochs or FEW_EPOCHS)
    start = resolve_weights(backbone, config.weights, stand_in=stand_in)
    if start.local is not None:
        start.local.begin_sha256()
    preprocessing = fitted(start.preprocessing, config, backbone.spec)
    torch.manual_seed(config.seed)
    base, dropped = load_backbone(backbone, start)
    if (preprocessing.channels, preprocessing.size) != (usual.channels, usual.size):
        shapes = stage_shapes(base, preprocessing.channels, preprocessing.size)

    def build(outputs: int) -> nn.Module:
        return build_head_for(shapes, backbone, head, num_outputs=outputs, task=source.task)

    model = Model(base, build(len(source.classes)))
    if known is not None:
        known = known.of(source.classes, source.task).with_held_out(catalog, world)
        known.keep_rows(model.head, build)
    check_loss(model.head, label_smoothing=config.label_smoothing, gamma=gamma)
    check_balance(config.balance, task_named(source.task), has_own_loss=own_loss(model.head) is not None)
    resolved = resolve_settings(
        config,
        catalog,
        model,
        backbone=backbone.spec,
        source=source,
        preprocessing=preprocessing,
        shapes=shapes,
        pretrained=start.pretrained,
        device=device,
        added=added,
        # Of the machines that train together the one with the smallest disk decides.
        budget=min(world.all_gather_object(cache_budget(config.cache_gb))),
    )
    train, pretrained = source.parts["train"], start.pretrained
    outlook = prospects(backbone.spec, base, resolved.plan, train, preprocessing, catalog, pretrained=pretrained)
    # After the head: its initial weights are the same under every strategy.
    merge = adapt(resolved.strategy, base, resolved.plan)
    job = Job(
        config=config,
        settings=resolved.settings,
        decisions=resolved.settings.decisions,
        backbone=backbone,
        head=head,
        strategy=resolved.strategy,
        plan=resolved.plan,
        source=source,
        preprocessing=preprocessing,
        augmentation=augmentation or augmentation_named(resolved.settings.augment, catalog),
        start=start,
        dropped=dropped,
        findings=findings(source),
        notes=(*outlook, *resolved.notes, *([known.note] if known else [])),
        model=placed(model, device, preprocessing, str(backbone)),
        shapes=resolved.shapes,
        caching=resolved.caching,
        merge=merge,
        metric=metric,
        device=device,
        world=world,
        trackers=trackers,
        others=others_named(config, catalog, trackers),
        known=known,
    )
    return autotune(job)


def _check_design(
    backbone: Choice[BackboneSpec], head: Choice[HeadSpec], config: FinetuneConfig
) -> tuple[Preprocessing, StageShapes]:
    """Raise PluginError, before any image is opened, when backbone or head do not put out what
    their specs promise; return the preprocessing that they promise and the shapes with it."""
    ref = named_weights(backbone.spec, config.weights)
    preprocessing = fitted(ref.preprocessing if ref else backbone.spec.preprocessing, config, backbone.spec)
    base, _ = split_base(build_shapes(lambda: build_network(backbone)), backbone)
    shapes = stage_shapes(base, preprocessing.channels, preprocessing.size)
    build_shapes(lambda: build_head_for(shapes, backbone, head, num_outputs=2, task=head.spec.tasks[0]))
    return preprocessing, shapes


def fitted(preprocessing: Preprocessing, config: FinetuneConfig, spec: BackboneSpec) -> Preprocessing:
    """The preprocessing at the size and with the fit asked for. Raises UsageError when the backbone
    cannot take the size."""
    size = config.size
    if size is not None:
        if not spec.takes_size(size):
            nearest = _nearest(spec, size)
            raise UsageError(f"'{spec.name}' needs images {spec.sizes}, and --image-size is {size}.{nearest}")
        preprocessing = replace(preprocessing, size=size)
    return with_fit(preprocessing, config.fit)


def with_fit(preprocessing: Preprocessing, fit: FitChoice) -> Preprocessing:
    """The preprocessing with another fit. An image that is to be seen whole is not cropped after
    its resizing either."""
    if fit == "auto" or fit == preprocessing.fit:
        return preprocessing
    return replace(preprocessing, fit=fit, crop=preprocessing.crop if fit == "crop" else 1.0)


def _nearest(spec: BackboneSpec, size: int) -> str:
    """The nearest sizes that the network takes, where a size is no multiple of its step."""
    if not spec.size_step or spec.size_step == 1 or size < spec.min_size:
        return ""
    below = size - size % spec.size_step
    nearest = [str(one) for one in (below, below + spec.size_step) if spec.takes_size(one)]
    return f" The nearest: {' and '.join(nearest)}."
