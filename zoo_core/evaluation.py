"""Evaluation of a run on labelled images, and of which of them the run has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part, PartName
from zoo_core.errors import UsageError
from zoo_core.library import load
from zoo_core.options import listed
from zoo_core.run_images import images_of_own_data, measured_part, part_title
from zoo_core.runs.images import Digests, digests_of, read_images, short
from zoo_core.runs.notebook_tables import evaluation_html
from zoo_core.runs.provided import counting_metric
from zoo_core.settings import BadImages
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import check_measures, measured
from zoo_core.tasks.fitted import calibration_figures
from zoo_core.tasks.metrics import Baseline, Evaluation
from zoo_core.tasks.objective import Objective
from zoo_core.wording import quoted

if TYPE_CHECKING:
    from torch import Tensor


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
    command = f"zoo evaluate {quoted(str(run))}"
    source, name = measured_part(run, facts, data, catalog, scanning, bad_images, command=command)
    if data is None:
        train = source.parts["train"]
        known = {**(known or digests_of(source.parts)), name: frozenset()}  # its own part is no surprise
    else:
        train = source.parts[name]  # the baseline's own training images
        known = known or images_of_own_data(run, facts, catalog)
    part = source.parts[name]
    targets, train_targets = (
        task.reordered(one.targets, source.classes, facts.classes, source.title) for one in (part, train)
    )
    part = replace(part, targets=targets)
    outputs_NK, truth = predictor.outputs(part, watch)
    objective, overlap = predictor.objective, None
    if known is not None:
        counts, new = _compared(part, known)
        of_new = part.take(new).groups
        rest = predictor.measure(outputs_NK[new], truth[new], of_new) if 0 < len(new) < len(part) else None
        overlap = Overlap(counts["train"], counts["val"], rest)
    return RunEvaluation(
        evaluation=predictor.measure(outputs_NK, truth, part.groups),
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
