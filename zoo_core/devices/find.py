"""From the name of a device to the device."""

from __future__ import annotations

import os

import torch

from zoo_core.errors import UsageError


def find_device(text: str) -> torch.device:
    """The device named "auto", "cpu", "cuda" or "cuda:N". Raises UsageError when it is not visible."""
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"
    if text == "cuda" and "LOCAL_RANK" in os.environ:  # torchrun starts one process per device
        text = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(text)
    except RuntimeError:
        raise UsageError(f"there is no device '{text}'. Use auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"zoo runs on cpu and cuda, not on '{text}'.")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise UsageError(
            f"the device '{text}' is not here: {count} CUDA devices are visible. Use --device cpu or auto."
        )
    return device
