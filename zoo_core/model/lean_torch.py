"""Keeps torch's compiler, whose import takes a second, out of every command that compiles nothing.

`ZOO_LEAN_TORCH=0` switches all of this off: torch then does the same by its own code.

Shapes: B batch, C channels, D output channels, G channels of a group, H height, W width.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

Kind = TypeVar("Kind", bound=Optimizer)

LEAN = os.environ.get("ZOO_LEAN_TORCH", "1") != "0"
"""The switch."""

NORMS = ("batch_norm", "group_norm", "layer_norm", "local_response_norm", "dropout")
ACTIVATIONS = (
    "relu",
    "relu_",
    "relu6",
    "hardtanh",
    "tanh",
    "sigmoid",
    "silu",
    "hardswish",
    "gelu",
    "elu",
    "leaky_relu",
)
SUMS = ("add", "add_", "__add__", "__iadd__", "mul", "mul_", "__mul__", "__imul__")


def _functions(names: Iterable[str]) -> frozenset[Any]:
    homes = (nn.functional, torch, Tensor)
    return frozenset(getattr(home, name) for home in homes for name in names if hasattr(home, name))


HANDING_ON, SUMMING = _functions((*NORMS, *ACTIVATIONS)), _functions(SUMS)
POOLING = _functions(("avg_pool2d", "max_pool2d", "_max_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"))
CONVOLVING, LINEAR = _functions(("conv2d",)), _functions(("linear",))
ATTENDING = _functions(("scaled_dot_product_attention",))


class ShapeInference(TorchFunctionMode):
    """Infers shapes on the meta device, where torch's own functions are slow or import the
    compiler.

    A function that keeps the shape hands it on; one that moves a window over a feature map moves it
    over one channel on the CPU.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        first = args[0] if args else given.get("input")
        if not (LEAN and isinstance(first, Tensor) and first.is_meta):
            return func(*args, **given)
        if func in HANDING_ON and first.is_floating_point():
            return _alike(func, first)
        if func in SUMMING and len(args) == 2 and isinstance(args[1], Tensor) and _spreads(first, args[1]):
            return _alike(func, first)
        if func in POOLING and args and args[0].ndim == 4:
            return _pooled(func, *args, **given)
        if func in CONVOLVING and len(args) > 1 and args[0].ndim == 4:
            return _convolved(func, *args, **given)
        if func in ATTENDING and len(args) == 3 and given.get("attn_mask") is None and _attends(*args):
            return first.new_empty(*first.shape[:-1], args[2].shape[-1])
        if (
            func in LINEAR and len(args) > 1 and args[0].shape[-1] == args[1].shape[-1]
        ):  # else torch raises its own error
            return args[0].new_empty(*args[0].shape[:-1], args[1].shape[0])
        return func(*args, **given)


def _alike(func: Any, first: Tensor) -> Tensor:
    """The result of a function that keeps shape and type: in place the very tensor, else a new
    one."""
    name: str = func.__name__
    in_place = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
    return first if in_place else first.new_empty(first.shape)


def _spreads(first: Tensor, second: Tensor) -> bool:
    """Whether the second tensor has the type of the first, and the shape of it or of its last
    dimensions."""
    missing = first.ndim - second.ndim
    return missing >= 0 and first.shape[missing:] == second.shape and first.dtype == second.dtype


def _attends(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether these go together in plain attention; else torch decides, and raises its own
    errors."""
    same_batch = query.shape[:-3] == key.shape[:-3] == value.shape[:-3]
    return same_batch and query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2]


def _pooled(pool: Any, images_BCHW: Tensor, *args: Any, **given: Any) -> Tensor:
    one_channel = torch.empty(1, 1, *images_BCHW.shape[2:], device="cpu")
    return images_BCHW.new_empty(*images_BCHW.shape[:2], *pool(one_channel, *args, **given).shape[2:])


def _convolved(
    convolve: Any,
    images_BCHW: Tensor,
    weight_DGHW: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    window = stride, padding, dilation
    if images_BCHW.shape[1] != groups * weight_DGHW.shape[1]:  # torch raises its own error
        return convolve(images_BCHW, weight_DGHW, bias, *window, groups)  # type: ignore[no-any-return]
    one_channel = [torch.empty(1, 1, *tensor.shape[2:], device="cpu") for tensor in (images_BCHW, weight_DGHW)]
    sides = convolve(*one_channel, None, *window).shape[2:]
    return images_BCHW.new_empty(len(images_BCHW), len(weight_DGHW), *sides)


def without_compiler(kind: type[Kind]) -> type[Kind]:
    """The same optimizer without its decorators for compiled code, which import the compiler."""
    if not LEAN:
        return kind
    own: dict[str, Any] = {
        name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad", "step")
    }
    return type(kind.__name__, (kind,), {**own, "step": torch.no_grad()(own["step"])})
