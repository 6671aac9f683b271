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

from zoo_core.algebra import svd
from zoo_core.catalog import Catalog
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part, Source
from zoo_core.devices.precision import exact_float32, full_precision
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import open_embedder
from zoo_core.errors import UsageError, ZooError, printable, reason_of
from zoo_core.frozen.split import SplitPoint, Tail, fixed_beginning
from zoo_core.json_checks import as_number
from zoo_core.library import load
from zoo_core.model.assemble import Model
from zoo_core.predict import Predictor
from zoo_core.run_images import measured_part, part_title
from zoo_core.runs.directory import METRICS, Run, read_metrics, read_result
from zoo_core.runs.provided import counting_metric
from zoo_core.runs.schema import RunFacts
from zoo_core.settings import BadImages
from zoo_core.tasks import task_named
from zoo_core.tasks.metrics import Baseline, Evaluation
from zoo_core.tasks.task import Task
from zoo_core.wording import quoted

EPOCH = ("epoch", "train_loss", "val_loss", "val_score")
AT_ONCE = 4096  # vectors that a head answers at once
FEW = 1000  # images from which the axes of the map are computed: an eigenproblem of a second


@dataclass(frozen=True, eq=False)
class Measured:
    """A run and its answers for the images of one part."""

    directory: Path
    facts: RunFacts
    predictor: Predictor
    epochs: tuple[dict[str, Any], ...]
    """The epochs of the training; none where no record of it is here, as in a published model."""
    result: dict[str, Any]
    """The run's own result, as it ended; empty without a record."""
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
    repository: str | None = None
    """Where it is published, if the page is for others."""

    @property
    def task(self) -> Task[Any]:
        return task_named(self.facts.task)

    @property
    def address(self) -> str:
        """The run or repository as a reader of the page names it in a command."""
        return self.repository or str(self.directory)

    @property
    def thresholds_K(self) -> npt.NDArray[np.float64] | float:
        """The probabilities above which labels are answered."""
        fitted = self.predictor.objective.fitted.thresholds_K
        return 0.5 if fitted is None else np.asarray(fitted, dtype=np.float64)


def measure(
    run: str | Path,
    catalog: Catalog,
    *,
    data: Any = None,
    device: str = "auto",
    bad_images: BadImages | None = None,
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> Measured:
    """Answer the held-out images of a run, or those of `data`, once, with features and outputs.

    `bad_images` is that of `evaluate_run`. Raises as `zoo_core.evaluate_run`.
    """
    predictor = load(run, device=device, catalog=catalog)
    if predictor.facts is None or predictor.directory is None or not isinstance(predictor.network, Model):
        name = printable(str(run))
        raise UsageError(f"'{name}' is a backbone; `zoo report` is about a run directory that `zoo finetune` made.")
    facts, directory, network = predictor.facts, predictor.directory, predictor.network
    command = f"zoo report {quoted(str(run))}"
    source, name = measured_part(run, facts, data, catalog, scanning, bad_images, command=command)
    task = task_named(facts.task)
    counting, note = counting_metric(facts, catalog)
    predictor = replace(predictor, objective=replace(predictor.objective, chosen=counting))
    targets, train_targets = (
        task.reordered(one.targets, source.classes, facts.classes, source.title)
        for one in (source.parts[name], source.parts["train" if data is None else name])
    )
    part = replace(source.parts[name], targets=targets)
    measured = replace(source, parts={"train": part}, classes=facts.classes)
    outputs_NK, truth, vectors_NF = _answers(predictor, network, measured, catalog, watch)
    return Measured(
        directory=directory,
        facts=facts,
        predictor=predictor,
        epochs=_epochs_of(directory),
        result=read_result(Run(directory, facts)) if (directory / METRICS).exists() else {},
        source=source,
        part_name=part_title(name, data),
        part=part,
        values_NK=predictor.objective.values(outputs_NK.double()).numpy(),
        vectors_NF=vectors_NF,
        evaluation=predictor.measure(outputs_NK, truth, part.groups),
        baseline=predictor.objective.baseline(train_targets, targets, len(facts.classes)),
        is_own=data is None,
        note=note,
    )


def _answers(
    predictor: Predictor, network: Model, source: Source, catalog: Catalog, watch: Watch | None
) -> tuple[Tensor, Tensor, npt.NDArray[np.float32]]:
    """The outputs (N, K) for the images of a data set of one part, their targets, and their pooled
    features (N, F).

    A head that begins with pooling reads the features from the cache, where they are computed if it
    has none; for another one the whole network is computed.
    """
    part = source.parts["train"]
    try:
        vectors_NF = _cached(predictor, network, source, catalog, watch)
    except UsageError:  # they do not fit into the cache
        vectors_NF = None
    if vectors_NF is None:
        compute, vectors = _with_vectors(network)
        outputs_NK, truth = predictor.outputs(part, watch, compute)
        return outputs_NK, truth, torch.cat(vectors).numpy()
    tail = Tail(network, SplitPoint(len(network.backbone.stages), pooled=True)).eval()
    with exact_float32(predictor.device), torch.inference_mode():
        features = torch.split(torch.from_numpy(vectors_NF).to(predictor.device), AT_ONCE)
        outputs_NK = torch.cat([full_precision(tail(some)).cpu() for some in features])
    return outputs_NK, torch.from_numpy(part.targets), vectors_NF


def _cached(
    predictor: Predictor, network: Model, source: Source, catalog: Catalog, watch: Watch | None
) -> npt.NDArray[np.float32] | None:
    """The pooled features, exactly, of a data set's images; None for a head that does not pool."""
    facts, directory = predictor.facts, predictor.directory
    assert facts is not None
    assert directory is not None
    if not fixed_beginning(network.head):
        return None
    own = replace(facts.config, weights="default", size=None, fit="auto", device=str(predictor.device))
    config = replace(own, views=1, workers=None, cache_dtype="float32")
    embedder = open_embedder(directory, config, POOLED, catalog)
    with embedder.table(source, watch) as table:
        found = np.asarray(table)
    return found if found.ndim == 2 else None


def _epochs_of(directory: Path) -> tuple[dict[str, Any], ...]:
    """The epochs in a run's metrics, checked. Raises ZooError for lines that are none of a run."""
    if not (directory / METRICS).exists():
        return ()
    lines = [line for line in read_metrics(directory) if line.get("event") == "epoch"]
    try:
        return tuple({name: None if line[name] is None else as_number(line[name]) for name in EPOCH} for line in lines)
    except (KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{directory / METRICS} holds an epoch that is not one of a run: {reason_of(error)}") from error


def _with_vectors(model: Model) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """A function from images (B, C, H, W) to outputs (B, K), and the list to which it adds pooled
    features (B, F): those of the head, or the average over all places, where it keeps each."""
    vectors: list[Tensor] = []
    pool = nn.Sequential(*fixed_beginning(model.head))

    def compute(images_BCHW: Tensor) -> Tensor:
        features = model.backbone(images_BCHW)
        pooled, channels = pool(features), features.shape[1 if features.ndim == 4 else -1]
        if pooled.ndim != 2 or pooled.shape[1] > 2 * channels:  # two ways of pooling, side by side, at most
            pooled = features.flatten(2).mean(2) if features.ndim == 4 else features.mean(1)
        vectors.append(pooled.float().cpu())
        outputs_BK: Tensor = model.head(features)
        return outputs_BK

    return compute, vectors


def in_the_plane(vectors_NF: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The first two principal components (N, 2) of vectors, each scaled to 0..1."""
    sample_MF = vectors_NF[:: max(1, len(vectors_NF) // FEW)].astype(np.float64)
    _, _, axes = svd(sample_MF - sample_MF.mean(0))
    places_N2 = (vectors_NF @ axes[:2].T.astype(np.float32)).astype(np.float64)
    if places_N2.shape[1] < 2:  # a single feature, or a single image
        places_N2 = np.pad(places_N2, ((0, 0), (0, 2 - places_N2.shape[1])))
    low, high = places_N2.min(0), places_N2.max(0)
    scaled: npt.NDArray[np.float64] = (places_N2 - low) / np.where(high > low, high - low, 1.0)
    return scaled
