"""A fine-tune made ready: all that a config names is chosen, checked and loaded, so that it can be shown, then run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo_core.catalog import Catalog, Choice, attributing_errors
from zoo_core.data.classes import check_classes
from zoo_core.data.findings import findings
from zoo_core.data.folders import read_folders
from zoo_core.data.memory import open_in_memory
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Source
from zoo_core.data.tables import read_table
from zoo_core.devices.find import find_device
from zoo_core.devices.precision import resolve_precision
from zoo_core.errors import UsageError, brief
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import Caching, cache_budget, choose_caching
from zoo_core.frozen.split import SplitPoint, split_shapes
from zoo_core.model.adapt import Merge, adapt, make_plan
from zoo_core.model.assemble import (
    Model,
    build_head_for,
    count_parameters,
    stage_shapes,
    trainable_parameters,
)
from zoo_core.model.chain import Chain
from zoo_core.runs.directory import now, provider
from zoo_core.runs.schema import DataFacts, Provided, RunFacts
from zoo_core.settings import IN_MEMORY, FinetuneConfig, TaskChoice
from zoo_core.specs import BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec, Preprocessing, resolve
from zoo_core.streaming.open import open_streaming_dataset
from zoo_core.tasks.objective import check_loss, check_task
from zoo_core.training.defaults import FEW_EPOCHS, fill_in_defaults
from zoo_core.training.solve import check_step_settings, with_single_epochs
from zoo_core.version import __version__
from zoo_core.weights.resolve import InitialWeights, load_backbone, resolve_weights


@dataclass(frozen=True)
class Job:
    """Everything a fine-tune needs, checked and loaded; nothing is trained or written yet.

    `shapes` are those of one image at each place where the model may be cut, `caching` what will be kept there.
    """

    config: FinetuneConfig
    backbone: Choice[BackboneSpec]
    head: Choice[HeadSpec]
    strategy: Choice[FreezeSpec]
    plan: Plan
    source: Source
    preprocessing: Preprocessing
    start: InitialWeights
    dropped: tuple[str, ...]
    findings: tuple[str, ...]
    model: Model
    shapes: dict[SplitPoint, tuple[int, ...]]
    caching: Caching
    merge: Merge | None
    device: torch.device

    def trainable_count(self, phase: int) -> int:
        """How many parameters learn in a phase, head included."""
        rules = self.plan.rules(self.plan.phases[phase])
        return sum(p.numel() for part, rule in rules.items() for p in trainable_parameters(self.model.part(part), rule))

    def within(self, budget: int) -> Job:
        """The job with what may be kept in so many bytes."""
        chosen = _caching(self.config, self.plan, self.shapes, self.preprocessing, self.source, budget)
        return replace(self, caching=chosen)

    def facts(self) -> RunFacts:
        """What decides the result, to be written down."""
        parts = self.source.parts
        return RunFacts(
            created=now(),
            zoo_core=__version__,
            torch=torch.__version__,
            config=self.config,
            backbone=Provided(**provider(self.backbone)),
            head=Provided(**provider(self.head)),
            strategy=Provided(**provider(self.strategy)),
            start=self.start.facts(),
            classes=self.source.classes,
            preprocessing=self.preprocessing,
            data=DataFacts(
                title=self.source.title,
                images={name: len(part) for name, part in parts.items()},
                digests={name: part.digest() for name, part in parts.items()},
                split=self.source.split,
                skipped=self.source.skipped,
                findings=self.findings,
            ),
            plan=self.plan.to_dict(),
            task=self.source.task,
        )


def prepare(config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None) -> Job:
    """Choose, check and load everything that a config names; `watch` is told how many images are looked at.

    Raises UsageError for what the config gets wrong, DataError and WeightsError for what it finds.
    """
    backbone = catalog.backbone(config.backbone)
    head = catalog.head(config.head)
    device = find_device(config.device)
    source = open_dataset(config.data, catalog, config.task, watch)
    if not isinstance(config.data, str):
        config = replace(config, data=source.title)
    check_task(source.task, head, catalog, label_smoothing=config.label_smoothing)
    source = scan_images(source, bad_images=config.bad_images, watch=watch)
    source = source.with_validation(share=config.val_share, seed=config.seed)
    if config.strategy != "auto":  # a wrong one ends before a download
        make_plan(catalog.strategy(config.strategy), backbone.spec.stages, config.epochs or FEW_EPOCHS)
    start = resolve_weights(backbone, config.weights)
    if start.local is not None:
        start.local.begin_sha256()
    preprocessing = sized(start.preprocessing, config.size, backbone.spec)
    torch.manual_seed(config.seed)
    base, dropped = load_backbone(backbone, start)
    train, parameters = source.parts["train"], count_parameters(base)
    config = fill_in_defaults(
        config, backbone.spec, train, preprocessing, parameters=parameters, pretrained=start.pretrained
    )
    config = replace(config, precision=resolve_precision(config.precision, device))
    strategy = catalog.strategy(config.strategy)
    planned = make_plan(strategy, backbone.spec.stages, config.epochs or FEW_EPOCHS)
    outputs = len(source.classes)
    model = Model(base, build_head_for(base, backbone, head, preprocessing, num_outputs=outputs, task=source.task))
    check_loss(model.head, label_smoothing=config.label_smoothing)
    check_step_settings(planned, model.head, config)
    plan = with_single_epochs(planned, model.head)
    shapes = shapes_at_splits(base, model.head, preprocessing)
    caching = _caching(config, plan, shapes, preprocessing, source, cache_budget(config.cache_gb))
    merge = adapt(strategy, base, plan)  # after the head: its first weights are the same under every strategy
    return Job(
        config=config,
        backbone=backbone,
        head=head,
        strategy=strategy,
        plan=plan,
        source=source,
        preprocessing=preprocessing,
        start=start,
        dropped=dropped,
        findings=findings(source),
        model=model.to(device),
        shapes=shapes,
        caching=caching,
        merge=merge,
        device=device,
    )


def _caching(
    config: FinetuneConfig,
    plan: Plan,
    shapes: Mapping[SplitPoint, tuple[int, ...]],
    preprocessing: Preprocessing,
    source: Source,
    budget: int,
) -> Caching:
    train, val = (len(source.parts[name]) for name in ("train", "val"))
    return choose_caching(config, plan, shapes, preprocessing, train=train, val=val, budget=budget)


def shapes_at_splits(base: Chain, head: nn.Module, preprocessing: Preprocessing) -> dict[SplitPoint, tuple[int, ...]]:
    """The shape of one image at each place where the model may be cut. Nothing is computed."""
    return split_shapes(list(stage_shapes(base, preprocessing.channels, preprocessing.size).values()), head)


def open_dataset(data: Any, catalog: Catalog, task: TaskChoice = "auto", watch: Watch | None = None) -> Source:
    """A bundled or plugged-in data set by its name, one of the Hub, tar shards, a CSV file, a folder, or data in memory.

    `watch` is told how many shards are looked at. Raises UsageError for another task.
    """
    data = str(data) if isinstance(data, Path) else data
    if not isinstance(data, str):
        return open_in_memory(data, task, watch)
    if data.startswith(IN_MEMORY):
        raise UsageError(
            "the images of this run were handed over by a program, and no path leads to them. Give them again: "
            "zoo_core.resume(run, data=...) or zoo_core.evaluate_run(run, data=...); `zoo evaluate --data` takes others."
        )
    path = Path(data).expanduser()
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
    return read_folders(Path(data).expanduser())


def sized(preprocessing: Preprocessing, size: int | None, spec: BackboneSpec) -> Preprocessing:
    """The preprocessing at the size asked for. Raises UsageError when the backbone cannot take it."""
    if size is None:
        return preprocessing
    if size < spec.min_size:
        raise UsageError(f"'{spec.name}' needs images of at least {spec.min_size} pixels, and --image-size is {size}.")
    return replace(preprocessing, size=size)
