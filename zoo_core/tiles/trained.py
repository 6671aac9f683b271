"""Convolutions of training from tiles, with their gradients. Where none are wanted they are
direct: a trained layer is measured as everybody else who has its weights computes it.

Shapes: B batch, C channels, K output channels, H height, W width, P tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from zoo_core.tiles.products import Multiplication, has_many_channels, in_float32_on_cpu, in_full_float32
from zoo_core.tiles.winograd import OUT, convolution, gradient_of_filters, is_plain, pair

FEWEST_TILES = 128
"""With fewer tiles, transforming the filters in every step takes as long as it saves."""


class TilesInTraining(TorchFunctionMode):
    """In this context the convolutions that suit are computed from tiles wherever gradients are
    wanted."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is torch.conv2d and torch.is_grad_enabled():
            margins = _margins(*args, **given)
            if margins is not None:
                return _FromTiles.apply(*_operands(*args, **given), margins)
        return func(*args, **given)


class _FromTiles(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, images_BCHW: Tensor, weight_KC33: Tensor, bias_K: Tensor | None, margins: tuple[int, int]
    ) -> Tensor:
        context.save_for_backward(images_BCHW, weight_KC33)
        context.margins = margins
        return convolution(images_BCHW, len(weight_KC33), margins, Multiplication(weight_KC33, bias_K))

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient_BKHW: Tensor) -> tuple[Tensor | None, ...]:
        images_BCHW, weight_KC33 = context.saved_tensors
        height, width = context.margins
        of_images = of_weight = of_bias = None
        if context.needs_input_grad[0]:  # a convolution with the filters turned around
            turned_CK33, margins = weight_KC33.flip(2, 3).transpose(0, 1), (2 - height, 2 - width)
            of_images = convolution(gradient_BKHW, len(turned_CK33), margins, Multiplication(turned_CK33))
        if context.needs_input_grad[1]:
            of_weight = gradient_of_filters(images_BCHW, gradient_BKHW, context.margins)
        if context.needs_input_grad[2]:
            of_bias = gradient_BKHW.sum((0, 2, 3))
        return of_images, of_weight, of_bias, None


def may_suit(module: nn.Module) -> bool:
    """Whether a module is a convolution that, with enough images, is computed from tiles."""
    if not isinstance(module, nn.Conv2d):
        return False
    shape = module.out_channels, module.in_channels // module.groups, *module.kernel_size
    return _suits(shape, module.stride, module.padding, module.dilation, module.groups)


def _operands(input: Tensor, weight: Tensor, bias: Tensor | None = None, *others: Any, **named: Any) -> tuple[Any, ...]:
    return input, weight, bias


def _margins(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[int, int] | None:
    """The padding of a convolution that is to be computed from tiles, None of another."""
    if (
        input.ndim != 4
        or input.shape[1] != weight.shape[1]
        or not in_float32_on_cpu(input, weight)
        or not in_full_float32()
    ):
        return None
    if not (input.requires_grad or weight.requires_grad) or not _suits(weight.shape, stride, padding, dilation, groups):
        return None
    height, width = pair(padding)
    down, right = (
        -(-(side + 2 * margin - 2) // OUT) for side, margin in zip(input.shape[2:], (height, width), strict=True)
    )
    return (height, width) if len(input) * down * right >= FEWEST_TILES else None


def _suits(shape_KC33: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    return (
        is_plain(shape_KC33, stride, padding, dilation, groups)
        and has_many_channels(*shape_KC33[:2])
        and max(pair(padding)) <= 2  # the gradient of the input has the rest of it
    )
