"""Receptive fields and multiply-accumulates, read off the functions that a network calls.

The network runs on the meta device: nothing is computed. A cell i of a feature map depends on the
pixels from `low + jump * i` to `high + jump * i` along each axis; every convolution and pooling
widens that window. A function whose effect is not known makes the field unknown, never wrong.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from zoo_core.model.lean_torch import ACTIVATIONS, ShapeInference

Dims = tuple[int, int]
"""The places of height and width among a tensor's dimensions."""


@dataclass(frozen=True)
class Axis:
    """The pixels that cell i depends on, along one axis: `low + jump * i` to `high + jump * i`."""

    low: int = 0
    high: int = 0
    jump: int = 1

    @property
    def size(self) -> int:
        """The number of pixels from the first to the last."""
        return self.high - self.low + 1

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """The axis behind a window that moves over it."""
        low = self.low - padding * self.jump
        return Axis(low, low + (self.high - self.low) + dilation * (kernel - 1) * self.jump, self.jump * stride)

    def moved(self, cells: int) -> Axis:
        """The axis behind a padding with so many cells at its beginning."""
        return Axis(self.low - cells * self.jump, self.high - cells * self.jump, self.jump)


@dataclass(frozen=True)
class Reach:
    """The pixels that the cells of a tensor depend on: windows along height and width, or all."""

    height: Axis = Axis()
    width: Axis = Axis()
    dims: Dims = (2, 3)
    whole: bool = False
    """Whether every cell depends on the whole image."""


WHOLE = Reach(whole=True)
POINTWISE = frozenset(
    (
        *ACTIVATIONS,
        *("threshold", "clamp", "clamp_", "sqrt", "exp", "neg", "abs", "__neg__", "pow", "__pow__", "erf", "sign"),
        *("hardsigmoid", "hardswish_", "silu_", "sigmoid_", "tanh_", "softplus", "mish", "prelu", "gelu_", "elu_"),
        *("dropout", "dropout2d", "batch_norm", "local_response_norm", "contiguous", "clone", "to", "float", "detach"),
        *("add", "add_", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__", "div", "__truediv__"),
        *("mul", "mul_", "__mul__", "__rmul__", "__imul__", "addcmul", "where", "maximum", "minimum"),
    )
)
VIEWS = ("view", "reshape", "flatten", "squeeze", "unsqueeze", "expand")
PARTS = ("chunk", "split", "__getitem__", "narrow")


class Reaching(ShapeInference):
    """Follows the reach of every tensor from an image on, and counts multiply-accumulates."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.macs = 0
        self._known: MutableMapping[Tensor, Reach | None] = WeakTensorKeyDictionary()
        self._known[image] = Reach()

    def reach_of(self, tensor: Tensor) -> Reach | None:
        """The reach of a tensor; None where it is not known."""
        return self._known.get(tensor)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        inputs = [one for one in _tensors((*args, *given.values())) if one in self._known]
        before = [self._known[one] for one in inputs]  # a function in place replaces its input's
        shapes = [tuple(one.shape) for one in inputs]
        result = super().__torch_function__(func, types, args, kwargs)
        name, outputs = getattr(func, "__name__", ""), list(_tensors([result]))
        if inputs and outputs:
            reach = None
            with suppress(TypeError, ValueError, IndexError, KeyError):  # called in a way that no rule knows
                self.macs += _multiplications(name, args, outputs[0])
                reach = _behind(name, before, shapes, args, given, outputs)
            for one in outputs:
                self._known[one] = reach
        return result


def _behind(
    name: str,
    before: Sequence[Reach | None],
    shapes: Sequence[tuple[int, ...]],
    args: tuple[Any, ...],
    given: dict[str, Any],
    outputs: Sequence[Tensor],
) -> Reach | None:
    """The reach behind a function; None where it is not known."""
    if WHOLE in before and (name in POINTWISE or len(before) == 1 or name == "cat"):
        return WHOLE
    reach = _joined(before)
    if reach is None:
        return None
    shape, output = shapes[0], tuple(outputs[0].shape)
    kept = len(output) == len(shape) and all(output[dim] == shape[dim] for dim in reach.dims)
    if name in POINTWISE:
        return reach
    if name in ("conv2d", "max_pool2d", "_max_pool2d", "avg_pool2d"):
        return _windowed(name, reach, args, given)
    if name.startswith("adaptive_"):
        return reach if kept else WHOLE if output[-2:] == (1, 1) else None
    if name == "mean":
        dims = _dims(args[1] if len(args) > 1 else given.get("dim"), len(shape))
        return WHOLE if set(reach.dims) <= set(dims) else None
    if name == "group_norm":
        return WHOLE
    if name in ("layer_norm", "linear"):
        normalised = len(args[1]) if name == "layer_norm" else 1
        return reach if max(reach.dims) < len(shape) - normalised else None
    if name == "permute":
        order = _dims(args[1:] if len(args) > 2 else args[1], len(shape))
        return Reach(reach.height, reach.width, (order.index(reach.dims[0]), order.index(reach.dims[1])))
    if name == "pad" and args[1] and reach.dims == (len(shape) - 2, len(shape) - 1):
        left, _, top, _ = (*args[1], 0, 0)[:4]
        return Reach(reach.height.moved(top), reach.width.moved(left), reach.dims)
    if name == "cat" or (name in PARTS and kept):
        return reach if all(one.shape[dim] == shape[dim] for one in outputs for dim in reach.dims) else None
    if name in ("transpose", *VIEWS) and reach.dims[1] == len(shape) - 1 and output[-2:] == shape[-2:]:
        return Reach(reach.height, reach.width, (len(output) - 2, len(output) - 1))
    return None


def _windowed(name: str, reach: Reach, args: tuple[Any, ...], given: dict[str, Any]) -> Reach:
    """The reach behind a convolution or a pooling of maps (B, C, H, W)."""
    if name == "conv2d":
        values = dict(zip(("stride", "padding", "dilation"), args[3:6], strict=False)) | given
        kernel = tuple(args[1].shape[2:])
    else:
        names = ["kernel_size", "stride", "padding", *(["dilation"] if "max" in name else [])]
        values = dict(zip(names, args[1:], strict=False)) | given
        kernel = _pair(values["kernel_size"])
    stride = _pair(values.get("stride") or (1 if name == "conv2d" else kernel))
    dilation, padding = _pair(values.get("dilation", 1)), values.get("padding", 0)
    if padding == "same":
        padding = tuple(dilation[axis] * (kernel[axis] - 1) // 2 for axis in (0, 1))
    padding = _pair(0 if padding == "valid" else padding)
    height, width = (
        axis.window(kernel[place], stride[place], padding[place], dilation[place])
        for place, axis in enumerate((reach.height, reach.width))
    )
    return Reach(height, width)


def _joined(reaches: Sequence[Reach | None]) -> Reach | None:
    """The reach of a tensor that depends on several; None where one is not known, or they are cells
    of different sizes."""
    known = [one for one in reaches if one is not None]
    if (
        not known
        or len(known) < len(reaches)
        or len({(one.height.jump, one.width.jump, one.dims) for one in known}) > 1
    ):
        return None
    height, width = (
        Axis(min(one.low for one in each), max(one.high for one in each), each[0].jump)
        for each in ([one.height for one in known], [one.width for one in known])
    )
    return Reach(height, width, known[0].dims)


def _multiplications(name: str, args: tuple[Any, ...], output: Tensor) -> int:
    """The multiply-accumulates of a function, by the sizes of its operands."""
    if name == "conv2d":
        return int(output.numel() * prod(args[1].shape[1:]))
    if name == "linear":
        return output.numel() * int(args[1].shape[1])
    if name in ("matmul", "__matmul__", "bmm"):
        return output.numel() * int(args[0].shape[-1])
    if name == "scaled_dot_product_attention":
        query, key, value = args[:3]
        return int(prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))
    if name == "multi_head_attention_forward":
        query, key = args[:2]  # (tokens, B, C)
        return int(query.numel() * (4 * query.shape[-1] + 2 * key.shape[0]))
    return 0


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _pair(value: Any) -> tuple[int, int]:
    one, other = value if isinstance(value, list | tuple) else (value, value)
    return int(one), int(other)


def _dims(value: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions, counted from the first; None stands for all."""
    dims = range(ndim) if value is None else value if isinstance(value, Sequence | torch.Size) else (value,)
    return tuple(int(dim) % ndim for dim in dims)


def followed(
    stages: Iterable[tuple[str, Callable[[Tensor], Tensor]]], channels: int, size: int
) -> Iterator[tuple[str, int, Reach | None]]:
    """Run stages on the meta device, one after the other: the name, multiply-accumulates and reach
    of each."""
    features = torch.empty(1, channels, size, size, device="meta")
    with torch.no_grad(), torch.device("meta"):
        mode = Reaching(features)
        for name, stage in stages:
            before = mode.macs
            with mode:
                features = stage(features)
            yield name, mode.macs - before, mode.reach_of(features)
