"""In which numbers a network computes: float32, or bfloat16 by autocast where the processor has units for it.

Weights, gradients of weights, the optimizer and the loss are float32 either way.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from zoo_core.config import Precision

BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")  # without them a product in bfloat16 takes ten times as long as in float32


def chosen_precision(asked: Precision, device: torch.device) -> Precision:
    """What is asked for; "auto" is bfloat16 where the device computes it faster."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if any(able.get(unit) for unit in BFLOAT16_UNITS) else "float32"


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network's forward pass runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
