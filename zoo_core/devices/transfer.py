"""Between the processor and a device that computes beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

K = TypeVar("K")


def is_accelerator(device: torch.device) -> bool:
    """Whether a device computes beside the processor, which reads the next images meanwhile."""
    return device.type == "cuda"


def free_memory(device: torch.device) -> int:
    """How many bytes of a GPU's memory nobody uses."""
    return torch.cuda.mem_get_info(device)[0]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; a GPU fetches it while the processor goes on."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def to_cpu_async(tensors: Mapping[K, Tensor]) -> Callable[[], dict[K, Tensor]]:
    """Begin to copy tensors to the processor's memory; what comes back waits until they are there."""
    there = {key: tensor.to("cpu", non_blocking=True) for key, tensor in tensors.items()}
    if not any(tensor.is_cuda for tensor in tensors.values()):
        return lambda: there
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def wait() -> dict[K, Tensor]:
        copied.synchronize()
        return there

    return wait
