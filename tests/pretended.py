"""A pretended device: tensors that compute on the CPU and refuse what a device of this kind has not.

Tensors on it say that they are on `mps`. As on the real one, float64 is refused, and so is an operation on tensors of two
devices. What the real one computes wrongly is not pretended: `broken` names an operation whose answers are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from zoo_core.devices.kinds import KINDS, Mps

MPS = torch.device("mps", 0)


class Pretended(Tensor):
    """A tensor on the pretended device, whose numbers are in `own`."""

    own: Tensor

    @staticmethod
    def __new__(cls, own: Tensor) -> Pretended:
        if own.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        made: Pretended = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, own.shape, strides=own.stride(), dtype=own.dtype, device="cpu", requires_grad=False
        )
        made.own = own.detach()
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return MPS

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() first")

    def pin_memory(self, *arguments: Any, **named: Any) -> Tensor:
        raise RuntimeError("cannot pin 'mps' memory")

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretended({self.own})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        return computed(function, arguments, named or {})


class Moves(TorchFunctionMode):
    """Makes tensors on the pretended device, and copies them to and from it."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = dict(named or {})
        if function in (Tensor.to, Tensor.cpu):
            return moved(function, arguments, named)
        if function is functional.one_hot and isinstance(
            arguments[0], Pretended
        ):  # it makes a tensor on a device itself
            return Pretended(function(arguments[0].own, *arguments[1:], **named))
        if is_mps(named.get("device")):
            return Pretended(function(*arguments, **{**named, "device": torch.device("cpu")}))
        return function(*arguments, **named)


def is_mps(value: object) -> bool:
    return isinstance(value, torch.device | str) and str(value).startswith("mps")


def moved(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    """`Tensor.to` and `Tensor.cpu`."""
    tensor, *rest = arguments
    values = [*rest, *named.values()]
    to_mps = any(is_mps(one) for one in values)
    to_cpu = function is Tensor.cpu or any(isinstance(one, torch.device | str) and str(one) == "cpu" for one in values)
    rest = [torch.device("cpu") if is_mps(one) else one for one in rest]
    named = {key: torch.device("cpu") if is_mps(one) else one for key, one in named.items()}
    if isinstance(tensor, Pretended) and to_cpu:
        return torch.clone(function(tensor.own, *rest, **named))
    if to_mps and not isinstance(tensor, Pretended):
        return Pretended(torch.clone(function(tensor, *rest, **named)))
    made: Tensor = function(tensor, *rest, **named)
    return made


broken: set[str] = set()
"""The names of operations that the device computes wrongly."""
calls: list[str] = []
"""The operations that it computed."""


def computed(function: Any, arguments: Any, named: dict[str, Any]) -> Any:
    """Compute an operation where its tensors are."""
    flat, _ = tree_flatten((arguments, named))
    name = function.overloadpacket.__name__
    strangers = [one for one in flat if isinstance(one, Tensor) and not isinstance(one, Pretended) and one.ndim]
    if strangers and name not in ("copy_", "index", "index_put_"):
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found at least two, mps:0 and cpu"
        )
    plain = tree_map(lambda one: one.own if isinstance(one, Pretended) else one, (arguments, named))
    result = function(*plain[0], **plain[1])
    calls.append(name)
    if name in broken:
        result = tree_map(lambda one: one * 1.5 if isinstance(one, Tensor) else one, result)
    if name.endswith("_") and not name.endswith("__"):  # in place: the same tensor
        return arguments[0] if isinstance(arguments[0], Tensor) else None
    return tree_map(lambda one: Pretended(one) if isinstance(one, Tensor) else one, result)


class PretendedMps(Mps):
    """The kind of the pretended device."""

    def __init__(self) -> None:
        super().__init__("mps")

    def count(self) -> int:
        return 1

    def free_memory(self, device: torch.device) -> int:
        return 10**9

    def wait(self, device: torch.device) -> None:
        pass

    def release_memory(self) -> None:
        pass

    def random_state(self) -> None:
        return None

    def mark(self, device: torch.device) -> Any:
        return lambda: None


@contextmanager
def pretended_mps(monkeypatch: Any) -> Iterator[None]:
    """A machine with the pretended device."""
    monkeypatch.setitem(KINDS, "mps", PretendedMps())
    broken.clear()
    calls.clear()
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a tensor cannot become one of another class
    try:
        with Moves():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
