"""From the name of a device to the device."""

from __future__ import annotations

import os

import torch

from zoo_core.devices.kinds import CPU, KINDS, accelerators
from zoo_core.errors import UsageError

DEVICES = "auto, cpu, cuda, cuda:N, xpu or mps"


def find_device(text: str) -> torch.device:
    """The device named "auto", "cpu", "cuda", "cuda:N", "mps" and so on: "auto" is the first
    accelerator that is here, or else the CPU. One of several has its number: which one torch means
    without it depends on the thread. Raises UsageError when it is not here."""
    if text == "auto":
        text = next((one.name for one in accelerators()), CPU.name)
    try:
        device = torch.device(text)
    except RuntimeError:
        raise UsageError(f"there is no device '{text}'. Use {DEVICES}.") from None
    kind = KINDS.get(device.type)
    if kind is None:
        raise UsageError(f"zoo runs on {', '.join(KINDS)}, not on '{text}'.")
    if kind.name != CPU.name and kind.backend and device.index is None and "LOCAL_RANK" in os.environ:
        device = torch.device(kind.name, int(os.environ["LOCAL_RANK"]))  # torchrun starts one process per device
    if kind.is_accelerator and (device.index or 0) >= (count := kind.count()):
        raise UsageError(
            f"the device '{device}' is not here: {count} {kind.name.upper()} devices are visible. "
            "Use --device cpu or auto."
        )
    number = kind.current() if device.index is None else device.index
    return device if number is None else torch.device(kind.name, number)
