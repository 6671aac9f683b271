"""The precision of a training step's forward pass: float32, or bfloat16 by autocast.

Weights, their gradients, the optimizer and the loss are float32 either way. So is everything that
is not a training step: the frozen prefix, whose features other runs read, and every evaluation, so
that the function that chooses the best epoch is the one that is reported and shipped.
`--prefix-precision bfloat16` alone lets the prefix compute training images in bfloat16.

torch itself rounds the float32 of a convolution to 10 bits on GPUs that do so fast (TF32), and
programs may allow it more. Training steps compute as torch does; `exact_float32` is around all else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from zoo_core.devices.kinds import CPU, accelerators, kind_of
from zoo_core.settings import Precision

EXACT = ("none", "ieee")
"""The values of torch's settings that leave float32 as it is."""


def resolve_precision(asked: Precision, device: torch.device) -> Precision:
    """The precision asked for; "auto" is bfloat16 on devices that are known to be good at it."""
    if asked != "auto":
        return asked
    return "bfloat16" if kind_of(device).has_bfloat16 else "float32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of the forward pass of a training step in this precision.

    torch remembers converted weights until the outermost such context ends, which may be the
    program's: then later steps would compute with the weights of the first.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)


def full_precision(outputs: Tensor) -> Tensor:
    """Outputs in float32, whatever the forward pass computed in; float64 stays."""
    return outputs if outputs.dtype == torch.float64 else outputs.float()


@dataclass
class _Rounding:
    """The settings of one kind of device that rounded float32 before the first of `users` asked for exact
    numbers."""

    users: int = 0
    before: list[tuple[Any, str]] = field(default_factory=list)


_roundings: defaultdict[str, _Rounding] = defaultdict(_Rounding)
_LOCK = Lock()


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """In this context a device computes float32 without rounding it to fewer digits, whatever the
    program allows. torch has one setting for all threads: the last one to leave puts it back."""
    kind = kind_of(device)
    rounding = _roundings[kind.name]
    with _LOCK:
        if not rounding.users:
            settings = [(one, one.fp32_precision) for one in kind.float32_operations]
            rounding.before = [(operation, before) for operation, before in settings if before not in EXACT]
            for operation, _ in rounding.before:
                operation.fp32_precision = "ieee"
        rounding.users += 1
    try:
        yield
    finally:
        with _LOCK:
            rounding.users -= 1
            for operation, before in () if rounding.users else rounding.before:
                operation.fp32_precision = "none"  # as the settings of all operations say
                if operation.fp32_precision != before:
                    operation.fp32_precision = before


@contextmanager
def as_usual() -> Iterator[None]:
    """In this context torch computes as in a fresh program, whatever the program around it has set:
    with gradients, without autocast, in float32, and on the CPU where no device is named.
    Afterwards each kind has its current device of before."""
    before = torch.get_default_dtype()
    current = {kind: kind.current() for kind in accelerators()}
    with ExitStack() as settings:
        settings.enter_context(torch.inference_mode(False))
        settings.enter_context(torch.enable_grad())
        if torch.get_default_device() != torch.device(CPU.name):
            settings.enter_context(torch.device(CPU.name))
        for kind in (CPU, *accelerators()):
            if torch.is_autocast_enabled(kind.name):
                settings.enter_context(torch.autocast(kind.name, enabled=False))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
            for kind, number in current.items():
                if number is not None and kind.current() != number:
                    kind.choose(torch.device(kind.name, number))
