"""3 x 3 convolutions of a frozen prefix with a quarter of the products, on a CPU: the minimal
filtering F(4 x 4, 3 x 3) of Winograd (Lavin, Gray 2016, arXiv 1509.09308).

The input is cut into tiles of 6 x 6 that overlap by two, and each gives 4 x 4 numbers of the output:
with the matrices of the paper, of which only the sums of their rows are written here,

    output = A^T [(G filter G^T) * (B^T tile B)] A,  summed over the input channels.

The results differ from those of a direct convolution by about 1e-5 of the largest of them.

Shapes: B batch, C channels, K output channels, H height, W width, Y x X tiles, P = B Y X tiles in
all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

FEWEST_CHANNELS = {"AVX2": 64, "AVX512": 128}
"""Of both input and output, by the instructions of the processor: with fewer, cutting and joining
tiles takes as long as it saves (`benchmarks/prefix.py`, on one processor with AVX-512 and with it
masked; others were not measured). No trial decides: the last bits of a feature would depend on it."""
TILE_BYTES = 16_000_000
"""About so much the transformed tiles take that are computed at once: they are to stay in the
processor's cache."""
SIDE, OUT = 6, 4  # numbers along a tile, and along its part of the output
FILTERS = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float32
).div(24)
"""G of the paper."""
BIAS_AT = 7  # of the 36 products: row and column 1, which A^T and A spread over the whole output with weight 1


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
        height, width = (side + 2 * margin - 2 for side, margin in zip(input.shape[2:], margins, strict=True))
        down, right = -(-height // OUT), -(-width // OUT)
        below, beside = down * OUT - height, right * OUT - width
        padding = margins[1], margins[1] + beside, margins[0], margins[0] + below
        images_BHWC = functional.pad(input.permute(0, 2, 3, 1), (0, 0, *padding))
        at_once = max(1, TILE_BYTES // (SIDE * SIDE * down * right * self.in_channels * 4))
        groups = [images_BHWC[start : start + at_once] for start in range(0, len(images_BHWC), at_once)]
        outputs = [convolved(group, self.filters_36KC, self.bias) for group in groups]
        output_BHWK = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        return output_BHWK[:, :height, :width].permute(0, 3, 1, 2)


def in_float32_on_cpu(input: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN computes the products of these two as float32."""
    return input.is_cpu and weight.is_cpu and input.dtype == weight.dtype == torch.float32


def suits(module: nn.Module) -> bool:
    """Whether a module is a convolution that is faster so on this processor."""
    fewest = FEWEST_CHANNELS.get(torch.backends.cpu.get_cpu_capability())
    return (
        fewest is not None
        and type(module) is nn.Conv2d
        and (module.kernel_size, module.stride, module.dilation, module.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and min(module.in_channels, module.out_channels) >= fewest
        and module.padding_mode == "zeros"
        and in_float32_on_cpu(module.weight, module.weight)
        and not isinstance(module.padding, str)
    )


def transformed(weight_KC33: Tensor) -> Tensor:
    """The filters (36, K, C) of the products: four times as many numbers as the weights."""
    outputs, inputs = weight_KC33.shape[:2]
    weights_9KC = weight_KC33.detach().permute(2, 3, 0, 1).reshape(9, -1)
    return (torch.kron(FILTERS, FILTERS) @ weights_9KC).view(SIDE * SIDE, outputs, inputs)


def convolved(images_BHWC: Tensor, filters_36KC: Tensor, bias_K: Tensor | None) -> Tensor:
    """The convolution (B, 4Y, 4X, K) of images that are padded to 4Y + 2 and 4X + 2."""
    images, height, width, channels = images_BHWC.shape
    down, right, outputs = height // OUT, width // OUT, filters_36KC.shape[1]
    new = images_BHWC.new_empty

    rows = new(SIDE, images, down, width, channels)
    tile_rows([images_BHWC[:, row : row + OUT * down - 3 : OUT] for row in range(SIDE)], list(rows))
    tiles = new(SIDE, SIDE, images, down, right, channels)
    tile_rows([rows[:, :, :, left : left + OUT * right - 3 : OUT] for left in range(SIDE)], list(tiles.unbind(1)))

    tiles_36PC = tiles.view(SIDE * SIDE, -1, channels)
    products = new(SIDE, SIDE, images, down, right, outputs)
    for place, product_PK in enumerate(products.view(SIDE * SIDE, -1, outputs)):
        bias = bias_K if place == BIAS_AT else None
        product_PK.copy_(
            torch.ops.mkldnn._linear_pointwise(tiles_36PC[place], filters_36KC[place], bias, "none", [], "")
        )

    rows = new(OUT, SIDE, images, down, right, outputs)
    output_rows(list(products), list(rows))
    output = new(images, down, OUT, right, OUT, outputs)
    output_rows(list(rows.unbind(1)), list(output.permute(4, 2, 0, 1, 3, 5)))
    return output.view(images, OUT * down, OUT * right, outputs)


def tile_rows(rows: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    """B^T of the paper: six sums of six rows."""
    d0, d1, d2, d3, d4, d5 = rows
    even, odd = torch.sub(d4, d2, alpha=4), torch.sub(d3, d1, alpha=4)
    torch.add(even, odd, out=into[1])
    torch.sub(even, odd, out=into[2])
    torch.sub(d4, d2, out=even)
    torch.sub(d3, d1, out=odd)
    torch.add(even, odd, alpha=2, out=into[3])
    torch.sub(even, odd, alpha=2, out=into[4])
    torch.add(even, d0 - d2, alpha=4, out=into[0])
    torch.sub(d5 - d3, odd, alpha=4, out=into[5])


def output_rows(rows: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    """A^T of the paper: four sums of six rows."""
    m0, m1, m2, m3, m4, m5 = rows
    near, near_odd, far, far_odd = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    torch.add(near_odd, far_odd, alpha=2, out=into[1])
    torch.add(near, far, alpha=4, out=into[2])
    torch.add(near_odd.add_(far_odd, alpha=8), m5, out=into[3])
    torch.add(near.add_(far), m0, out=into[0])
