"""Batch norms of several processes that take their statistics from the images of all of them, as
one process would from the whole batch.

Shapes: B batch of this process, C channels, N numbers of a channel in all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from zoo_core.devices.world import World


class StatisticsOfAll(TorchFunctionMode):
    """In this context a batch norm in training takes the mean and the variance of the images of all
    processes, each of which computes it.

    Together these are `images`, of which `own` pass here. A process that computes those of another
    one `counts` none of them.
    """

    def __init__(self, world: World, images: int, own: int, *, counts: bool) -> None:
        super().__init__()
        self.world, self.images, self.own, self.counts = world, images, own, counts

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is functional.batch_norm:
            return self._batch_norm(func, *args, **given)
        return func(*args, **given)

    def _batch_norm(
        self,
        func: Callable[..., Any],
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            plain: Tensor = func(input, running_mean, running_var, weight, bias, False, momentum, eps)
            return plain
        numbers = input.numel() // input.shape[1]  # of images whose tokens may have joined their batch
        count = self.images * numbers // self.own
        if count < 2:  # torch's words
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.size()}")
        mean_C, variance_C = self._statistics(input, count)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean_C.to(running_mean.dtype), momentum)
                running_var.lerp_((variance_C * (count / (count - 1))).to(running_var.dtype), momentum)
        output: Tensor = _Normalised.apply(input, weight, bias, mean_C, variance_C, eps, count, self)
        return output

    @torch.no_grad()
    def _statistics(self, input: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The mean and the variance (C) of so many numbers of a channel. The variance is that
        around the mean of all, so that large means cost no digits."""
        values = input.float() if input.dtype.itemsize < 4 else input
        mean_C = self.world.summed(values.sum(_others(input)) * self.counts) / count
        squares_C = (values - _along(mean_C, input)).square().sum(_others(input)) * self.counts
        return mean_C, self.world.summed(squares_C) / count


class _Normalised(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with the gradient through the mean and the
    variance, to which the images of all processes have contributed."""

    @staticmethod
    def forward(
        context: Any,
        input: Tensor,
        weight_C: Tensor | None,
        bias_C: Tensor | None,
        mean_C: Tensor,
        variance_C: Tensor,
        eps: float,
        count: int,
        mode: StatisticsOfAll,
    ) -> Tensor:
        context.save_for_backward(input, weight_C, mean_C, (variance_C + eps).rsqrt())
        context.count, context.world, context.counts = count, mode.world, mode.counts
        return functional.batch_norm(input, mean_C, variance_C, weight_C, bias_C, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight_C, mean_C, scale_C = context.saved_tensors
        normal = (input - _along(mean_C, input)) * _along(scale_C, input)
        of_bias_C = gradient.sum(_others(input), dtype=mean_C.dtype)
        of_weight_C = (gradient * normal).sum(_others(input), dtype=mean_C.dtype)
        sums_C, products_C = context.world.summed(torch.stack([of_bias_C, of_weight_C])) / context.count
        through_statistics = _along(sums_C, input) + normal * _along(products_C, input)
        centred = gradient - through_statistics * context.counts  # borrowed images moved no statistics
        factor_C = scale_C if weight_C is None else scale_C * weight_C
        of_input = (centred * _along(factor_C, input)).to(input.dtype)
        is_scaled = weight_C is not None
        return of_input, of_weight_C if is_scaled else None, of_bias_C if is_scaled else None, *[None] * 5


def _others(input: Tensor) -> list[int]:
    """The dimensions beside that of the channels."""
    return [0, *range(2, input.ndim)]


def _along(values_C: Tensor, input: Tensor) -> Tensor:
    """Values of the channels, to be computed with an input."""
    return values_C.view(1, -1, *[1] * (input.ndim - 2))
