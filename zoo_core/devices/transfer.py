"""Copies between the memory of the CPU and that of an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

K = TypeVar("K")


def is_accelerator(device: torch.device) -> bool:
    """Whether the device computes beside the CPU, which can prepare the next images meanwhile."""
    return device.type == "cuda"


def free_memory(device: torch.device) -> int:
    """The free memory of a GPU in bytes."""
    return torch.cuda.mem_get_info(device)[0]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device; the copy to a GPU runs while the CPU goes on."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def to_cpu_async(tensors: Mapping[K, Tensor]) -> Callable[[], dict[K, Tensor]]:
    """Start the copies to the memory of the CPU. The function returned waits for them and gives the
    tensors."""
    copies = {key: tensor.to("cpu", non_blocking=True) for key, tensor in tensors.items()}
    if not any(tensor.is_cuda for tensor in tensors.values()):
        return lambda: copies
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def wait() -> dict[K, Tensor]:
        copied.synchronize()
        return copies

    return wait
