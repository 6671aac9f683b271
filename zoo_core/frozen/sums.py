"""The sums of a frozen prefix: where a network adds to the outputs of a convolution, which nothing
else needs, their memory takes the sum.

A trace makes a new tensor of each sum, also where the network itself adds in place.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument

from zoo_core.attribution import mark_owner, marked_owner

SUMS = (operator.add, torch.add)
ADDED = "zoo_added"
"""The name of the module that adds, in the traced network."""


class Added(nn.Module):
    """A sum of two terms."""

    def forward(self, term: Tensor, other: Tensor | float) -> Tensor:
        """The sum, in the memory of `term` unless it has another shape or type."""
        fits = isinstance(other, Tensor) and term.shape == other.shape and term.dtype == other.dtype
        return term.add_(other) if fits else term + other


def add_in_place(traced: nn.Module) -> None:
    """Let the sums of a traced network take the memory of a term, where that is possible; the
    numbers stay the same to the last bit."""
    assert isinstance(traced, fx.GraphModule)
    modules = dict(traced.named_modules())
    traced.add_submodule(ADDED, Added())
    mark_owner(traced.get_submodule(ADDED), marked_owner(traced))
    for node in list(traced.graph.nodes):
        terms = _terms(node, modules)  # of which one may be a sum before it, which was replaced
        if terms is not None:
            with traced.graph.inserting_before(node):
                node.replace_all_uses_with(traced.graph.call_module(ADDED, terms))
            traced.graph.erase_node(node)
    traced.recompile()


def _terms(node: fx.Node, modules: Mapping[str, nn.Module]) -> tuple[Argument, Argument] | None:
    """The terms of a sum, first the one whose memory may take it; None of any other operation."""
    if node.op != "call_function" or node.target not in SUMS or node.kwargs:
        return None
    for term, other in (node.args, node.args[::-1]):
        if _is_output_for_it_alone(term, modules):
            return term, other
    return None


def _is_output_for_it_alone(term: Argument, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a term is the output of a convolution that nothing but its sum needs."""
    if not isinstance(term, fx.Node) or term.op != "call_module" or len(term.users) > 1:
        return False
    return type(modules.get(str(term.target))) is nn.Conv2d
