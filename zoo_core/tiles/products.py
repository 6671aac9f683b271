"""The products of transformed tiles and filters, by oneDNN, which is fast on Intel's and on AMD's
processors; MKL is on Intel's alone.

Shapes: C channels, K output channels, P tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.tiles.winograd import BIAS_AT, SIDE, transformed

OPERATIONS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_convolution_weight")
ONE_BY_ONE = [0, 0], [1, 1], [1, 1], SIDE * SIDE
"""Padding, stride, dilation and groups of the convolution that multiplies."""
FEWEST_CHANNELS = {"AVX2": 64, "AVX512": 128}
"""Of both input and output, by the instructions of the processor: with fewer, cutting and joining
tiles takes as long as it saves (`benchmarks/tiles.py`; others than these were not measured)."""


def has_onednn() -> bool:
    """Whether this torch has oneDNN and its operations, which are no promised interface of it."""
    is_there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_there and all(hasattr(torch.ops.mkldnn, name) for name in OPERATIONS)


def has_many_channels(inputs: int, outputs: int) -> bool:
    """Whether a convolution of so many channels gains from tiles on this processor."""
    fewest = FEWEST_CHANNELS.get(torch.backends.cpu.get_cpu_capability())
    return fewest is not None and min(inputs, outputs) >= fewest and has_onednn()


def in_float32_on_cpu(input: Tensor, weight: Tensor) -> bool:
    """Whether the products of these two are computed by a CPU, in float32."""
    are_float32 = input.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return are_float32 and input.is_cpu and weight.is_cpu


def in_full_float32() -> bool:
    """Whether torch multiplies matrices of float32 without less precise numbers, whose rounding
    tiles would magnify."""
    precision: str = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    return precision in ("none", "ieee")


class Multiplication:
    """Multiplies tiles with the filters of these weights, which are transformed and packed once for
    each number of tiles, of which the last two are remembered: a whole batch, and what is left."""

    def __init__(self, weight_KC33: Tensor, bias_K: Tensor | None = None) -> None:
        self.weight_KC33 = weight_KC33
        self.bias = None if bias_K is None else _bias_of_products(bias_K)
        self.packed: tuple[tuple[int, Tensor], ...] = ()

    def __call__(self, tiles_P36C: Tensor) -> Tensor:
        """The products (P, 36, K), each of the 36 summed over the channels: those of a convolution
        of a column of P pixels, in which the 36 numbers of a tile are groups of channels. The bias
        is added to those at BIAS_AT."""
        tiles = len(tiles_P36C)
        column = tiles_P36C.view(1, tiles, 1, -1).permute(0, 3, 1, 2)
        products: Tensor = torch.ops.mkldnn._convolution_pointwise(
            column, self._filters_for(tiles), self.bias, *ONE_BY_ONE, "none", [], ""
        )
        return products.permute(0, 2, 3, 1).reshape(tiles, SIDE * SIDE, -1)

    def _filters_for(self, tiles: int) -> Tensor:
        packed = self.packed  # threads may replace it meanwhile
        found = next((filters for count, filters in packed if count == tiles), None)
        if found is None:
            found = _packed(transformed(self.weight_KC33), tiles)
            self.packed = (*packed[-1:], (tiles, found))
        return found


def _packed(filters_36KC: Tensor, tiles: int) -> Tensor:
    """Transformed filters as oneDNN wants them for so many tiles. With another number of tiles it
    may take a hundred times as long."""
    outputs, inputs = filters_36KC.shape[1:]
    column = 1, SIDE * SIDE * inputs, tiles, 1
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        filters_36KC.view(SIDE * SIDE * outputs, inputs, 1, 1), *ONE_BY_ONE, column
    )
    return packed


def _bias_of_products(bias_K: Tensor) -> Tensor:
    """The bias (36 K) of all products that adds `bias_K` to the outputs."""
    bias_36K = bias_K.new_zeros(SIDE * SIDE, len(bias_K))
    bias_36K[BIAS_AT] = bias_K.detach()
    return bias_36K.flatten()
