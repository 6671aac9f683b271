"""The kinds of devices and what each can do. All of zoo asks here: nothing else knows one by its
name.

torch has a module for each kind of accelerator, `torch.cuda`, `torch.mps` or `torch.xpu`, whose
functions have the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


class Kind:
    """What devices of one kind can do. This one, the CPU, computes where the images are."""

    name = "cpu"
    title = "a CPU"
    is_accelerator = False
    """Whether it computes beside the CPU, which can prepare the next images meanwhile."""
    has_float64 = True
    has_pinned_memory = False
    """Whether copies from pinned memory of the CPU go on while the CPU does."""
    has_graphs = False
    """Whether the calls of a step can be recorded once and then replayed."""
    is_proven = True
    """Whether zoo's tests have run on it. What another computes is compared with the CPU first."""
    backend: str | None = "gloo"
    """Of torch.distributed, for the devices of processes that train together."""

    def count(self) -> int:
        """The number of devices that are here."""
        return 1

    @property
    def has_bfloat16(self) -> bool:
        """Whether to train in bfloat16 where nobody says. Some CPUs have units for it; their speed
        and accuracy differ, so that all CPUs give the numbers of float32."""
        return False

    @property
    def has_bfloat16_units(self) -> bool:
        """Whether it computes bfloat16 by itself, so that it may be faster than float32."""
        backend: Any = torch.backends.mkldnn
        return bool(backend.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())

    @property
    def sums_in(self) -> torch.dtype:
        """The number type of sums over many numbers."""
        return torch.float64 if self.has_float64 else torch.float32

    @property
    def float32_operations(self) -> tuple[Any, ...]:
        """torch's settings of the operations that may round float32 to fewer digits on it."""
        backend: Any = torch.backends.mkldnn
        return backend.matmul, backend.conv, backend.rnn

    def free_memory(self, device: torch.device) -> int:
        """The bytes of its own memory that are free: a CPU has none."""
        return 0

    def wait(self, device: torch.device) -> None:
        """Return when it has computed all that it was told to."""

    def mark(self, device: torch.device) -> Callable[[], None]:
        """A function that returns when a device has computed all that it was told by then."""
        return lambda: None

    def release_memory(self) -> None:
        """Give memory back that nothing uses and torch keeps."""

    def current(self) -> int | None:
        """The number of the one that is meant where none is named; None where there is one
        alone."""
        return None

    def choose(self, device: torch.device) -> None:
        """Make it the one that is meant where none is named."""

    def random_state(self) -> Tensor | None:
        """The state of its own generator of random numbers."""
        return None

    def load_random(self, state: Tensor) -> None:
        """Set its generator to a state that `random_state` gave."""


class Accelerator(Kind):
    """A device beside the CPU, of which torch's common functions are all that is known."""

    title = "a GPU"
    is_accelerator = True
    is_proven = False
    backend: str | None = None

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def has_bfloat16_units(self) -> bool:
        return self.has_bfloat16

    @property
    def module(self) -> ModuleType:
        return getattr(torch, self.name)  # type: ignore[no-any-return]

    def count(self) -> int:
        module = getattr(torch, self.name, None)
        return module.device_count() if module is not None and module.is_available() else 0

    def free_memory(self, device: torch.device) -> int:
        """The bytes of its own memory that are free, 0 where its driver does not say, as of some
        GPUs of Intel."""
        try:
            free: int = self.module.mem_get_info(device)[0]
        except RuntimeError:
            return 0
        return free

    def wait(self, device: torch.device) -> None:
        self.module.synchronize(device)

    def mark(self, device: torch.device) -> Callable[[], None]:
        event = self.module.Event()
        event.record(self.module.current_stream(device))
        wait: Callable[[], None] = event.synchronize
        return wait

    def release_memory(self) -> None:
        self.module.empty_cache()

    def current(self) -> int | None:
        return int(self.module.current_device()) if self.module.is_initialized() else 0

    def choose(self, device: torch.device) -> None:
        self.module.set_device(device.index or 0)

    def random_state(self) -> Tensor | None:
        state: Tensor = self.module.get_rng_state()
        return state

    def load_random(self, state: Tensor) -> None:
        self.module.set_rng_state(state)


class Cuda(Accelerator):
    """An NVIDIA GPU, or one of AMD, which torch calls by the same name."""

    has_pinned_memory = True
    has_graphs = True
    is_proven = True
    backend = "nccl"

    @property
    def has_bfloat16(self) -> bool:
        return bool(self.module.is_bf16_supported(including_emulation=False))

    @property
    def float32_operations(self) -> tuple[Any, ...]:
        backends: Any = torch.backends
        return backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn


class Mps(Accelerator):
    """The GPU of an Apple processor. It has no float64, and shares the memory of the CPU."""

    title = "an Apple GPU"
    has_float64 = False

    def count(self) -> int:
        return int(torch.backends.mps.is_available())

    def free_memory(self, device: torch.device) -> int:
        free: int = max(0, self.module.recommended_max_memory() - self.module.driver_allocated_memory())
        return free

    def wait(self, device: torch.device) -> None:
        self.module.synchronize()

    def current(self) -> int | None:
        return None

    def choose(self, device: torch.device) -> None:
        """There is one."""


CPU = Kind()
KINDS: dict[str, Kind] = {one.name: one for one in (CPU, Cuda("cuda"), Accelerator("xpu"), Mps("mps"))}
"""By name; `--device auto` takes the first accelerator that is here."""


def kind_of(device: torch.device) -> Kind:
    """The kind of a device that `find_device` gave."""
    return KINDS[device.type]


def accelerators() -> list[Kind]:
    """The kinds of accelerators of which one is here."""
    return [one for one in KINDS.values() if one.is_accelerator and one.count()]
