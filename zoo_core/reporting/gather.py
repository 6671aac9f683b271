"""Everything that a report says about a run, measured once more on the images that the run held
out.

Shapes: B batch, N images, K outputs, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zoo_core.catalog import Catalog
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part, Source
from zoo_core.errors import UsageError, printable
from zoo_core.evaluation import measured_part
from zoo_core.frozen.split import fixed_beginning
from zoo_core.library import load
from zoo_core.model.assemble import Model
from zoo_core.predict import Predictor
from zoo_core.runs.directory import read_metrics
from zoo_core.runs.schema import RunFacts
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import counting_metric
from zoo_core.tasks.metrics import Baseline, Evaluation
from zoo_core.tasks.task import Task
from zoo_core.wording import quoted

FEW = 1000  # images from which the axes of the map are computed: an eigenproblem of a second


@dataclass(frozen=True, eq=False)
class Measured:
    """A run and its answers for the images of one part."""

    directory: Path
    facts: RunFacts
    predictor: Predictor
    metrics: tuple[dict[str, Any], ...]
    """The lines of the run's metrics, the result last."""
    source: Source
    part_name: str
    part: Part
    values_NK: npt.NDArray[np.float64]
    """Probabilities of classes or labels, by the fitted temperature, or numbers."""
    vectors_NF: npt.NDArray[np.float32]
    """The pooled features, as the head gets them."""
    evaluation: Evaluation
    baseline: Baseline
    is_own: bool
    """Whether these are images that the run itself held out."""
    note: str | None = None
    """That the task's own metric counts, where that of the run cannot be used here."""

    @property
    def task(self) -> Task[Any]:
        return task_named(self.facts.task)

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return [line for line in self.metrics if line.get("event") == "epoch"]

    @property
    def result(self) -> dict[str, Any]:
        return self.metrics[-1]


def measure(
    run: str | Path,
    catalog: Catalog,
    *,
    data: Any = None,
    device: str = "auto",
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> Measured:
    """Answer the held-out images of a run, or those of `data`, once, with features and outputs.

    Raises as `zoo_core.evaluate_run`.
    """
    predictor = load(run, device=device, catalog=catalog)
    if predictor.facts is None or predictor.directory is None or not isinstance(predictor.network, Model):
        name = printable(str(run))
        raise UsageError(f"'{name}' is a backbone; `zoo report` is about a run directory that `zoo finetune` made.")
    facts, directory, network = predictor.facts, predictor.directory, predictor.network
    command = f"zoo report {quoted(printable(str(run)))}"
    source, name = measured_part(run, facts, data, catalog, scanning, command=command)
    task = task_named(facts.task)
    counting, note = counting_metric(facts.config.metric, facts.task, task.metric, catalog)
    predictor = replace(predictor, objective=replace(predictor.objective, chosen=counting))
    targets, train_targets = (
        task.reordered(one.targets, source.classes, facts.classes, source.title)
        for one in (source.parts[name], source.parts["train" if data is None else name])
    )
    part = Part(source.parts[name].images, targets)
    compute, vectors = _with_vectors(network)
    outputs_NK, truth = predictor.outputs(part, watch, compute)
    return Measured(
        directory=directory,
        facts=facts,
        predictor=predictor,
        metrics=tuple(read_metrics(directory)),
        source=source,
        part_name="all" if data is not None and name == "train" else name,
        part=part,
        values_NK=predictor.objective.values(outputs_NK.double()).numpy(),
        vectors_NF=torch.cat(vectors).numpy(),
        evaluation=predictor.measure(outputs_NK, truth),
        baseline=predictor.objective.baseline(train_targets, targets, len(facts.classes)),
        is_own=data is None,
        note=note,
    )


def _with_vectors(model: Model) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """A function from images (B, C, H, W) to outputs (B, K), and the list to which it adds pooled
    features (B, F)."""
    vectors: list[Tensor] = []
    pool = nn.Sequential(*fixed_beginning(model.head))

    def compute(images_BCHW: Tensor) -> Tensor:
        features = model.backbone(images_BCHW)
        pooled = pool(features)
        vectors.append((pooled.mean((2, 3)) if pooled.ndim == 4 else pooled.flatten(1)).float().cpu())
        outputs_BK: Tensor = model.head(features)
        return outputs_BK

    return compute, vectors


def in_the_plane(vectors_NF: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The first two principal components (N, 2) of vectors, each scaled to 0..1."""
    centred_NF = vectors_NF.astype(np.float64) - vectors_NF.mean(0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centred_NF[:: max(1, len(centred_NF) // FEW)], full_matrices=False)
    places_N2 = centred_NF @ axes[:2].T
    if places_N2.shape[1] < 2:  # a single feature, or a single image
        places_N2 = np.pad(places_N2, ((0, 0), (0, 2 - places_N2.shape[1])))
    low, high = places_N2.min(0), places_N2.max(0)
    scaled: npt.NDArray[np.float64] = (places_N2 - low) / np.where(high > low, high - low, 1.0)
    return scaled
