"""A timm network cut into stages: instances of its own class that hold only the members which their statements use.

The `forward` of a stage is a slice of the statements of the network's `forward_features`, so functional operations,
branches for training and published keys stay as they are. Between two stages exactly one variable is alive.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from zoo_timm.instances import stage_of
from zoo_timm.reading import Reader, Step, UncutError
from zoo_timm.syntax import PART, assignment, expression, method_of, names_in, source_of

STEMS = ("stem", "patch_embed", "features_conv0")
HEAVY = 3  # modules with parameters: one that holds fewer is no stage of its own, unless it is part of a sequence


@dataclass(frozen=True)
class Slice:
    """The statements of a stage, from the variable `argument` to the variable `result`.

    `enter` and `leave`: they take, or give, feature maps as (B, H, W, C); between stages these are (B, C, H, W).
    """

    name: str
    nodes: tuple[ast.stmt, ...]
    argument: str
    result: str
    enter: bool = False
    leave: bool = False

    def __add__(self, other: Slice) -> Slice:
        return replace(self, nodes=self.nodes + other.nodes, result=other.result)


@dataclass(frozen=True)
class Slices:
    """The slices of an architecture. They fit every network of the same class and settings, on any device."""

    parts: tuple[Slice, ...]
    shapes: tuple[tuple[int, ...], ...]
    """The shape of each stage's output for one image."""
    batch: frozenset[str]
    carried: dict[str, str]


def find_slices(net: nn.Module, image: Tensor) -> Slices:
    """Slice a network's `forward_features`; `image` (1, 3, S, S) goes through the stages, for the shapes.

    Raises UncutError with the reason where it cannot be sliced.
    """
    reader = Reader(net)
    parts = _without_slight_ones(net, _slices(net, reader))
    if "stem" not in {part.name for part in parts}:
        parts[0] = replace(parts[0], name="stem")
    while True:
        slices = Slices(tuple(parts), (), frozenset(reader.batch), reader.carried)
        stages = [*stages_of(net, slices).values()]
        outputs, failed = _outputs(stages, image)
        span = (failed, failed + 1) if failed is not None else _sharing(stages)
        if span is None:
            break
        first, last = span
        if last >= len(parts):
            raise UncutError(f"forward_features returns a {type(outputs[-1]).__name__}, not a tensor")
        merged = parts[first]
        for part in parts[first + 1 : last + 1]:
            merged += part
        parts[first : last + 1] = [merged]
    shapes = [tuple(output.shape[1:]) for output in outputs]
    turned = _channels_last(shapes)
    enter = [False, *turned[:-1]]
    return replace(
        slices,
        parts=tuple(replace(part, enter=e, leave=e2) for part, e, e2 in zip(parts, enter, turned, strict=True)),
        shapes=tuple((s[2], *s[:2]) if last else s for s, last in zip(shapes, turned, strict=True)),
    )


def stages_of(net: nn.Module, slices: Slices) -> dict[str, nn.Module]:
    """The stages of a network by name, with the very modules and parameters of the network."""
    return {part.name: _stage(net, slices, part, first=place == 0) for place, part in enumerate(slices.parts)}


def classifier_of(net: nn.Module, channels_last: bool) -> nn.Module:
    """The network's own `forward_head` as a stage: from the last features to the logits."""
    head = method_of(net, "forward_head")

    def forward(self: Any, features: Tensor) -> Any:
        return head(self, features.permute(0, 2, 3, 1) if channels_last else features)

    members, paths = _members(type(net), source_of(head).body, net)
    return stage_of(net, "classifier", forward, members, paths)


def upstream_of(name: str, stage: nn.Module) -> dict[str, str]:
    """The prefixes of a stage's keys, each with that of the published keys."""
    return {**{f"{name}.{short}": path for short, path in vars(stage)["prefixes_"].items()}, f"{name}.": ""}


def _slices(net: nn.Module, reader: Reader) -> list[Slice]:
    """The steps in groups: one for each module of a sequence, or for each sequence where there are three or more."""
    alive = reader.alive()
    sequences = {step.module.partition(".")[0] for step in reader.steps if "." in step.module}
    several = len(sequences) >= 3

    def group(step: Step) -> str | None:
        first, _, rest = step.module.partition(".")
        if rest:
            return first if several else step.module
        held = [] if not first else [m for m in net.get_submodule(first).modules() if _owns(m)]
        return first if len(held) >= HEAVY else None

    runs: list[tuple[list[int], str | None]] = []
    for place, step in enumerate(reader.steps):
        mine = group(step)
        before, last = runs[-1] if runs else ([], None)
        if not runs or (mine != last and len(alive[before[-1]]) == 1):
            runs.append(([place], mine))
        else:
            runs[-1] = ([*before, place], mine)
    found: list[Slice] = []
    for places, last in runs:
        steps = [reader.steps[place] for place in places]
        names = {step.module.partition(".")[0] for step in steps if step.module}
        name = last.replace(".", "_") if last else "stem" if not found else names.pop() if len(names) == 1 else "tail"
        while name in {part.name for part in found} or name in ("classifier", "head"):
            name += "_"
        argument = found[-1].result if found else reader.argument
        (result,) = alive[places[-1]]
        found.append(Slice(name, tuple(step.node for step in steps), argument, result))
    return found


def _owns(module: nn.Module) -> bool:
    """Whether a module has parameters that are not those of its children."""
    return next(module.parameters(recurse=False), None) is not None


def _without_slight_ones(net: nn.Module, slices: Sequence[Slice]) -> list[Slice]:
    """Slices without parameters, or with norms only, go with the slice before them; the pieces of a stem go together."""
    found = [slices[0]]
    for part in slices[1:]:
        stem = len(found) == 1 and found[0].name.startswith(STEMS)
        of_stem = stem and part.name.startswith((found[0].name.partition("_")[0], *STEMS, "pos_"))
        if of_stem or _slight(net, part) or (len(found) == 1 and _slight(net, found[0])):
            found[-1] = found[-1] + part
            found[-1] = replace(found[-1], name="stem") if stem else found[-1]
        else:
            found.append(part)
    return found


def _slight(net: nn.Module, part: Slice) -> bool:
    """Whether a slice has no parameters but those of norms."""
    members, paths = _members(type(net), part.nodes, net)
    modules = [net._modules[name] for name in members if name in net._modules]
    modules += [net.get_submodule(path) for path in paths]
    owners = [inner for module in modules if module is not None for inner in module.modules() if _owns(inner)]
    return not members & set(net._parameters) and all("Norm" in type(owner).__name__ for owner in owners)


def _outputs(stages: Iterable[nn.Module], image: Tensor) -> tuple[list[Any], int | None]:
    """The output of each stage, and the place of the first one whose output is no tensor."""
    outputs: list[Any] = []
    with torch.no_grad():
        for place, stage in enumerate(stages):
            outputs.append(stage(outputs[-1] if outputs else image))
            if not isinstance(outputs[-1], Tensor):
                return outputs, place
    return outputs, None


def _sharing(stages: Iterable[nn.Module]) -> tuple[int, int] | None:
    """The places of two stages that share a parameter."""
    owners: dict[int, int] = {}
    for place, stage in enumerate(stages):
        for parameter in stage.parameters():
            first = owners.setdefault(id(parameter), place)
            if first != place:
                return first, place
    return None


def _channels_last(shapes: Iterable[tuple[int, ...]]) -> list[bool]:
    """For each stage whether it puts out (H, W, C), for a square image. A cube is as the stage before it."""
    found: list[bool] = []
    for shape in shapes:
        cube = len(set(shape)) == 1
        found.append(len(shape) == 3 and (bool(found) and found[-1] if cube else shape[0] == shape[1]))
    return found


def _stage(net: nn.Module, slices: Slices, part: Slice, *, first: bool) -> nn.Module:
    """The module of a slice."""
    used = names_in(part.nodes, ast.Load)
    known = {} if first else {**dict.fromkeys(sorted(slices.batch), "INPUT.shape[0]"), **slices.carried}
    again = [assignment(n, expression(how.replace("INPUT", part.argument))) for n, how in known.items() if n in used]
    turned = [assignment(part.argument, expression(f"{part.argument}.permute(0, 2, 3, 1)"))] if part.enter else []
    result = expression(f"{part.result}.permute(0, 3, 1, 2)" if part.leave else part.result)
    body = [*turned, *again, *part.nodes, ast.Return(result)]
    function = ast.parse(f"def forward(self, {part.argument}): pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = body
    space: dict[str, Any] = {}
    code = ast.fix_missing_locations(ast.Module([function], []))
    exec(
        compile(code, f"<{type(net).__name__}.{part.name}>", "exec"),
        method_of(net, "forward_features").__globals__,
        space,
    )
    members, paths = _members(type(net), [*again, *part.nodes], net)
    return stage_of(net, part.name, space["forward"], members, paths)


def _members(
    kind: type, nodes: Iterable[ast.AST], net: nn.Module, seen: set[Any] | None = None
) -> tuple[set[str], set[str]]:
    """The names of the network's own members that statements use, also through its methods, and the paths of modules."""
    found: set[str] = set()
    paths: set[str] = set()
    seen = set() if seen is None else seen
    own = {*net._modules, *net._parameters, *net._buffers}
    for inner in (inner for node in nodes for inner in ast.walk(node)):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == PART:
            (path,) = inner.args
            paths.add(ast.literal_eval(path))
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "getattr":
            whose, which, *_ = inner.args
            if ast.unparse(whose) == "self" and isinstance(which, ast.Constant):
                found |= {str(which.value)} & own
        if not (isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "self"):
            continue
        if inner.attr in own:
            found.add(inner.attr)
            continue
        member = inspect.getattr_static(kind, inner.attr, None)
        member = member.fget if isinstance(member, property) else member
        if inspect.isfunction(member) and member not in seen and member.__module__.startswith("timm."):
            seen.add(member)
            more, more_paths = _members(kind, source_of(member).body, net, seen)
            found |= more
            paths |= more_paths
    return found, paths
