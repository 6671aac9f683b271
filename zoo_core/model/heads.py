"""The trained heads that core brings: from a feature map (B, C, H, W) to outputs (B, K).

Shapes: B batch, C channels, H height, W width, F features, K outputs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_core.builtin import CosineOptions, FlattenOptions, LinearOptions, MlpOptions, Pooling

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
Layers = list[tuple[str, nn.Module]]


class AvgMaxPool2d(nn.Module):
    """The averages, then the maxima: (B, C, H, W) to (B, 2C, 1, 1)."""

    fixed = True  # nothing learns and nothing is drawn: it may be computed once

    def forward(self, features_BCHW: Tensor) -> Tensor:
        averages, maxima = (
            functional.adaptive_avg_pool2d(features_BCHW, 1),
            functional.adaptive_max_pool2d(features_BCHW, 1),
        )
        return torch.cat((averages, maxima), dim=1)


class GeMPool2d(nn.Module):
    """The generalised mean, whose exponent p learns: 1 is the average, and it nears the maximum as p grows.

    Radenovic, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation. TPAMI 2019.
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))  # where the paper starts

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1). What is below 1e-6 counts as that: a power needs a positive base."""
        powers_BCHW = features_BCHW.clamp(min=1e-6).pow(self.p)
        return functional.adaptive_avg_pool2d(powers_BCHW, 1).pow(1 / self.p)


def pooled(pool: Pooling, in_channels: int) -> tuple[Layers, int]:
    """The layers from a feature map to (B, F), and F."""
    layer: nn.Module
    match pool:
        case "avg":
            layer = nn.AdaptiveAvgPool2d(1)
        case "max":
            layer = nn.AdaptiveMaxPool2d(1)
        case "avgmax":
            layer = AvgMaxPool2d()
        case "gem":
            layer = GeMPool2d()
    return [("pool", layer), ("flatten", nn.Flatten())], in_channels * (2 if pool == "avgmax" else 1)


def linear(options: LinearOptions, *, in_channels: int, num_outputs: int) -> nn.Module:
    """Global pooling, dropout where asked for, one linear layer."""
    layers, width = pooled(options.pool, in_channels)
    layers += [("dropout", nn.Dropout(options.dropout)), ("output", nn.Linear(width, num_outputs))]
    return nn.Sequential(OrderedDict(layers))


def mlp(options: MlpOptions, *, in_channels: int, num_outputs: int) -> nn.Module:
    """Global pooling, then hidden layers, each linear (+ batch norm) + activation + dropout, then the output."""
    layers, width = pooled(options.pool, in_channels)
    widths = (width, *options.hidden)
    layers += _hidden(widths, options.activation, options.dropout, batchnorm=options.batchnorm)
    layers.append(("output", nn.Linear(widths[-1], num_outputs)))
    return nn.Sequential(OrderedDict(layers))


def flatten(options: FlattenOptions, *, in_channels: int, num_outputs: int, in_size: tuple[int, int]) -> nn.Module:
    """The feature map as one vector, then hidden layers if any, each linear + activation + dropout, then the output."""
    height, width = in_size
    widths = (in_channels * height * width, *(options.hidden or ()))
    layers: Layers = [("flatten", nn.Flatten()), *_hidden(widths, options.activation, options.dropout)]
    layers.append(("output", nn.Linear(widths[-1], num_outputs)))
    return nn.Sequential(OrderedDict(layers))


def _hidden(widths: Sequence[int], activation: str, dropout: float, *, batchnorm: bool = False) -> Layers:
    layers: Layers = []
    for number, (before, after) in enumerate(pairwise(widths), start=1):
        layers.append((f"hidden{number}", nn.Linear(before, after)))
        if batchnorm:
            layers.append((f"norm{number}", nn.BatchNorm1d(after)))
        layers.append((f"activation{number}", ACTIVATIONS[activation]()))
        layers.append((f"dropout{number}", nn.Dropout(dropout)))
    return layers


class Cosine(nn.Module):
    """The cosine between features and a direction for each output, times a scale that learns."""

    def __init__(self, in_features: int, num_outputs: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_outputs, in_features))
        self.scale = nn.Parameter(torch.full((1,), scale))
        nn.init.normal_(self.weight, std=in_features**-0.5)  # directions drawn evenly, short enough to turn

    def forward(self, features_BF: Tensor) -> Tensor:
        """(B, F) to (B, K), each between -scale and scale."""
        return self.scale * functional.linear(
            functional.normalize(features_BF, dim=1), functional.normalize(self.weight, dim=1)
        )


def cosine(options: CosineOptions, *, in_channels: int, num_outputs: int) -> nn.Module:
    """Global pooling and cosines."""
    layers, width = pooled(options.pool, in_channels)
    return nn.Sequential(OrderedDict([*layers, ("output", Cosine(width, num_outputs, options.scale))]))
