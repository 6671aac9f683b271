"""Copies between the memory of the CPU and that of an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from zoo_core.devices.kinds import kind_of
from zoo_core.errors import UsageError

K = TypeVar("K")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device; a copy from pinned memory runs while the CPU goes on. Raises
    UsageError for float64 on a device without it."""
    if tensor.device.type == device.type:
        return tensor
    check_number_type(tensor, device)
    if not kind_of(device).has_pinned_memory:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def check_number_type(tensor: Tensor, device: torch.device) -> None:
    """Raise UsageError for float64 that a device has not."""
    kind = kind_of(device)
    if tensor.dtype == torch.float64 and not kind.has_float64:
        raise UsageError(
            f"these numbers differ by less than float32 can say, and {kind.title} has no float64. Use --device cpu, or take a "
            "constant away from all of them."
        )


def to_cpu_async(tensors: Mapping[K, Tensor]) -> Callable[[], dict[K, Tensor]]:
    """Start the copies to the memory of the CPU. The function returned waits for them and gives the
    tensors."""
    devices = {tensor.device for tensor in tensors.values()}
    begin = all(kind_of(device).has_pinned_memory for device in devices)
    copies = {key: tensor.to("cpu", non_blocking=begin) for key, tensor in tensors.items()}
    marks = [kind_of(device).mark(device) for device in devices if begin]  # else they are complete

    def wait() -> dict[K, Tensor]:
        for copied in marks:
            copied()
        return copies

    return wait
