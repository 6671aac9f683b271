"""Core's own heads, strategies and data sets, registered through the same hooks as a plugin's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from zoo_core import hookspecs
from zoo_core.augmentations import zoo_augmentations
from zoo_core.freezing.strategies import (
    DepthOptions,
    FullOptions,
    GradualOptions,
    LayerwiseOptions,
    ProbeOptions,
)
from zoo_core.hookspecs import hookimpl
from zoo_core.options import NoOptions
from zoo_core.result_specs import ExporterSpec, MetricSpec
from zoo_core.specs import TASKS, DatasetSpec, FreezeSpec, HeadSpec, Paper, TaskName

__all__ = ["zoo_augmentations"]  # a hook as those below

HOOK_API = hookspecs.HOOK_API

FixedPooling = Literal["avg", "max", "avgmax", "cls", "cls+avg"]
Pooling = Literal["avg", "max", "avgmax", "cls", "cls+avg", "gem", "attention"]
Activation = Literal["relu", "gelu", "silu", "tanh"]
LABELLED: tuple[TaskName, ...] = ("classification", "multilabel")
"""The tasks whose answers are probabilities."""


@dataclass(frozen=True)
class LinearOptions:
    pool: Pooling = "avg"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_dropout(self.dropout)


@dataclass(frozen=True)
class MlpOptions:
    hidden: tuple[int, ...] = (512,)
    dropout: float = 0.2
    batchnorm: bool = False
    activation: Activation = "relu"
    pool: Pooling = "avg"

    def __post_init__(self) -> None:
        _check_dropout(self.dropout)
        _check_hidden(self.hidden)


@dataclass(frozen=True)
class FlattenOptions:
    hidden: tuple[int, ...] | None = None
    dropout: float = 0.5
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        _check_dropout(self.dropout)
        _check_hidden(self.hidden or (1,))


@dataclass(frozen=True)
class CosineOptions:
    pool: Pooling = "avg"
    scale: float = 16.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < 1e4:
            raise ValueError(f"scale must be above 0 and below 10000, got {self.scale}")


@dataclass(frozen=True)
class FittedOptions:
    pool: FixedPooling = "avg"


@dataclass(frozen=True)
class TopOptions:
    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")


def _check_hidden(hidden: tuple[int, ...]) -> None:
    if min(hidden) < 1:
        raise ValueError(f"hidden must name at least one node a layer, got {min(hidden)}")


@hookimpl
def zoo_heads() -> list[HeadSpec]:
    return [
        HeadSpec(
            name="linear",
            build="zoo_core.model.heads:linear",
            options=LinearOptions,
            tasks=TASKS,
            takes_tokens=True,
            summary="global pooling and one linear layer",
        ),
        HeadSpec(
            name="mlp",
            build="zoo_core.model.heads:mlp",
            options=MlpOptions,
            tasks=TASKS,
            takes_tokens=True,
            summary="global pooling and hidden layers of any number and width",
        ),
        HeadSpec(
            name="flatten",
            build="zoo_core.model.heads:flatten",
            options=FlattenOptions,
            tasks=TASKS,
            needs_size=True,
            takes_tokens=True,
            summary="all features and optional hidden layers; sees positions, works at one image size",
        ),
        HeadSpec(
            name="cosine",
            build="zoo_core.model.heads:cosine",
            options=CosineOptions,
            takes_tokens=True,
            summary="the cosine between the features and a direction for each class, times a trained scale",
        ),
        HeadSpec(
            name="prototype",
            build="zoo_core.model.solvers:prototype",
            options=FittedOptions,
            takes_tokens=True,
            summary="the nearest class mean: computed in one pass, without gradients",
        ),
        HeadSpec(
            name="logreg",
            build="zoo_core.model.solvers:logreg",
            options=FittedOptions,
            takes_tokens=True,
            summary="logistic regression solved to its optimum, its weight decay cross-validated",
            aliases=("solved",),  # its name in zoo 0.1
        ),
    ]


@hookimpl
def zoo_strategies() -> list[FreezeSpec]:
    return [
        _strategy("head-only", NoOptions, "transfer learning: the backbone is frozen, a new head is trained"),
        _strategy("last", DepthOptions, "fine-tuning: the last n stages and the head are trained (last:2)"),
        _strategy("first", DepthOptions, "surgical: the first n stages and the head are trained (first:1)", SURGICAL),
        _strategy("full", FullOptions, "everything is trained"),
        _strategy("layerwise", LayerwiseOptions, "everything is trained, at lower rates further from the head"),
        _strategy("gradual", GradualOptions, "the head first, then one more stage every few epochs", ULMFIT),
        _strategy("lp-ft", ProbeOptions, "the head first, then everything", LP_FT),
        _strategy("norm-only", FullOptions, "the normalisation layers' scales and shifts, and the head", NORM_ONLY),
        _strategy("bias-only", FullOptions, "the biases, and the head", BITFIT),
    ]


def _strategy(name: str, options: type, summary: str, paper: Paper | None = None) -> FreezeSpec:
    function = name.replace("-", "_")
    plan = f"zoo_core.freezing.strategies:{function}"
    return FreezeSpec(name=name, plan=plan, options=options, summary=summary, paper=paper)


SURGICAL = Paper(
    title="Surgical Fine-Tuning Improves Adaptation to Distribution Shifts",
    authors="Lee, Chen, Tajwar, Kumar, Yao, Liang, Finn",
    venue="ICLR",
    year=2023,
    arxiv="2210.11466",
)
ULMFIT = Paper(
    title="Universal Language Model Fine-tuning for Text Classification",
    authors="Howard, Ruder",
    venue="ACL",
    year=2018,
)
LP_FT = Paper(
    title="Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
    authors="Kumar, Raghunathan, Jones, Ma, Liang",
    venue="ICLR",
    year=2022,
    arxiv="2202.10054",
)
NORM_ONLY = Paper(
    title="Training BatchNorm and Only BatchNorm: On the Expressive Power of Random Features in CNNs",
    authors="Frankle, Schwab, Morcos",
    venue="ICLR",
    year=2021,
    arxiv="2003.00152",
)
BITFIT = Paper(
    title="BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models",
    authors="Ben Zaken, Goldberg, Ravfogel",
    venue="ACL",
    year=2022,
    arxiv="2106.10199",
)


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="fashion-small",
            load="zoo_core.data.bundled:fashion_small",
            summary="clothes from Fashion-MNIST, 28x28 greyscale: 1,000 to train, 500 to validate",
            images=1500,
            classes=10,
            licence="MIT",
            url="https://github.com/zalandoresearch/fashion-mnist",
        )
    ]


@hookimpl
def zoo_metrics() -> list[MetricSpec]:
    return [
        _metric("accuracy", "the share of the images whose class is answered", percent=True, is_proportion=True),
        _metric(
            "top",
            "the share of the images whose class is among the k most probable (top:5)",
            title="top-{k} accuracy",
            options=TopOptions,
            percent=True,
            is_proportion=True,
        ),
        _metric(
            "balanced-accuracy", "the mean over the classes of the share of their images that is found", percent=True
        ),
        _metric("macro-f1", "the mean F1 of the classes or labels", LABELLED, title="macro F1", at_threshold=True),
        _metric(
            "micro-f1",
            "F1 of the decisions on all labels together",
            ("multilabel",),
            title="micro F1",
            at_threshold=True,
        ),
        _metric("auroc", "the mean area under the ROC curve of each class or label", LABELLED, title="AUROC"),
        _metric("log-loss", "the mean of -log of the true one's probability", LABELLED, higher_is_better=False),
        _metric(
            "mean-average-precision",
            "the mean over the labels of their average precision",
            ("multilabel",),
            percent=True,
        ),
        _metric("r2", "the explained share of the variance", ("regression",), title="R2"),
        _metric("rmse", "the root mean squared error", ("regression",), title="RMSE", higher_is_better=False),
        _metric("mae", "the mean absolute error", ("regression",), title="MAE", higher_is_better=False),
    ]


def _metric(name: str, summary: str, tasks: tuple[TaskName, ...] = ("classification",), **facts: Any) -> MetricSpec:
    compute = f"zoo_core.tasks.scores:{name.replace('-', '_')}"
    return MetricSpec(name=name, compute=compute, summary=summary, tasks=tasks, **facts)


@hookimpl
def zoo_exporters() -> list[ExporterSpec]:
    return [
        ExporterSpec(
            name="torch-export",
            export="zoo_core.model.torch_export:export",
            run="zoo_core.model.torch_export:run",
            facts="zoo_core.model.torch_export:facts",
            suffix=".pt2",
            summary="a graph of torch.export, which torch.export.load opens without zoo",
        )
    ]
