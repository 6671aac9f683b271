"""Units of a regression: a head learns standardised numbers, a layer behind it undoes that.

Shapes: B batch, N images, K outputs.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class Units(nn.Module):
    """Outputs times `std` plus `mean`, both (K), which are saved with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_outputs))
        self.register_buffer("std", torch.ones(num_outputs))

    def forward(self, outputs_BK: Tensor) -> Tensor:
        """Standardised outputs (B, K) to the targets' units."""
        return outputs_BK * self.std + self.mean

    def set_from(self, targets_NK: Tensor) -> None:
        """Take mean and standard deviation of targets (N, K); a constant column keeps its scale.

        Units of float64 targets are float64, and so are the outputs.
        """
        std_K, mean_K = torch.std_mean(targets_NK.double(), dim=0, correction=0)
        if self.mean.dtype != targets_NK.dtype:
            self.to(targets_NK.dtype)
        self.mean.copy_(mean_K)
        self.std.copy_(torch.where(std_K > 0, std_K, torch.ones_like(std_K)))


def in_units(head: nn.Module, num_outputs: int) -> nn.Module:
    """A head followed by `Units`. A plain sequence keeps its layers where they are."""
    if type(head) is nn.Sequential:
        head.add_module("units", Units(num_outputs))
        return head
    return nn.Sequential(OrderedDict(answer=head, units=Units(num_outputs)))


def units_of(head: nn.Module) -> Units | None:
    """The units in which a head answers, None when it does not regress."""
    return next((module for module in head.children() if isinstance(module, Units)), None)
