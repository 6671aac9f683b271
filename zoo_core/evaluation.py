"""Evaluation of a run on labelled images, and of which of them the run has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.arrange import arranged
from zoo_core.data.fix_list import NO_FIX_LIST
from zoo_core.data.places import may_change
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Part, PartName, Source
from zoo_core.errors import DataError, UsageError, ZooError, printable
from zoo_core.library import load
from zoo_core.options import listed
from zoo_core.paths import user_path
from zoo_core.runs.images import Digests, digests_of, read_images, short
from zoo_core.runs.notebook_tables import evaluation_html
from zoo_core.runs.provided import as_in_run, counting_metric
from zoo_core.runs.schema import RunFacts
from zoo_core.settings import BadImages
from zoo_core.specs import TaskName
from zoo_core.streaming.practice import practice_set
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import check_measures, measured
from zoo_core.tasks.fitted import calibration_figures
from zoo_core.tasks.metrics import Baseline, Evaluation
from zoo_core.tasks.objective import Objective
from zoo_core.training.opening import open_configured, open_dataset
from zoo_core.wording import quoted

if TYPE_CHECKING:
    from torch import Tensor

PARTS: tuple[PartName, ...] = ("test", "val", "train")
"""The parts in the order in which they are measured: the first that the data have."""


@dataclass(frozen=True)
class Overlap:
    """The measured images that a run was made with: equal by content, whatever their names.

    `train` counts those that it was trained on, `val` those that chose its best epoch. `others` are
    the figures on the rest, None where no image is known, or every image.
    """

    train: int
    val: int
    others: Evaluation | None

    @property
    def known(self) -> int:
        """The number of images that are not new to the run."""
        return self.train + self.val


@dataclass(frozen=True)
class RunEvaluation:
    """The evaluation of a run, and the part of the data that it was measured on.

    `baseline` is the best constant answer: of the run's training images for its own data, else
    of the measured ones. `overlap` says which images the run was made with; None where the run
    has no record of its images.
    """

    evaluation: Evaluation
    baseline: Baseline
    title: str
    part: str
    classes: tuple[str, ...]
    task: TaskName
    overlap: Overlap | None
    skipped: int = 0
    """The number of images that were left out because they cannot be read."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The figures of the metrics that were asked for, of the answers by the run's temperature."""
    calibration: Mapping[str, Any] | None = None
    """Log loss, calibration error and its bins of these answers, None for numbers."""
    note: str | None = None
    """That the task's own metric counts, where that of the run cannot be used here."""

    def _repr_html_(self) -> str:
        return evaluation_html(self)


@names_plugins
def evaluate_run(
    run: str | Path,
    *,
    data: Any = None,
    device: str = "auto",
    bad_images: BadImages | None = None,
    metrics: str | Sequence[str] = (),
    catalog: Catalog | None = None,
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> RunEvaluation:
    """Measure a run on `data` (all that `FinetuneConfig(data=...)` takes), or on the held-out part
    of its own data.

    `bad_images` is that of `zoo finetune`: as in the run for its own data, and "fail" for
    others, unless it is given. `metrics` name further figures ("NAME" or "NAME:options"; `zoo
    list metrics` shows all). `scanning` and `watch` are called with (images done, of how many),
    during the scan and during the evaluation.

    Raises DataError when the classes differ or when the run's own data are no longer what they
    were, UsageError for a metric that is unknown or of another task, and PluginError for one
    that gives no finite number.
    """
    catalog = catalog or open_catalog()
    chosen = [catalog.metric(text) for text in listed(metrics)]
    predictor = load(run, device=device, catalog=catalog)
    if predictor.facts is None or predictor.directory is None:
        raise UsageError(f"'{run}' is a backbone; `zoo evaluate` measures a run directory that `zoo finetune` made.")
    facts, directory = predictor.facts, predictor.directory
    for metric in chosen:
        check_measures(metric, facts.task)
    task = task_named(facts.task)
    counting, note = counting_metric(facts, catalog)
    predictor = replace(predictor, objective=replace(predictor.objective, chosen=counting))
    known = read_images(directory, facts)
    command = f"zoo evaluate {quoted(printable(str(run)))}"
    source, name = measured_part(run, facts, data, catalog, scanning, bad_images, command=command)
    if data is None:
        train = source.parts["train"]
        known = {**(known or digests_of(source.parts)), name: frozenset()}  # its own part is no surprise
    else:
        train = source.parts[name]  # the baseline's own training images
        known = known or _images_of_own_data(run, facts, catalog)
    part = source.parts[name]
    targets, train_targets = (
        task.reordered(one.targets, source.classes, facts.classes, source.title) for one in (part, train)
    )
    part = Part(part.images, targets)
    outputs_NK, truth = predictor.outputs(part, watch)
    objective, overlap = predictor.objective, None
    if known is not None:
        counts, new = _compared(part, known)
        rest = predictor.measure(outputs_NK[new], truth[new]) if 0 < len(new) < len(part) else None
        overlap = Overlap(counts["train"], counts["val"], rest)
    return RunEvaluation(
        evaluation=predictor.measure(outputs_NK, truth),
        baseline=objective.baseline(train_targets, targets, len(facts.classes)),
        title=source.title,
        part=part_title(name, data),
        classes=facts.classes,
        task=source.task,
        overlap=overlap,
        skipped=source.skipped,
        metrics={
            str(metric): measured(metric, objective.values(outputs_NK.double()).numpy(), truth.numpy())
            for metric in chosen
        },
        calibration=_calibration(objective, outputs_NK, truth) if task.has_temperature else None,
        note=note,
    )


def _calibration(objective: Objective, outputs_NK: Tensor, truth: Tensor) -> dict[str, Any]:
    answers_NK = objective.values(outputs_NK.double()).numpy()
    return {"temperature": objective.fitted.temperature, **calibration_figures(answers_NK, truth.numpy())}


def measured_part(
    run: str | Path,
    facts: RunFacts,
    data: Any,
    catalog: Catalog,
    scanning: Watch | None = None,
    bad_images: BadImages | None = None,
    *,
    command: str,
) -> tuple[Source, PartName]:
    """The images to measure a run on, scanned: those of `data`, or the held-out part of its own.

    `command` is that of the user, for the next step of an error. Raises as `evaluate_run`.
    """
    if data is None:
        check_own_data(str(run), facts.config.data_text, command)
        source = _own_data(facts, catalog, scanning, bad_images, f", or give other images: `{command} --data PLACE`")
        return source, _held_out(source, facts, str(run))
    opened = open_dataset(data, catalog, facts.task, scanning)
    source = scan_images(opened, bad_images=bad_images or "fail", watch=scanning)
    return source, next(name for name in PARTS if name in source.parts)


def part_title(name: PartName, data: Any) -> str:
    """The word for a measured part: "all" where the `data` that a user gave have no parts."""
    return "all" if data is not None and name == "train" else name


def _compared(part: Part, known: Digests) -> tuple[dict[PartName, int], list[int]]:
    """How many images of a part the run knows from its own parts, and the indexes of all others."""
    counts: dict[PartName, int] = {"train": 0, "val": 0}
    new: list[int] = []
    for index in range(len(part)):
        digest = short(part, index)
        found = next((name for name in counts if digest in known.get(name, ())), None)
        if found is None:
            new.append(index)
        else:
            counts[found] += 1
    return counts, new


def _own_data(
    facts: RunFacts,
    catalog: Catalog,
    scanning: Watch | None = None,
    bad_images: BadImages | None = None,
    instead: str = "",
) -> Source:
    """The data of a run, scanned and split as it did. Raises DataError where they are gone, with
    another step, `instead`, behind that of putting them back."""
    own = facts.config
    catalog = as_in_run(catalog, facts, ["data"])
    try:
        opened = open_configured(replace(own, data=own.data_text, task=facts.task), catalog, scanning)
    except UsageError as error:
        if not Path(own.data_text).is_absolute() or user_path(own.data_text).exists():
            raise
        place = printable(own.data_text)
        raise DataError(f"the run's own data are no longer at {place}. Put them back there{instead}.") from error
    source = scan_images(opened, bad_images=bad_images or own.bad_images, watch=scanning)
    return arranged(source, own, facts.data.earlier_split)


def training_images(run: str | Path, facts: RunFacts, catalog: Catalog, scanning: Watch | None = None) -> Source:
    """The images that a run was trained on, as a data set of one part. Raises DataError where they
    are gone or have changed.

    Nothing is fetched for it, and no place is looked at that a stranger's config names.
    """
    if _is_fetched(facts.config.data_text) or _is_a_strangers(run):
        raise DataError(f"the training images of {printable(str(run))} are not on this machine.")
    source = _own_data(facts, catalog, scanning)
    train = source.parts["train"]
    if train.digest() != facts.data.digests.get("train"):
        raise DataError(
            f"the images in {printable(source.title)} are not those that the run was trained on: "
            f"{may_change(facts.config)} have changed since."
        )
    return replace(source, parts={"train": train})


def _images_of_own_data(run: str | Path, facts: RunFacts, catalog: Catalog) -> Digests | None:
    """The images of a run that has no record of them, from its own data on this machine; None where
    they are gone.

    Nothing is fetched for it, and no place is looked at that a stranger's config names.
    """
    if _is_fetched(facts.config.data_text) or _is_a_strangers(run):
        return None
    try:
        source = _own_data(facts, catalog)
    except ZooError:
        return None
    same = source.parts["train"].digest() == facts.data.digests.get("train")
    return digests_of(source.parts) if same else None


def _is_fetched(data: str) -> bool:
    return data.startswith("hf:") or "://" in data or (practice_set(data) is not None and not user_path(data).exists())


def _is_a_strangers(run: str | Path) -> bool:
    """Whether a run came from the Hub, so that somebody else wrote its config."""
    return not Path(run).is_dir() or Path(run).absolute().parent.name == "snapshots"


def check_own_data(run: str, data: str, command: str) -> None:
    """Raise UsageError when a published model's config names data that would be fetched.

    A stranger wrote that config: its addresses are not asked without the user's word.
    """
    if _is_fetched(data) and _is_a_strangers(run):
        raise UsageError(
            f"the config of {printable(run)} names data that would be fetched: {printable(data):.200}. "
            f"If you trust them: `{command} --data {quoted(printable(data)):.200}`."
        )


def _held_out(source: Source, facts: RunFacts, run: str) -> PartName:
    """The part that the run was measured on. Raises DataError when its images have changed."""
    name = next((name for name in ("test", "val") if name in source.parts), None)
    if name is None:
        raise DataError(
            f"the run held no image out: it was trained on all images in {printable(source.title)} (--val-share 0). "
            "Measure it on others with --data."
        )
    if source.parts[name].digest() != facts.data.digests.get(name):
        moved = "" if Path(source.title).is_absolute() else ", or the run was started in another folder"
        raise DataError(
            f"the images in {printable(source.title)} are not those that the run held out: {may_change(facts.config)} have "
            f"changed since{moved}. {_how_to_measure(facts, run)}, knowing that some may have trained the model."
        )
    return name


def _how_to_measure(facts: RunFacts, run: str) -> str:
    """The beginning of a sentence on the way to measure a run on its own data as they are now."""
    own, data = facts.config, quoted(printable(facts.config.data_text))
    has_fix_list = own.fix_list != NO_FIX_LIST
    if not has_fix_list and own.bad_images == "fail":
        return f"Measure all of them with --data {data}"
    measure = "Put the decisions back as they were, or measure" if has_fix_list else "Measure"
    command = f"`zoo evaluate {quoted(printable(run))} --data {data} --bad-images skip`"
    return f"{measure} all that can be read with {command}"
