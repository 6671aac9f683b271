"""3 x 3 convolutions with a quarter of the products: the minimal filtering F(4 x 4, 3 x 3) of
Winograd (Lavin, Gray 2016, arXiv 1509.09308).

The input is cut into tiles of 6 x 6 that overlap by two, and each gives 4 x 4 numbers of the
output: with the matrices of the paper

    output = A^T [(G filter G^T) * (B^T tile B)] A,  summed over the input channels.

Every M x M^T there is one product of a vector with the Kronecker product of M with itself, so that
all tiles are transformed by one product of matrices.

The results differ from those of a direct convolution by 1e-5 to 5e-5 of the largest of them.

Shapes: B batch, C channels, K output channels, H height, W width, Y x X tiles, P = B Y X tiles in
all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

TILE_BYTES = 16_000_000
"""About so much the transformed tiles take that are computed at once: they are to stay in the
processor's cache."""
SIDE, OUT = 6, 4  # numbers along a tile, and along its part of the output
FILTERS = (6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24)
TILES = (
    *((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0)),
    *((0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1)),
)
OUTPUT = (1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)
"""24 G, B^T and A^T of the paper."""


def _for_all(rows: Sequence[Sequence[int]], divisor: int = 1) -> Tensor:
    """M x M^T for M in `rows`, as a matrix for all numbers of x."""
    matrix = torch.tensor(rows, dtype=torch.float32, device="cpu").div(divisor)
    return torch.kron(matrix, matrix)


TO_FILTERS, TO_TILES, TO_OUTPUT = _for_all(FILTERS, 24), _for_all(TILES), _for_all(OUTPUT)
"""To transformed filters (36, 9), to transformed tiles (36, 36), and to outputs (16, 36)."""
BIAS_AT = 7  # of the 36 products: row and column 1, which A^T and A spread over the whole output with weight 1

Multiply = Callable[[Tensor], Tensor]
"""Gives the products (P, 36, K) of tiles (P, 36, C) and filters, each of the 36 summed over C; a
bias is added to those at BIAS_AT."""


def is_plain(shape_KC33: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Whether a convolution with these arguments, as torch takes them, can be computed from tiles."""
    return (
        tuple(shape_KC33[2:]) == (3, 3)
        and groups == 1
        and (pair(stride), pair(dilation)) == ((1, 1), (1, 1))
        and not isinstance(padding, str)
        and min(pair(padding)) >= 0
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
        most = max(1, TILE_BYTES // (SIDE * SIDE * self.down * self.right * channels * 4))
        at_once = math.ceil(images / math.ceil(max(1, images) / most))  # of one size, if they can
        return (slice(start, start + at_once) for start in range(0, images, max(1, at_once)))


def convolution(images_BCHW: Tensor, outputs: int, margins: tuple[int, int], multiply: Multiply) -> Tensor:
    """The convolution (B, K, H, W) of images in float32 with filters for so many `outputs`, in the
    memory format of the images."""
    tiling = Tiling.of(images_BCHW, margins)
    shape = len(images_BCHW), outputs, tiling.height, tiling.width
    is_last = images_BCHW.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if is_last else torch.contiguous_format
    output_BKHW = torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=memory_format)
    for group in tiling.groups(*images_BCHW.shape[:2]):
        products_P36K = multiply(cut(tiling.padded(images_BCHW[group])))
        output_BHWK = joined(products_P36K, tiling.down, tiling.right)
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
        tiles_P36C = cut(tiling.padded(images_BCHW[group]))
        sum_36KC.baddbmm_(spread(gradient_BHWK).permute(1, 2, 0), tiles_P36C.transpose(0, 1))
    weights_9KC = TO_FILTERS.T @ sum_36KC.view(SIDE * SIDE, -1)
    return weights_9KC.view(3, 3, outputs, channels).permute(2, 3, 0, 1)


def transformed(weight_KC33: Tensor) -> Tensor:
    """The filters (36, K, C) of the products: four times as many numbers as the weights."""
    outputs, inputs = weight_KC33.shape[:2]
    weights_9KC = weight_KC33.detach().permute(2, 3, 0, 1).reshape(9, -1)
    return (TO_FILTERS @ weights_9KC).view(SIDE * SIDE, outputs, inputs)


def cut(images_BHWC: Tensor) -> Tensor:
    """The transformed tiles (P, 36, C) of images that are padded to 4Y + 2 and 4X + 2."""
    tiles_BYXC66 = images_BHWC.unfold(1, SIDE, OUT).unfold(2, SIDE, OUT)
    return TO_TILES @ tiles_BYXC66.permute(0, 1, 2, 4, 5, 3).reshape(-1, SIDE * SIDE, images_BHWC.shape[3])


def joined(products_P36K: Tensor, down: int, right: int) -> Tensor:
    """The output (B, 4Y, 4X, K) of all products."""
    outputs = products_P36K.shape[2]
    parts = (TO_OUTPUT @ products_P36K).view(-1, down, right, OUT, OUT, outputs)
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, OUT * down, OUT * right, outputs)


def spread(gradient_BHWK: Tensor) -> Tensor:
    """The gradients (P, 36, K) of the products, from those of the output (B, 4Y, 4X, K)."""
    images, height, width, outputs = gradient_BHWK.shape
    parts = gradient_BHWK.view(images, height // OUT, OUT, width // OUT, OUT, outputs).permute(0, 1, 3, 2, 4, 5)
    return TO_OUTPUT.T @ parts.reshape(-1, OUT * OUT, outputs)
