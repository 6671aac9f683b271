"""A fine-tune from config to run directory: prepared first, so that it can be shown, then run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from zoo_core.catalog import Catalog, Choice, blaming
from zoo_core.config import FinetuneConfig
from zoo_core.data.batches import Batches, default_workers
from zoo_core.data.classes import check_classes
from zoo_core.data.findings import findings
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import Watch, check_images
from zoo_core.data.sources import Part, PartName, Source
from zoo_core.errors import UsageError, short
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model, build_head, learning_parameters
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import CONFUSION, CURVES, RunWriter, now, provider
from zoo_core.runs.schema import DataFacts, Provided, RunFacts, StartFacts
from zoo_core.specs import BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec, Preprocessing, resolve
from zoo_core.training.evaluate import evaluate
from zoo_core.training.loop import EpochReport, Loop, Trained, Watcher
from zoo_core.training.metrics import Evaluation
from zoo_core.version import __version__
from zoo_core.weights.choose import Start, choose_start, load_base


@dataclass(frozen=True)
class Result:
    """What came out of a run. `part` is the one that `evaluation` was measured on: "test" when the data has it."""

    directory: Path
    trained: Trained
    evaluation: Evaluation
    part: str


@dataclass(frozen=True)
class Job:
    """Everything a fine-tune needs, checked and loaded; nothing is trained or written yet."""

    config: FinetuneConfig
    backbone: Choice[BackboneSpec]
    head: Choice[HeadSpec]
    strategy: Choice[FreezeSpec]
    plan: Plan
    source: Source
    preprocessing: Preprocessing
    start: Start
    dropped: tuple[str, ...]
    findings: tuple[str, ...]
    model: Model
    device: torch.device

    def batches(self, part: Part) -> Batches:
        return Batches(part, self.preprocessing, self.config.batch_size, self.config.workers or default_workers())

    def learning_count(self, phase: int) -> int:
        """How many parameters learn in a phase, head included."""
        rules = self.plan.rules(self.plan.phases[phase])
        return sum(p.numel() for row, rule in rules.items() for p in learning_parameters(self.model.part(row), rule))

    def run(self, watcher: Watcher) -> Result:
        """Train, evaluate, and write the run directory. Returns what came out."""
        writer = RunWriter.create(self.config.out, f"{self.backbone.spec.name}-{self.strategy.spec.name}")
        try:
            return self._run(watcher, writer)
        except BaseException:
            writer.discard_unless_begun()
            raise

    def _run(self, watcher: Watcher, writer: RunWriter) -> Result:
        from zoo_core.runs.plots import plot_confusion, plot_curves  # matplotlib waits until there is something to draw

        facts = self.facts()
        writer.write_facts(facts)
        val = self.batches(self.source.parts["val"])
        train = self.batches(self.source.parts["train"])
        loop = Loop(self.model, self.plan, self.config, train, val, self.device, self.start.pretrained)
        trained = loop.run(_Recording(watcher, writer))
        part: PartName = "test" if "test" in self.source.parts else "val"
        evaluation = evaluate(self.model, self.batches(self.source.parts[part]), self.device)
        result = Result(writer.directory, trained, evaluation, part)
        writer.write_model(self.model.named_saved())
        plot_curves(writer.directory / CURVES, trained.epochs, trained.best)
        plot_confusion(writer.directory / CONFUSION, evaluation, self.source.classes)
        writer.add_metrics(result_line(result))
        writer.write_card(render_card(facts, result_line(result)))
        return result

    def facts(self) -> RunFacts:
        """What decides the result, to be written down."""
        local, ref = self.start.local, self.start.ref
        start = None
        if local is not None:
            start = StartFacts(
                tag=self.start.tag,
                source=local.source,
                sha256=local.sha256,
                revision=local.revision,
                data=ref.data if ref else None,
                licence=ref.licence if ref else None,
            )
        parts = self.source.parts
        return RunFacts(
            created=now(),
            zoo_core=__version__,
            torch=torch.__version__,
            config=self.config,
            backbone=Provided(**provider(self.backbone)),
            head=Provided(**provider(self.head)),
            strategy=Provided(**provider(self.strategy)),
            start=start,
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
        )


@dataclass(frozen=True)
class _Recording:
    """Writes each epoch down before whoever watches is told."""

    watcher: Watcher
    writer: RunWriter

    def step(self, epoch: int, step: int, steps: int) -> None:
        self.watcher.step(epoch, step, steps)

    def epoch(self, report: EpochReport) -> None:
        self.writer.add_metrics(report.to_dict())
        self.watcher.epoch(report)


def prepare(config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None) -> Job:
    """Choose, check and load everything that a config names; `watch` is told how many images are looked at.

    Raises UsageError for what the config gets wrong, DataError and WeightsError for what it finds.
    """
    backbone = catalog.backbone(config.backbone)
    head = catalog.head(config.head)
    device = find_device(config.device)
    source = check_images(open_source(config.data, catalog), bad_images=config.bad_images, watch=watch)
    source = source.with_validation(share=config.val_share, seed=config.seed)
    if config.strategy != "auto":
        make_plan(catalog.strategy(config.strategy), backbone.spec, config.epochs)  # a wrong one ends before a download
    start = choose_start(backbone, config.weights)
    strategy = catalog.strategy(
        ("head-only" if start.pretrained else "full") if config.strategy == "auto" else config.strategy
    )
    plan = make_plan(strategy, backbone.spec, config.epochs)
    preprocessing = sized(start.preprocessing, config.size, backbone.spec)
    torch.manual_seed(config.seed)
    base, dropped = load_base(backbone, start)
    model = Model(base, build_head(head, in_channels=backbone.spec.channels, num_outputs=len(source.classes)))
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
        device=device,
    )


def make_plan(strategy: Choice[FreezeSpec], backbone: BackboneSpec, epochs: int) -> Plan:
    """Ask a strategy for its plan over a backbone's stages. Raises PluginError when what comes back is none."""
    function = resolve(strategy.spec.plan)
    with blaming(strategy.entry):
        plan = function(strategy.options, stages=backbone.stages, epochs=epochs)
        if not isinstance(plan, Plan) or plan.stages != backbone.stages or plan.epochs != epochs:
            raise TypeError(f"it gave {short(plan)}, not a Plan of {epochs} epochs for {', '.join(backbone.stages)}")
    return plan


def open_source(data: str, catalog: Catalog) -> Source:
    """A bundled or plugged-in data set by its name, or a folder."""
    known = {entry.spec.name for entry in catalog.entries(DatasetSpec)}
    if data.split(":")[-1] in known and not Path(data).exists():
        choice = catalog.dataset(data)
        load = resolve(choice.spec.load)
        with blaming(choice.entry):
            source = load()
            if not isinstance(source, Source):
                raise TypeError(f"it gave {short(source)}, not a Source")
        check_classes(source.classes, f"the data set '{data}'")
        return source
    if not Path(data).exists() and "/" not in data and "\\" not in data:
        raise UsageError(
            f"There is no folder and no data set '{data}'. Give a folder with one folder of images for each class, "
            f"or one of: {', '.join(sorted(known))}."
        )
    return read_folders(Path(data).expanduser())


def sized(preprocessing: Preprocessing, size: int | None, spec: BackboneSpec) -> Preprocessing:
    """The preprocessing at the size asked for. Raises UsageError when the backbone cannot take it."""
    if size is None:
        return preprocessing
    if size < spec.min_size:
        raise UsageError(f"'{spec.name}' needs images of at least {spec.min_size} pixels, and --size is {size}.")
    return replace(preprocessing, size=size)


def find_device(text: str) -> torch.device:
    """The device that "auto", "cpu", "cuda" or "cuda:N" names. Raises UsageError when it is not there."""
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
    except RuntimeError:
        raise UsageError(f"there is no device '{text}'. Use auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"zoo runs on cpu and cuda, not on '{text}'.")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise UsageError(
            f"the device '{text}' is not here: {count} CUDA devices are visible. Use --device cpu or auto."
        )
    return device


def result_line(result: Result) -> dict[str, object]:
    """The last line of a run's metrics."""
    low, high = result.evaluation.interval
    return {
        "event": "result",
        "part": result.part,
        "images": result.evaluation.images,
        "correct": result.evaluation.correct,
        "accuracy": result.evaluation.accuracy,
        "interval": [low, high],
        "loss": result.evaluation.loss,
        "best_epoch": result.trained.best,
        "seconds": sum(report.seconds for report in result.trained.epochs),
        "confusion": result.evaluation.confusion.tolist(),
    }
