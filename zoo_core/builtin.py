"""Core's own heads, strategies and data sets, handed in through the very hooks that plugins use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo_core.freezing.strategies import DepthOptions, FullOptions
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import DatasetSpec, FreezeSpec, HeadSpec

Pooling = Literal["avg", "max"]


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
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    pool: Pooling = "avg"

    def __post_init__(self) -> None:
        _check_dropout(self.dropout)
        if min(self.hidden) < 1:
            raise ValueError(f"hidden must name at least one node a layer, got {min(self.hidden)}")


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")


@hookimpl
def zoo_heads() -> list[HeadSpec]:
    return [
        HeadSpec(
            name="linear",
            build="zoo_core.model.heads:linear",
            options=LinearOptions,
            summary="global pooling and one linear layer",
        ),
        HeadSpec(
            name="mlp",
            build="zoo_core.model.heads:mlp",
            options=MlpOptions,
            summary="global pooling and hidden layers, as many and as wide as you say",
        ),
    ]


@hookimpl
def zoo_strategies() -> list[FreezeSpec]:
    return [
        FreezeSpec(
            name="head-only",
            plan="zoo_core.freezing.strategies:head_only",
            summary="transfer learning: the conv base is frozen, a new head learns",
        ),
        FreezeSpec(
            name="last",
            plan="zoo_core.freezing.strategies:last",
            options=DepthOptions,
            summary="fine-tuning: the last n stages and the head learn (last:2)",
        ),
        FreezeSpec(
            name="full",
            plan="zoo_core.freezing.strategies:full",
            options=FullOptions,
            summary="everything learns",
        ),
    ]


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
