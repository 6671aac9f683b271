"""Core's trained heads: from features, a map (B, C, H, W) or tokens (B, N, C), to outputs (B, K).

Shapes: B batch, C channels, H height, W width, N tokens, P patches, F features, K outputs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_core.builtin import CosineOptions, FlattenOptions, LinearOptions, MlpOptions, Pooling
from zoo_core.errors import UsageError
from zoo_core.layout import FEATURE_MAP, Layout

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
Layers = list[tuple[str, nn.Module]]


class AvgMaxPool2d(nn.Module):
    """Average and max pooling, concatenated: (B, C, H, W) to (B, 2C, 1, 1)."""

    fixed = True  # neither trained nor random: its output may be cached

    def forward(self, features_BCHW: Tensor) -> Tensor:
        averages, maxima = (
            functional.adaptive_avg_pool2d(features_BCHW, 1),
            functional.adaptive_max_pool2d(features_BCHW, 1),
        )
        return torch.cat((averages, maxima), dim=1)


class GeMPool2d(nn.Module):
    """Generalised-mean pooling with a trained exponent p: the average at p = 1, and nearly the
    maximum for large p.

    Radenovic, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation. TPAMI 2019.
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))  # where the paper starts

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1). Values below 1e-6 are raised to 1e-6: a power needs a
        positive base."""
        powers_BCHW = features_BCHW.clamp(min=1e-6).pow(self.p)
        return functional.adaptive_avg_pool2d(powers_BCHW, 1).pow(1 / self.p)


class AttentionPool(nn.Module):
    """The average of the cells of a map, each with a weight: the softmax of its product with a
    trained query.

    One head of attention with a single trained query (Lee et al., Set Transformer, ICML 2019,
    without projections). The query starts at zero, where all weights are equal.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(channels))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1)."""
        cells_BCP = features_BCHW.flatten(2)
        scores_BP = torch.einsum("bcp,c->bp", cells_BCP, self.query) / len(self.query) ** 0.5
        return torch.einsum("bcp,bp->bc", cells_BCP, scores_BP.softmax(1))[:, :, None, None]


class Patches(nn.Module):
    """Tokens (B, N, C) as a map (B, C, P, 1) of the patches: the tokens before them are left out."""

    fixed = True

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.prefix = prefix

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        return tokens_BNC[:, self.prefix :].transpose(1, 2)[..., None]

    def extra_repr(self) -> str:
        return f"prefix={self.prefix}"


class ClassToken(nn.Module):
    """The class token of (B, N, C): (B, C). With `patches_from`, concatenated with the mean of the
    tokens from there on."""

    fixed = True

    def __init__(self, patches_from: int | None = None) -> None:
        super().__init__()
        self.patches_from = patches_from

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        token_BC = tokens_BNC[:, 0]
        if self.patches_from is None:
            return token_BC
        return torch.cat((token_BC, tokens_BNC[:, self.patches_from :].mean(1)), dim=1)

    def extra_repr(self) -> str:
        return f"patches_from={self.patches_from}"


def pooled(pool: Pooling, in_channels: int, layout: Layout = FEATURE_MAP) -> tuple[Layers, int]:
    """The pooling layers from features of a layout to (B, F), and the number F.

    Tokens are pooled as a map of their patches. Raises UsageError for a class token that the layout
    lacks.
    """
    width = in_channels * (2 if pool in ("avgmax", "cls+avg") else 1)
    if pool in ("cls", "cls+avg"):
        if not layout.class_token:
            raise UsageError(f"pool={pool} needs a class token; avg, max, avgmax, gem and attention do not.")
        token = ClassToken(layout.prefix if pool == "cls+avg" else None)
        return [("pool", token), ("flatten", nn.Flatten())], width
    before: Layers = [("patches", Patches(layout.prefix))] if layout.kind == "tokens" else []
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
        case "attention":
            layer = AttentionPool(in_channels)
    return [*before, ("pool", layer), ("flatten", nn.Flatten())], width


def linear(options: LinearOptions, *, in_channels: int, num_outputs: int, layout: Layout = FEATURE_MAP) -> nn.Module:
    """Global pooling, dropout, one linear layer."""
    layers, width = pooled(options.pool, in_channels, layout)
    layers += [("dropout", nn.Dropout(options.dropout)), ("output", nn.Linear(width, num_outputs))]
    return nn.Sequential(OrderedDict(layers))


def mlp(options: MlpOptions, *, in_channels: int, num_outputs: int, layout: Layout = FEATURE_MAP) -> nn.Module:
    """Global pooling, hidden layers (linear, perhaps batch norm, activation, dropout), then a
    linear output."""
    layers, width = pooled(options.pool, in_channels, layout)
    widths = (width, *options.hidden)
    layers += _hidden(widths, options.activation, options.dropout, batchnorm=options.batchnorm)
    layers.append(("output", nn.Linear(widths[-1], num_outputs)))
    return nn.Sequential(OrderedDict(layers))


def flatten(
    options: FlattenOptions,
    *,
    in_channels: int,
    num_outputs: int,
    in_size: tuple[int, int],
    layout: Layout = FEATURE_MAP,
) -> nn.Module:
    """All features as one vector, hidden layers (linear, activation, dropout), then a linear
    output."""
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
    """The cosine between the features and a direction for each output, times a trained scale."""

    def __init__(self, in_features: int, num_outputs: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_outputs, in_features))
        self.scale = nn.Parameter(torch.full((1,), scale))
        nn.init.normal_(self.weight, std=in_features**-0.5)  # evenly distributed directions, short enough to turn

    def forward(self, features_BF: Tensor) -> Tensor:
        """(B, F) to (B, K), each between -scale and scale."""
        return self.scale * functional.linear(
            functional.normalize(features_BF, dim=1), functional.normalize(self.weight, dim=1)
        )


def cosine(options: CosineOptions, *, in_channels: int, num_outputs: int, layout: Layout = FEATURE_MAP) -> nn.Module:
    """Global pooling and cosines."""
    layers, width = pooled(options.pool, in_channels, layout)
    return nn.Sequential(OrderedDict([*layers, ("output", Cosine(width, num_outputs, options.scale))]))
