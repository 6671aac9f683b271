"""3 x 3 convolutions with a quarter of the products: the minimal filtering F(4 x 4, 3 x 3) of
Winograd (Lavin, Gray 2016, arXiv 1509.09308).

The input is cut into tiles of 6 x 6 that overlap by two, and each gives 4 x 4 numbers of the
output: with the matrices of the paper, of which only the sums of their rows are written here,

    output = A^T [(G filter G^T) * (B^T tile B)] A,  summed over the input channels.

The results differ from those of a direct convolution by about 1e-5 of the largest of them.

Shapes: B batch, C channels, K output channels, H height, W width, Y x X tiles, P = B Y X tiles in
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

TILE_BYTES = 16_000_000
"""About so much the transformed tiles take that are computed at once: they are to stay in the
processor's cache."""
SIDE, OUT = 6, 4  # numbers along a tile, and along its part of the output
FILTERS = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float32
).div(24)
"""G of the paper."""
BIAS_AT = 7  # of the 36 products: row and column 1, which A^T and A spread over the whole output with weight 1

Multiply = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Gives the products (36, P, K) of tiles (36, P, C) and filters (36, K, C), with a bias (K) in the
one at BIAS_AT."""


def is_plain(shape_KC33: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Whether a convolution with these arguments, as torch takes them, can be computed from tiles."""
    return (
        tuple(shape_KC33[2:]) == (3, 3)
        and groups == 1
        and (pair(stride), pair(dilation)) == ((1, 1), (1, 1))
        and not isinstance(padding, str)
    )


def pair(value: Any) -> tuple[int, ...]:
    """The two numbers of an argument that may be one."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * 2 if len(numbers) == 1 else numbers


class Tiling(NamedTuple):
    """The tiles of images: how many below and beside each other, for an output of so many rows and
    columns, with so many rows and columns of zeros around the images."""

    down: int
    right: int
    height: int
    width: int
    margins: tuple[int, int]

    @classmethod
    def of(cls, images_BCHW: Tensor, margins: tuple[int, int]) -> Tiling:
        height, width = (side + 2 * margin - 2 for side, margin in zip(images_BCHW.shape[2:], margins, strict=True))
        return cls(-(-height // OUT), -(-width // OUT), height, width, margins)

    def padded(self, images_BCHW: Tensor) -> Tensor:
        """Images (B, 4Y + 2, 4X + 2, C), all of whose tiles are whole."""
        (above, before), below, beside = self.margins, self.down * OUT - self.height, self.right * OUT - self.width
        padding = 0, 0, before, before + beside, above, above + below
        return functional.pad(images_BCHW.permute(0, 2, 3, 1), padding)

    def groups(self, images: int, channels: int) -> Iterator[slice]:
        """The images that are computed at once."""
        at_once = max(1, TILE_BYTES // (SIDE * SIDE * self.down * self.right * channels * 4))
        return (slice(start, start + at_once) for start in range(0, images, at_once))


def convolution(
    images_BCHW: Tensor,
    filters_36KC: Tensor,
    bias_K: Tensor | None,
    margins: tuple[int, int],
    multiply: Multiply,
) -> Tensor:
    """The convolution (B, K, H, W) of images in float32 with transformed filters, in the memory
    format of the images."""
    tiling = Tiling.of(images_BCHW, margins)
    shape = len(images_BCHW), filters_36KC.shape[1], tiling.height, tiling.width
    is_last = images_BCHW.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if is_last else torch.contiguous_format
    output_BKHW = torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=memory_format)
    for group in tiling.groups(*images_BCHW.shape[:2]):
        products_36PK = multiply(cut(tiling.padded(images_BCHW[group])), filters_36KC, bias_K)
        output_BHWK = joined(products_36PK, tiling.down, tiling.right)
        output_BKHW[group] = output_BHWK[:, : tiling.height, : tiling.width].permute(0, 3, 1, 2)
    return output_BKHW


def gradient_of_filters(images_BCHW: Tensor, gradient_BKHW: Tensor, margins: tuple[int, int]) -> Tensor:
    """The gradient (K, C, 3, 3) of filters, from that of the convolution of the images: the adjoint
    of each step of `convolution`."""
    tiling = Tiling.of(images_BCHW, margins)
    channels, outputs = images_BCHW.shape[1], gradient_BKHW.shape[1]
    below, beside = tiling.down * OUT - tiling.height, tiling.right * OUT - tiling.width
    sum_36KC = images_BCHW.new_zeros(SIDE * SIDE, outputs, channels)
    for group in tiling.groups(len(images_BCHW), max(channels, outputs)):
        gradient_BHWK = functional.pad(gradient_BKHW[group].permute(0, 2, 3, 1), (0, 0, 0, beside, 0, below))
        sum_36KC.baddbmm_(spread(gradient_BHWK).transpose(1, 2), cut(tiling.padded(images_BCHW[group])))
    weights_9KC = torch.kron(FILTERS, FILTERS).T @ sum_36KC.view(SIDE * SIDE, -1)
    return weights_9KC.view(3, 3, outputs, channels).permute(2, 3, 0, 1)


def transformed(weight_KC33: Tensor) -> Tensor:
    """The filters (36, K, C) of the products: four times as many numbers as the weights."""
    outputs, inputs = weight_KC33.shape[:2]
    weights_9KC = weight_KC33.detach().permute(2, 3, 0, 1).reshape(9, -1)
    return (torch.kron(FILTERS, FILTERS) @ weights_9KC).view(SIDE * SIDE, outputs, inputs)


def cut(images_BHWC: Tensor) -> Tensor:
    """The transformed tiles (36, P, C) of images that are padded to 4Y + 2 and 4X + 2."""
    images, height, width, channels = images_BHWC.shape
    down, right = height // OUT, width // OUT
    rows = images_BHWC.new_empty(SIDE, images, down, width, channels)
    tile_rows([images_BHWC[:, row : row + OUT * down - 3 : OUT] for row in range(SIDE)], list(rows))
    tiles = images_BHWC.new_empty(SIDE, SIDE, images, down, right, channels)
    tile_rows([rows[:, :, :, left : left + OUT * right - 3 : OUT] for left in range(SIDE)], list(tiles.unbind(1)))
    return tiles.view(SIDE * SIDE, -1, channels)


def joined(products_36PK: Tensor, down: int, right: int) -> Tensor:
    """The output (B, 4Y, 4X, K) of all products."""
    outputs = products_36PK.shape[2]
    products = products_36PK.view(SIDE, SIDE, -1, down, right, outputs)
    images = products.shape[2]
    rows = products.new_empty(OUT, SIDE, images, down, right, outputs)
    output_rows(list(products), list(rows))
    output = products.new_empty(images, down, OUT, right, OUT, outputs)
    output_rows(list(rows.unbind(1)), list(output.permute(4, 2, 0, 1, 3, 5)))
    return output.view(images, OUT * down, OUT * right, outputs)


def spread(gradient_BHWK: Tensor) -> Tensor:
    """The gradients (36, P, K) of the products, from those of the output (B, 4Y, 4X, K)."""
    images, height, width, outputs = gradient_BHWK.shape
    down, right = height // OUT, width // OUT
    parts = gradient_BHWK.view(images, down, OUT, right, OUT, outputs).permute(4, 2, 0, 1, 3, 5)
    rows = gradient_BHWK.new_empty(SIDE, OUT, images, down, right, outputs)
    gradient_rows(list(parts), list(rows))
    products = gradient_BHWK.new_empty(SIDE, SIDE, images, down, right, outputs)
    gradient_rows(list(rows.unbind(1)), list(products.unbind(0)))
    return products.view(SIDE * SIDE, -1, outputs)


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


def gradient_rows(rows: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    """A of the paper: six sums of four rows."""
    y0, y1, y2, y3 = rows
    even, odd = y0 + y2, y1 + y3
    into[0].copy_(y0)
    torch.add(even, odd, out=into[1])
    torch.sub(even, odd, out=into[2])
    torch.add(y0, y2, alpha=4, out=even)
    torch.add(y1, y3, alpha=4, out=odd)
    torch.add(even, odd, alpha=2, out=into[3])
    torch.sub(even, odd, alpha=2, out=into[4])
    into[5].copy_(y3)
