"""The facts about timm's architectures, from an index that `scripts/make_index.py` wrote for one version of timm."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from zoo_core import BackboneSpec, HubFile, Layout, Preprocessing, WeightsRef, hookimpl

HOOK_API = 2

INDEX = Path(__file__).with_name("index.json")
IMAGENET_CLASSES = 1000
DATA = {"in1k": "ImageNet-1k", "in12k": "ImageNet-12k", "in21k": "ImageNet-21k", "in22k": "ImageNet-22k"}
"""The words for the last part of a tag, which names the data of the last training."""


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    index = json.loads(INDEX.read_text(encoding="utf-8"))
    return [_spec(entry) for entry in index["backbones"]]


def __getattr__(name: str) -> Any:
    """`EXPECTED_FAILURES`, as the conformance kit asks for them: timm states no hashes of its files."""
    if name != "EXPECTED_FAILURES":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    reason = "zoo records the revision and the sha256 of these files when it first pulls them"
    return {f"{spec.name}: pins its weights": reason for spec in zoo_backbones() if spec.weights}


def _spec(entry: dict[str, Any]) -> BackboneSpec:
    tokens, classifier, paper = entry["tokens"], entry["classifier"], entry["paper"]
    return BackboneSpec(
        name=f"timm-{entry['name']}",
        family=entry["family"],
        build="zoo_timm.model:build",
        variant=entry["name"],
        stages=tuple(entry["stages"]),
        channels=entry["channels"],
        stride=entry["stride"],
        min_size=entry["min_size"],
        size_step=entry["step"],
        features=Layout() if tokens is None else Layout("tokens", tokens, entry["class_token"]),
        year=2000 + int(paper[:2]) if paper else None,
        preprocessing=_preprocessing(*entry["preprocessing"]),
        params=entry["params"],
        gmacs=entry["gmacs"],
        weights=tuple(_weights(*facts, known=classifier is None) for facts in entry["weights"]),
        # The network has no classifier, and some of its weights have one.
        ignored_keys=() if classifier is None else (f"{classifier}.",),
        note=f"arXiv:{paper}" if paper else "",
    )


def _preprocessing(
    size: int, crop: float, interpolation: Any, mean: list[float], std: list[float], fit: Any = "crop"
) -> Preprocessing:
    return _one_preprocessing(size, crop, interpolation, tuple(mean), tuple(std), fit)


@cache
def _one_preprocessing(
    size: int, crop: float, interpolation: Any, mean: tuple[float, ...], std: tuple[float, ...], fit: Any
) -> Preprocessing:
    """One object for all that share it, as most do."""
    return Preprocessing(size=size, crop=crop, interpolation=interpolation, mean=mean, std=std, fit=fit)


def _weights(
    tag: str,
    repo: str,
    preprocessing: list[Any],
    licence: str,
    classes: int,
    top1: float | None,
    top5: float | None,
    note: str,
    *,
    known: bool,
) -> WeightsRef:
    whole = known and classes == IMAGENET_CLASSES
    return WeightsRef(
        tag=tag,
        sources=(HubFile(repo=repo),),
        preprocessing=_preprocessing(*preprocessing),
        data=DATA.get(tag.rpartition("_")[2], f"as its tag '{tag}' says: hf.co/{repo}"),
        licence=licence,
        classes="imagenet-1k" if whole else None,
        top1=top1,
        top5=top5,
        has_classifier=whole,
        note=note,
    )
