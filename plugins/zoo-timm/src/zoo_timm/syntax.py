"""Helpers for Python's syntax trees."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PART = "part_"
"""`self.part_(path)` is the module at a path of the network."""


def method_of(thing: object, name: str) -> Any:
    """The function that a class defines as a method, without its decorators."""
    return inspect.unwrap(getattr(type(thing), name))


def source_of(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return tree


def names_in(nodes: ast.AST | Iterable[ast.AST], context: type[ast.expr_context]) -> set[str]:
    """The variables that are read (`ast.Load`) or written (`ast.Store`) anywhere in these nodes."""
    roots = [nodes] if isinstance(nodes, ast.AST) else nodes
    return {n.id for root in roots for n in ast.walk(root) if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


def expression(text: str) -> ast.expr:
    """The syntax tree of an expression."""
    return ast.parse(text, mode="eval").body


def assignment(name: str, value: ast.expr) -> ast.Assign:
    """The statement `name = value`."""
    return ast.fix_missing_locations(ast.Assign([ast.Name(name, ast.Store())], value))


class Replace(ast.NodeTransformer):
    """Replaces variables that are read by expressions."""

    def __init__(self, table: Mapping[str, ast.expr]) -> None:
        self.table = table

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = isinstance(node.ctx, ast.Load) and node.id in self.table
        return copy.deepcopy(self.table[node.id]) if known else node


class Rename(ast.NodeTransformer):
    """Gives variables other names."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node


class Submodule(ast.NodeTransformer):
    """Writes `self.part_(path)` as `self.get_submodule(path)`, which the whole network has too."""

    def visit_Call(self, call: ast.Call) -> ast.AST:
        if isinstance(call.func, ast.Attribute) and call.func.attr == PART:
            return ast.Call(expression("self.get_submodule"), call.args, [])
        return self.generic_visit(call)
