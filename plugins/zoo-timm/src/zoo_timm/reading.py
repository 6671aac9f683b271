"""A network's `forward_features` as a list of steps, read from its source.

The steps are the method's own statements. Branches that the network's settings decide are resolved, loops over modules
are unrolled, calls of sequences are opened, and so are methods of one argument; nothing else is changed.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from zoo_timm.syntax import PART, Rename, Replace, Submodule, assignment, expression, method_of, names_in, source_of

RESULT = "result_"
"""The variable that holds the value which the method returns."""
# Variables that are alive between the blocks of a family, beside the features, and how a stage computes them again from
# its input. They hold for square images.
_SIDE = "round((INPUT.shape[1] - self.num_prefix_tokens) ** 0.5)"
CARRIED = {
    "eva": {
        "rot_pos_embed": "None if self.rope is None else self.rope.get_embed() "
        "if hasattr(self.rope, 'feat_shape') and not self.dynamic_img_size "
        f"else self.rope.get_embed(shape=({_SIDE}, {_SIDE}))"
    },
    "xcit": {"Hp": "round(INPUT.shape[1] ** 0.5)", "Wp": "round(INPUT.shape[1] ** 0.5)"},
}


class UncutError(Exception):
    """The network cannot be cut into stages; the message is the reason."""


class _Undecided(Exception):
    """The value of an expression depends on more than the network's settings."""


@dataclass
class Step:
    """One statement, the path of the module that it calls ("" for none or several), and the variables it touches."""

    node: ast.stmt
    module: str
    uses: set[str] = field(default_factory=set)
    defines: set[str] = field(default_factory=set)


class Reader:
    """Reads `forward_features` of one network. `steps` are its statements, `argument` is the variable of its input."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.kind = type(net)
        function = method_of(net, "forward_features")
        self.globals: dict[str, Any] = function.__globals__
        self.carried = CARRIED.get(self.kind.__module__.rpartition(".")[2], {})
        self.paths = {id(module): path for path, module in net.named_modules()}
        tree = source_of(function)
        parameters = tree.args.args[1:]
        self.argument = parameters[0].arg
        defaults = tree.args.defaults
        self.constants: dict[str, Any] = {}
        with_default = [*zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True)]
        for parameter, default in [*with_default, *zip(tree.args.kwonlyargs, tree.args.kw_defaults, strict=True)]:
            self.constants[parameter.arg] = ast.literal_eval(default) if default else None
        self.constants.pop(self.argument, None)
        self.assigned = names_in(tree, ast.Store)
        self.defined = {self.argument}
        self.batch: set[str] = set()  # variables that hold the number of images
        self.opened = 0
        self.returned = False
        self.steps = list(self._expand(tree.body))
        if not self.returned:
            raise UncutError("forward_features does not end in a return")

    def alive(self) -> list[set[str]]:
        """After each step the variables that later steps read. Numbers of images and carried variables are left out."""
        live = {RESULT}
        after: list[set[str]] = []
        for step in reversed(self.steps):
            after.append(live - self.batch - set(self.carried))
            live = (live - step.defines) | step.uses
        if live - {self.argument} - set(self.carried):
            raise UncutError(f"forward_features uses {live - {self.argument}} before they are set")
        return after[::-1]

    def _expand(self, body: Iterable[ast.stmt]) -> Iterator[Step]:
        for statement in body:
            if self.returned:
                return
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                yield from self._statement(copy.deepcopy(statement))

    def _statement(self, node: ast.stmt) -> Iterator[Step]:
        if self._sets_constant(node):
            return
        node = _FoldChoices(self).visit(node)
        compound = isinstance(node, ast.If | ast.For | ast.While | ast.With)
        if isinstance(node, ast.If):
            holds = self.truth(node.test)
            if holds is not None:
                yield from self._expand(node.body if holds else node.orelse)
                return
            if any(isinstance(inner, ast.Return) for inner in ast.walk(node)):
                raise UncutError("forward_features returns where only the image decides")
        if isinstance(node, ast.For) and not node.orelse:
            bodies = self._unrolled(node)
            if bodies is not None:
                for unrolled in bodies:
                    yield from self._expand(unrolled)
                return
        stored = names_in(node, ast.Store)
        kept = stored if compound else set()
        node = Replace({n: ast.Constant(v) for n, v in self.constants.items() if n not in kept}).visit(node)
        for name in stored & set(self.constants):
            value = self.constants.pop(name)
            if compound:  # a constant until here, and perhaps afterwards: it has to be a variable
                yield self._step(assignment(name, ast.Constant(value)), "")
        inlined = self._inlined(node)
        if inlined is not None:
            yield from self._expand(inlined)
            return
        if isinstance(node, ast.Return):
            assert node.value is not None
            node = assignment(RESULT, node.value)
            self.returned = True
        yield from self._calls(node)

    def _sets_constant(self, node: ast.stmt) -> bool:
        """Whether a statement only sets a variable to a number or text that the settings decide; it is remembered."""
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id in self.constants:
            value: ast.expr = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
            name = node.target.id
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            if ast.unparse(value).endswith(".shape[0]"):
                self.batch.add(name)
        else:
            return False
        try:
            found = self.static(copy.deepcopy(value))
        except _Undecided:
            return False
        if not (found is None or isinstance(found, int | float | str)):
            return False
        self.constants[name] = found
        return True

    def static(self, node: ast.expr) -> Any:
        """The value of an expression that depends on the network's settings only. Raises _Undecided for others."""
        node = Submodule().visit(copy.deepcopy(node))
        if any(isinstance(inner, ast.Attribute) and inner.attr == "training" for inner in ast.walk(node)):
            raise _Undecided
        unknown = names_in(node, ast.Load) - names_in(node, ast.Store) - set(self.constants)
        if unknown & (self.assigned | {self.argument}):
            raise _Undecided
        code = compile(ast.fix_missing_locations(ast.Expression(node)), "<settings>", "eval")
        try:
            return eval(code, self.globals, {"self": self.net, **self.constants})
        except Exception as error:
            raise _Undecided from error

    def truth(self, test: ast.expr) -> bool | None:
        """Whether a condition holds, None where the settings do not decide it."""
        if isinstance(test, ast.BoolOp):
            parts = [self.truth(part) for part in test.values]
            decisive = isinstance(test.op, ast.Or)  # one true part decides an `or`, one false part an `and`
            return decisive if decisive in parts else None if None in parts else not decisive
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.truth(test.operand)
            return None if inner is None else not inner
        try:
            return bool(self.static(test))
        except _Undecided:
            return None

    def _unrolled(self, loop: ast.For) -> list[list[ast.stmt]] | None:
        """The body of a loop once for each of its items, None where they are no modules and settings."""
        if any(isinstance(inner, ast.Break | ast.Continue) for inner in ast.walk(loop)):
            return None
        try:
            tables = [self._bound(loop.target, item) for item in self.static(loop.iter)]
        except (_Undecided, TypeError, ValueError):
            return None
        if tables:
            self.assigned -= set(tables[0])
        return [[Replace(table).visit(copy.deepcopy(inner)) for inner in loop.body] for table in tables]

    def _bound(self, target: ast.expr, item: Any) -> dict[str, ast.expr]:
        if isinstance(target, ast.Tuple):
            pairs = zip(target.elts, item, strict=True)
            return {name: value for one, part in pairs for name, value in self._bound(one, part).items()}
        if isinstance(target, ast.Name):
            if isinstance(item, nn.Module) and id(item) in self.paths:
                return {target.id: expression(f"self.{PART}({self.paths[id(item)]!r})")}
            if item is None or isinstance(item, int | float | str):
                return {target.id: ast.Constant(item)}
        raise _Undecided

    def _inlined(self, node: ast.stmt) -> list[ast.stmt] | None:
        """For `x = self.method(x)` the statements of that method of the network, its variables renamed."""
        call = node.value if isinstance(node, ast.Assign) else None
        if not (isinstance(call, ast.Call) and len(call.args) == 1 and not call.keywords):
            return None
        if not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "self"):
            return None
        member = inspect.getattr_static(self.kind, call.func.attr, None)
        if call.func.attr in self.net._modules or not inspect.isfunction(member):
            return None
        if inspect.unwrap(member).__globals__ is not self.globals:
            return None
        tree = source_of(member)
        body, last = tree.body[:-1], tree.body[-1]
        returns = sum(isinstance(inner, ast.Return) for inner in ast.walk(tree))
        calls = sum(isinstance(one, ast.Assign) and isinstance(one.value, ast.Call) for one in body)
        loops = any(isinstance(inner, ast.For) for inner in ast.walk(tree))
        if len(tree.args.args) != 2 or returns != 1 or not isinstance(last, ast.Return) or not (loops or calls > 3):
            return None
        self.opened += 1
        argument = tree.args.args[1].arg
        renamed = {name: f"in{self.opened}_{name}" for name in names_in(tree, ast.Store) | {argument}}
        self.assigned |= set(renamed.values())
        assert isinstance(node, ast.Assign)
        assert last.value is not None
        inner = [Rename(renamed).visit(one) for one in body]
        result = ast.Assign(node.targets, Rename(renamed).visit(last.value))
        return [assignment(renamed[argument], call.args[0]), *inner, result]

    def _calls(self, node: ast.stmt) -> Iterator[Step]:
        """The step of a statement; for a call of a plain sequence of modules a step for each of them."""
        call = node.value if isinstance(node, ast.Assign) else None
        if not (isinstance(node, ast.Assign) and isinstance(call, ast.Call)):
            yield self._step(node, "")
            return
        try:
            called = self.static(call.func)
        except _Undecided:
            called = None
        path = self.paths.get(id(called), "") if isinstance(called, nn.Module) else ""
        sequence = isinstance(called, nn.Sequential) and type(called).forward is nn.Sequential.forward
        single = len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) and len(call.args) == 1
        if not (path and sequence and single and not call.keywords and len(called)):
            yield self._step(node, path)
            return
        (name,), value = names_in(node.targets, ast.Store), call.args[0]
        for child, _ in called.named_children():
            inner = ast.Call(expression(f"self.{PART}({f'{path}.{child}'!r})"), [value], [])
            yield self._step(assignment(name, inner), f"{path}.{child}")
            value = ast.Name(name, ast.Load())

    def _step(self, node: ast.stmt, module: str) -> Step:
        node = ast.fix_missing_locations(node)
        comprehended = {
            name
            for inner in ast.walk(node)
            if isinstance(inner, ast.comprehension)
            for name in names_in(inner.target, ast.Store)
        }
        known = self.assigned | {self.argument, RESULT}
        uses = (names_in(node, ast.Load) & known) - comprehended - set(self.constants)
        defines = names_in(node, ast.Store) - comprehended
        uses |= {n.target.id for n in ast.walk(node) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}
        if isinstance(node, ast.If | ast.For | ast.While | ast.With):
            targets = [inner.target for inner in ast.walk(node) if isinstance(inner, ast.For)]
            # A variable that was set before may stay as it was; one that is first set inside comes from nowhere else.
            uses = (uses | defines & self.defined) - names_in(targets, ast.Store) - (defines - self.defined)
            defines -= names_in(targets, ast.Store)
        self.defined |= defines
        return Step(node, module, uses, defines)


class _FoldChoices(ast.NodeTransformer):
    """Resolves `a if condition else b` where the settings decide the condition."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        holds = self.reader.truth(node.test)
        return self.generic_visit(node) if holds is None else self.visit(node.body if holds else node.orelse)
