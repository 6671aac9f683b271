"""A published model for timm as well: the same tensors under timm's names, and the config that timm reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError
from zoo_core.runs.directory import Run
from zoo_core.specs import HEAD, resolve
from zoo_core.tensors import read_tensors

FILE = "timm.safetensors"
LINEAR = ("zoo_core.model.heads:linear", "zoo_core.model.solvers:logreg")
"""The heads that are one linear layer, whatever set its numbers."""


@dataclass(frozen=True)
class TimmExport:
    """What timm needs: tensors for `timm.safetensors`, and keys to add to config.json."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]


def export_for_timm(run: Run, catalog: Catalog) -> TimmExport:
    """Write a run as timm's model of the same architecture.

    Raises UsageError when timm has no twin: another architecture, another head than average pooling and one linear
    layer, or another image size than the twin agrees at.
    """
    facts = run.facts
    spec = catalog.backbone(f"{facts.backbone.distribution}:{facts.backbone.name}").spec
    head = catalog.head(f"{facts.head.distribution}:{facts.head.name}")
    twin = spec.timm
    if twin is None:
        raise UsageError(f"'{spec.name}' has no twin in timm that its plugin knows of. Publish without --also timm.")
    if facts.task != "classification":
        raise UsageError(f"timm's models classify, and this run is for {facts.task}. Publish without --also timm.")
    if head.spec.build not in LINEAR or head.options.pool != "avg":
        raise UsageError(f"timm has the head 'linear' with average pooling only, and this run has '{facts.head.name}'.")
    if twin.size is not None and facts.preprocessing.size != twin.size:
        raise UsageError(
            f"timm's {twin.architecture} gives the same answers at {twin.size} pixels only, and this run has "
            f"{facts.preprocessing.size}. Train with --size {twin.size}, or publish without --also timm."
        )
    tensors = read_tensors(run.weights_path)
    base = {key: tensor for key, tensor in tensors.items() if not key.startswith(f"{HEAD}.")}
    weight, bias = tensors[f"{HEAD}.output.weight"], tensors[f"{HEAD}.output.bias"]
    if twin.export is not None:
        translated: dict[str, Tensor] = resolve(twin.export)(base, weight, bias)
    else:
        translated = {**base, f"{twin.classifier}.weight": weight, f"{twin.classifier}.bias": bias}
    preprocessing = facts.preprocessing
    config = {
        "architecture": twin.architecture,
        "num_classes": len(facts.classes),
        "label_names": list(facts.classes),
        "pretrained_cfg": {
            "hf_hub_filename": FILE,
            "input_size": [preprocessing.channels, preprocessing.size, preprocessing.size],
            "crop_pct": preprocessing.crop,
            "interpolation": preprocessing.interpolation,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "num_classes": len(facts.classes),
        },
    }
    return TimmExport(translated, config)
