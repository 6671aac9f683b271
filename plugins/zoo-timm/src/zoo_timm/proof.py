"""The proof that a chain of stages computes what timm's network computes: the same operators with the same wiring.

Both run on the meta device under a recorder of torch's operators. Each entry names the operator, where each of its
tensors came from, and its other arguments. Two equal records are the same computation for every image of that size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

PERMUTE = torch.ops.aten.permute.default


class _Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators that depend on the image.

    A tensor that parameters and constants alone decide is named by its expression: a network may compute such a table
    once, for each block, or when it is first called. Permutations in a row count as one, and none where they undo each
    other.
    """

    def __init__(self, net: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        named = [*net.named_parameters(), *net.named_buffers()]
        self.names: dict[int, Any] = {id(tensor): name for name, tensor in named} | {id(image): "image"}
        self.alive = [image, *(tensor for _, tensor in named)]  # an id means one tensor only while that tensor is alive
        self.of_image = {id(image)}
        self.entries: list[Any] = []
        self.flops = 0

    def name(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            self.alive.append(value)
            return self.names.get(id(value), f"table {id(value)}")  # one that the network computed before
        if isinstance(value, list | tuple):
            return tuple(map(self.name, value))
        return str(value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        output = func(*args, **given)
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **given, out_val=output)
        if func is PERMUTE:
            self._turn(args[0], args[1], output)
            return output
        entry = (str(func), self.name(args), tuple((key, self.name(value)) for key, value in given.items()))
        inputs = list(_tensors((args, tuple(given.values()))))
        varies = any(id(tensor) in self.of_image for tensor in inputs)
        if varies:
            self.entries.append(entry)
        for place, tensor in enumerate(_tensors(output)):
            if varies and not (id(tensor) in self.of_image and any(tensor is one for one in inputs)):
                self._remember(tensor, f"tensor {len(self.entries)}.{place}", varies)
            elif not varies:
                self._remember(tensor, f"{hash(entry):x}.{place}", varies)
        return output

    def _remember(self, tensor: Tensor, name: Any, varies: bool) -> None:
        self.names[id(tensor)] = name
        self.alive.append(tensor)
        if varies:
            self.of_image.add(id(tensor))

    def _turn(self, tensor: Tensor, axes: Any, output: Tensor) -> None:
        name = self.name(tensor)
        source, before = name[1:] if isinstance(name, tuple) and name[0] == "permuted" else (name, None)
        axes = [axis % tensor.ndim for axis in axes]
        order = tuple(axes if before is None else (before[axis] for axis in axes))
        same = order == tuple(range(tensor.ndim))
        self._remember(output, source if same else ("permuted", source, order), id(tensor) in self.of_image)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def record(forward: Callable[[Tensor], Tensor], net: nn.Module, image: Tensor) -> tuple[list[Any], Any, int]:
    """The operators of a computation, the name of its result, and its floating-point operations.

    The names of parameters are those of `net`, whose tensors the computation uses.
    """
    with _Record(net, image) as found, torch.no_grad():
        result = forward(image)
    return found.entries, found.name(result), found.flops


def same_operators(net: nn.Module, chain: nn.Module, image: Tensor) -> tuple[bool, int]:
    """Whether a chain with the tensors of a network computes what the network does, and its floating-point operations.

    Both in evaluation mode, on the meta device.
    """
    theirs, (*ours, flops) = record(net, net, image), record(chain, net, image)
    if list(theirs[:2]) != ours:  # some compute a table when they are first called: both have it now
        theirs, (*ours, flops) = record(net, net, image), record(chain, net, image)
    return list(theirs[:2]) == ours, flops
