"""Convolutions of a frozen prefix from tiles: their filters are transformed once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_core.tiles.products import Multiplication, has_many_channels, in_float32_on_cpu, in_full_float32
from zoo_core.tiles.winograd import convolution, is_plain


class WinogradConvolution(nn.Conv2d):
    """A 3 x 3 convolution whose weights no longer change; in float32 on a CPU it is computed from
    tiles."""

    multiply: Multiplication

    def prepare(self) -> None:
        """Prepare for `forward`; again after any change of the weights."""
        self.multiply = Multiplication(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        margins = self.padding
        if isinstance(margins, str) or not self._takes(input):
            return super().forward(input)
        height, width = margins
        return convolution(input, self.out_channels, (height, width), self.multiply)

    def _takes(self, input: Tensor) -> bool:
        """Whether these images, whose gradient nobody wants, are convolved from tiles; torch names
        the fault of those that cannot be convolved at all."""
        return (
            input.ndim == 4
            and input.shape[1] == self.in_channels
            and min(input.shape[2:]) >= max(self.kernel_size)
            and not (input.requires_grad and torch.is_grad_enabled())
            and in_float32_on_cpu(input, self.weight)
            and in_full_float32()
        )


def suits(module: nn.Module) -> bool:
    """Whether a module is a convolution that is faster so on this processor."""
    return (
        type(module) is nn.Conv2d
        and is_plain(module.weight.shape, module.stride, module.padding, module.dilation, module.groups)
        and has_many_channels(module.in_channels, module.out_channels)
        and module.padding_mode == "zeros"
        and in_float32_on_cpu(module.weight, module.weight)
    )
