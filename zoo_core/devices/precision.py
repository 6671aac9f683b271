"""The precision of a training step's forward pass: float32, or bfloat16 by autocast.

Weights, their gradients, the optimizer and the loss are float32 either way. So is everything that
is not a training step: the frozen prefix, whose features other runs read, and every evaluation, so
that the function that chooses the best epoch is the one that is reported and shipped.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from zoo_core.settings import Precision


def resolve_precision(asked: Precision, device: torch.device) -> Precision:
    """The precision asked for; "auto" is bfloat16 on a GPU that supports it, and float32 on every
    CPU.

    Some CPUs have units for bfloat16. Their speed and accuracy have not been measured, so "auto"
    gives the same numbers on all CPUs.
    """
    if asked != "auto":
        return asked
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if able else "float32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of the forward pass of a training step in this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def full_precision(outputs: Tensor) -> Tensor:
    """Outputs in float32, whatever the forward pass computed in; float64 stays."""
    return outputs if outputs.dtype == torch.float64 else outputs.float()
