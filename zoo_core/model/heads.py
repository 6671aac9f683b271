"""The heads that core brings: from a feature map (B, C, H, W) to outputs (B, K).

Shapes: B batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zoo_core.builtin import LinearOptions, MlpOptions

POOLS = {"avg": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def linear(options: LinearOptions, *, in_channels: int, num_outputs: int) -> nn.Module:
    """Global pooling, dropout where asked for, one linear layer."""
    return nn.Sequential(
        OrderedDict(
            pool=POOLS[options.pool](1),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(options.dropout),
            output=nn.Linear(in_channels, num_outputs),
        )
    )


def mlp(options: MlpOptions, *, in_channels: int, num_outputs: int) -> nn.Module:
    """Global pooling, then hidden layers, each linear (+ batch norm) + activation + dropout, then the output."""
    layers: list[tuple[str, nn.Module]] = [("pool", POOLS[options.pool](1)), ("flatten", nn.Flatten())]
    width = in_channels
    for number, hidden in enumerate(options.hidden, start=1):
        layers.append((f"hidden{number}", nn.Linear(width, hidden)))
        if options.batchnorm:
            layers.append((f"norm{number}", nn.BatchNorm1d(hidden)))
        layers.append((f"activation{number}", ACTIVATIONS[options.activation]()))
        layers.append((f"dropout{number}", nn.Dropout(options.dropout)))
        width = hidden
    layers.append(("output", nn.Linear(width, num_outputs)))
    return nn.Sequential(OrderedDict(layers))
