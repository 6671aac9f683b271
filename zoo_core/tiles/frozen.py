"""Convolutions of a frozen prefix from tiles: their filters are transformed once, and oneDNN
computes the products.

Shapes: B batch, C channels, K output channels, H height, W width, P tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_core.tiles.winograd import BIAS_AT, convolution, is_plain, transformed

FEWEST_CHANNELS = {"AVX2": 64, "AVX512": 128}
"""Of both input and output, by the instructions of the processor: with fewer, cutting and joining
tiles takes as long as it saves (`benchmarks/prefix.py`, on one processor with AVX-512 and with it
masked; others were not measured). No trial decides: other machines and runs read these features."""


class WinogradConvolution(nn.Conv2d):
    """A 3 x 3 convolution whose weights no longer change; in float32 on a CPU it is computed from
    tiles."""

    filters_36KC: Tensor

    def transform_filters(self) -> None:
        """Prepare for `forward`; again after any change of the weights."""
        self.filters_36KC = transformed(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        margins = self.padding
        if isinstance(margins, str) or input.ndim != 4 or not in_float32_on_cpu(input, self.weight):
            return super().forward(input)
        height, width = margins
        return convolution(input, self.filters_36KC, self.bias, (height, width), multiplied_by_onednn)


def multiplied_by_onednn(tiles_36PC: Tensor, filters_36KC: Tensor, bias_K: Tensor | None) -> Tensor:
    """The products as `winograd.Multiply` has them, by oneDNN."""
    products_36PK = tiles_36PC.new_empty(*tiles_36PC.shape[:2], filters_36KC.shape[1])
    for place, product_PK in enumerate(products_36PK):
        bias = bias_K if place == BIAS_AT else None
        product_PK.copy_(
            torch.ops.mkldnn._linear_pointwise(tiles_36PC[place], filters_36KC[place], bias, "none", [], "")
        )
    return products_36PK


def in_float32_on_cpu(input: Tensor, weight: Tensor) -> bool:
    """Whether the products of these two are computed by a CPU, in float32."""
    return input.is_cpu and weight.is_cpu and input.dtype == weight.dtype == torch.float32


def suits(module: nn.Module) -> bool:
    """Whether a module is a convolution that is faster so on this processor."""
    fewest = FEWEST_CHANNELS.get(torch.backends.cpu.get_cpu_capability())
    return (
        fewest is not None
        and type(module) is nn.Conv2d
        and is_plain(module.weight.shape, module.stride, module.padding, module.dilation, module.groups)
        and min(module.in_channels, module.out_channels) >= fewest
        and module.padding_mode == "zeros"
        and in_float32_on_cpu(module.weight, module.weight)
    )
