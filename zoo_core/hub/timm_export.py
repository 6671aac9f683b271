"""Exports a run for timm: the same tensors under timm's keys, and the config that timm reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zoo_core.catalog import Catalog
from zoo_core.data.transforms import resized_side
from zoo_core.errors import UsageError
from zoo_core.runs.directory import Run
from zoo_core.runs.fitted import read_fitted
from zoo_core.specs import HEAD, resolve
from zoo_core.tasks import task_named
from zoo_core.tensors import read_tensors
from zoo_core.weights.beside import CROP_MODES
from zoo_core.weights_specs import Preprocessing, TimmTwin

FILE = "timm.safetensors"
LINEAR = ("zoo_core.model.heads:linear", "zoo_core.model.solvers:logreg")
"""The heads that are one linear layer, trained by steps or solved."""


@dataclass(frozen=True)
class TimmExport:
    """The tensors of `timm.safetensors`, and the keys that timm and transformers read from
    config.json."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]


def crop_for_timm(preprocessing: Preprocessing) -> float:
    """The crop share at which timm resizes an image to the same size as zoo does.

    timm rounds size / crop down and zoo rounds to the nearest pixel: where they differ, the share
    is chosen so that timm's quotient lies half a pixel above zoo's size.
    """
    side = resized_side(preprocessing)
    if math.floor(preprocessing.size / preprocessing.crop) == side:
        return preprocessing.crop
    return preprocessing.size / (side + 0.5)


def export_for_timm(run: Run, catalog: Catalog) -> TimmExport:
    """Translate a run to timm's model of the same architecture.

    Raises UsageError when timm cannot give the same answers: it lacks the architecture, the head is
    not one linear layer after average pooling, or the twin agrees at another image size only.
    """
    facts = run.facts
    choice = catalog.backbone(catalog.text_of(facts.backbone.distribution, facts.backbone.name))
    spec = choice.spec
    head = catalog.head(catalog.text_of(facts.head.distribution, facts.head.name))
    twin = spec.timm
    if choice.whole:
        raise UsageError(f"timm has no '{choice}', which ends at an earlier stage. Publish without --timm.")
    if twin is None:
        raise UsageError(f"'{spec.name}' has no twin in timm that its plugin knows of. Publish without --timm.")
    if not task_named(facts.task).single_label:
        raise UsageError(f"timm's models classify, and this run is for {facts.task}. Publish without --timm.")
    if head.spec.build not in LINEAR or head.options.pool != "avg":
        raise UsageError(f"timm has the head 'linear' with average pooling only, and this run has '{facts.head.name}'.")
    if twin.size is not None and facts.preprocessing.size != twin.size:
        raise UsageError(
            f"timm's {twin.architecture} gives the same answers at {twin.size} pixels only, and this run has "
            f"{facts.preprocessing.size}. Train with --image-size {twin.size}, or publish without --timm."
        )
    tensors = read_tensors(run.weights_path)
    base = {key: tensor for key, tensor in tensors.items() if not key.startswith(f"{HEAD}.")}
    temperature = read_fitted(run.directory, len(facts.classes), task_named(facts.task)).temperature
    # Others divide no outputs, so the layer does.
    weight, bias = (tensors[f"{HEAD}.output.{name}"] / temperature for name in ("weight", "bias"))
    preprocessing = facts.preprocessing
    config = {
        "architecture": twin.architecture,
        "transformers_weights": FILE,  # else it reads model.safetensors, whose keys are zoo's
        "num_classes": len(facts.classes),
        "label_names": list(facts.classes),
        "pretrained_cfg": {
            "hf_hub_filename": FILE,
            "input_size": [preprocessing.channels, preprocessing.size, preprocessing.size],
            "crop_pct": crop_for_timm(preprocessing),
            "crop_mode": CROP_MODES[preprocessing.fit],
            "interpolation": preprocessing.interpolation,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "num_classes": len(facts.classes),
        },
    }
    return TimmExport(tensors_for_timm(twin, base, weight, bias), config)


def tensors_for_timm(twin: TimmTwin, base: dict[str, Tensor], weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The tensors of a base and of a linear layer (K, C), (K) under timm's keys."""
    if twin.export is None:
        return {**base, f"{twin.classifier}.weight": weight, f"{twin.classifier}.bias": bias}
    translated: dict[str, Tensor] = resolve(twin.export)(base, weight, bias)
    return translated
