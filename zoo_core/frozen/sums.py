"""The sums of a frozen prefix: where a network adds to the outputs of a convolution, which nothing
else needs, their memory takes the sum.

A trace makes a new tensor of each sum, also where the network itself adds in place. The largest are
as large as all maps of the first stages, and take longer to write than to add.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx, nn

SUMS = (operator.add, operator.iadd, torch.add)


def add_in_place(traced: fx.GraphModule) -> None:
    """Let the sums of a traced network take the memory of a term, where that is possible; the
    numbers stay the same to the last bit."""
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if node.op != "call_function" or node.target not in SUMS or len(node.args) != 2 or node.kwargs:
            continue
        for term, other in (node.args, node.args[::-1]):
            if _is_needed_once(term, modules):
                node.target, node.args = _added, (term, other)
                break
    traced.recompile()


def _is_needed_once(term: object, modules: dict[str, nn.Module]) -> bool:
    """Whether a term is the output of a convolution that nothing but its sum needs."""
    is_output = isinstance(term, fx.Node) and term.op == "call_module" and len(term.users) == 1
    return is_output and type(modules[str(term.target)]) is nn.Conv2d


def _added(term: Tensor, other: Tensor | float) -> Tensor:
    """Their sum in the memory of `term`, unless it has another shape or type."""
    fits = isinstance(other, Tensor) and term.shape == other.shape and term.dtype == other.dtype
    return term.add_(other) if fits else term + other
