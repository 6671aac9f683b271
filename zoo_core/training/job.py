"""A fine-tune before its training: chosen, checked, loaded and decided, so that it can be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from zoo_core.catalog import Catalog, Choice, attributing_errors
from zoo_core.data.arrange import arranged
from zoo_core.data.augmentation import Augmentation, augmentation_named, with_augmentation
from zoo_core.data.classes import check_classes
from zoo_core.data.findings import findings
from zoo_core.data.fix_list import with_fix_list
from zoo_core.data.folders import read_folders
from zoo_core.data.memory import open_in_memory
from zoo_core.data.places import short_title, with_places
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Source
from zoo_core.data.tables import read_table
from zoo_core.devices.find import find_device
from zoo_core.devices.world import World
from zoo_core.errors import UsageError, brief
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import Caching, cache_budget
from zoo_core.frozen.split import SplitPoint
from zoo_core.model.adapt import Merge, adapt, make_plan
from zoo_core.model.assemble import Model, build_head_for, build_network, trainable_parameters
from zoo_core.paths import user_path
from zoo_core.runs.directory import now, provider
from zoo_core.runs.schema import DataFacts, Provided, RunFacts
from zoo_core.settings import IN_MEMORY, Decision, FinetuneConfig, FitChoice, ResolvedSettings, TaskChoice
from zoo_core.specs import BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec, resolve
from zoo_core.streaming.open import open_streaming_dataset
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import ChosenMetric, chosen_metric
from zoo_core.tasks.objective import check_loss, check_task, own_loss
from zoo_core.training.autotune import autotune
from zoo_core.training.balance import balance_in_words, check_balance
from zoo_core.training.baseline import check_baseline
from zoo_core.training.defaults import FEW_EPOCHS
from zoo_core.training.prospects import prospects
from zoo_core.training.resolve import resolve_settings
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
            ),
            balance=self.balance,
            plan=self.plan.to_dict(),
            task=self.source.task,
            decisions=self.decisions,
            split_points=self.settings.split_points,
            views=self.settings.views,
        )


def prepare(
    config: FinetuneConfig,
    catalog: Catalog,
    watch: Watch | None = None,
    world: World | None = None,
    *,
    split_kind: str | None = None,
    stand_in: bool = False,
) -> Job:
    """Choose, check and load everything that a config names, and decide what it leaves open.

    `watch` is told how many images were inspected. `world` holds the processes that train together:
    all of them prepare, and decide the same. `split_kind` is the kind of a resumed run's split.
    With `stand_in` the job is for a plan alone, and random weights stand for those of a tag.

    Raises UsageError for a wrong setting, DataError and WeightsError for wrong files.
    """
    world = world or World()
    backbone = catalog.backbone(config.backbone)
    head = catalog.head(config.head)
    device = find_device(config.device)
    config, augmentation = with_augmentation(config, catalog)
    _check_design(backbone, head, config)
    source = open_configured(config, catalog, watch)
    config = with_places(config, [ref.tag for ref in backbone.spec.weights])
    if not isinstance(config.data, str):
        config = replace(config, data=source.title)
    check_task(source.task, head, catalog, label_smoothing=config.label_smoothing)
    metric = chosen_metric(config.metric, source.task, task_named(source.task).metric, catalog)
    source = scan_images(source, bad_images=config.bad_images, watch=watch)
    source = arranged(source, config, split_kind)
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
    outputs = len(source.classes)
    model = Model(base, build_head_for(base, backbone, head, preprocessing, num_outputs=outputs, task=source.task))
    check_loss(model.head, label_smoothing=config.label_smoothing)
    check_balance(config.balance, task_named(source.task), has_own_loss=own_loss(model.head) is not None)
    resolved = resolve_settings(
        config,
        catalog,
        model,
        backbone=backbone.spec,
        source=source,
        preprocessing=preprocessing,
        pretrained=start.pretrained,
        device=device,
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
        notes=(*outlook, *resolved.notes),
        model=model.to(device),
        shapes=resolved.shapes,
        caching=resolved.caching,
        merge=merge,
        metric=metric,
        device=device,
        world=world,
    )
    return autotune(job)


def _check_design(backbone: Choice[BackboneSpec], head: Choice[HeadSpec], config: FinetuneConfig) -> None:
    """Raise PluginError, before any image is opened, when backbone or head do not put out what
    their specs promise."""
    ref = named_weights(backbone.spec, config.weights)
    preprocessing = fitted(ref.preprocessing if ref else backbone.spec.preprocessing, config, backbone.spec)
    base, _ = build_shapes(lambda: build_network(backbone)).split()
    task = head.spec.tasks[0]
    build_shapes(lambda: build_head_for(base, backbone, head, preprocessing, num_outputs=2, task=task))


def open_configured(config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None) -> Source:
    """The data of a config, as its fix list leaves them; raises as `open_dataset`."""
    return with_fix_list(open_dataset(config.data, catalog, config.task, watch), config.fix_list)


def open_dataset(data: Any, catalog: Catalog, task: TaskChoice = "auto", watch: Watch | None = None) -> Source:
    """A bundled or plugged-in data set by its name, one of the Hub, tar shards, a CSV file, a
    folder, or data in memory.

    `watch` is told how many shards are looked at. Raises UsageError for another task.
    """
    data = str(data) if isinstance(data, Path) else data
    if not isinstance(data, str):
        return open_in_memory(data, task, watch)
    if data.startswith(IN_MEMORY):
        raise UsageError(
            "the images of this run were handed over by a program, and no path leads to them. Give them again: "
            "zoo_core.resume(run, data=...) or zoo_core.evaluate_run(run, data=...). `--data` takes others."
        )
    path = user_path(data)
    if path.suffix.lower() == ".csv":
        return read_table(path, task)
    source = open_streaming_dataset(data, task, watch) or _named_or_folder(data, catalog)
    if task not in ("auto", source.task):
        raise UsageError(f"{data} is for {source.task}. A CSV file can hold the targets for {task}: docs/data.md.")
    return source


def _named_or_folder(data: str, catalog: Catalog) -> Source:
    known = {entry.spec.name for entry in catalog.entries(DatasetSpec)}
    if data.split(":")[-1] in known and not Path(data).exists():
        choice = catalog.dataset(data)
        load = resolve(choice.spec.load)
        with attributing_errors(choice.entry):
            source = load()
            if not isinstance(source, Source):
                raise TypeError(f"it gave {brief(source)}, not a Source")
        check_classes(source.classes, f"the data set '{data}'")
        return source
    if not Path(data).exists() and "/" not in data and "\\" not in data:
        raise UsageError(
            f"There is no folder and no data set '{data}'. Give a folder with one folder of images for each class, "
            f"a CSV file that names images, or one of: {', '.join(sorted(known))}."
        )
    return read_folders(user_path(data))


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
