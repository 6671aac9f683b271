"""A stage as an instance of the network's own class, which holds some of the network's members; its copies and pickles."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from zoo_timm.syntax import PART

MAKER = "zoo_timm.model"
"""The module of every stage's class. It uses all modules that decide a stage's code, so that cached features are found
again only while none of these has changed."""


def stage_of(net: nn.Module, name: str, forward: Any, members: set[str], paths: set[str]) -> nn.Module:
    """An instance of the network's class with its settings and these members alone."""
    kind = type(net)
    own = {"forward": forward, PART: _part, "__deepcopy__": _copied, "__reduce__": _reduced, "__module__": MAKER}
    part = type(f"{kind.__name__}_{name}", (kind,), own)
    stage: nn.Module = object.__new__(part)
    nn.Module.__init__(stage)
    plain = vars(nn.Module())
    vars(stage).update({key: value for key, value in vars(net).items() if key not in plain})
    stage.training = net.training
    for member in sorted(members):
        for place in ("_modules", "_parameters", "_buffers"):
            if member in getattr(net, place):
                getattr(stage, place)[member] = getattr(net, place)[member]
        if member in net._non_persistent_buffers_set:
            stage._non_persistent_buffers_set.add(member)
    prefixes: dict[str, str] = {}
    for path in sorted(path for path in paths if path.partition(".")[0] not in members):
        flat = path.replace(".", "_")
        stage._modules[flat] = net.get_submodule(path)
        if flat != path:
            prefixes[f"{flat}."] = f"{path}."
    vars(stage)["prefixes_"] = prefixes
    vars(stage)["stage_"] = name
    return stage


def _copied(self: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A copy for copy.deepcopy: of the same class, whose code nothing changes."""
    made: nn.Module = object.__new__(type(self))
    memo[id(self)] = made
    vars(made).update(copy.deepcopy(vars(self), memo))
    return made


def _reduced(self: Any) -> tuple[Any, ...]:
    """The recipe for pickle: a class made at run time is found again by architecture and stage."""
    from zoo_timm.model import empty_stage

    return empty_stage, (self.pretrained_cfg["architecture"], vars(self)["stage_"]), vars(self)


def _part(self: nn.Module, path: str) -> nn.Module:
    """The module at a path of the whole network, in a stage that holds it."""
    flat = path.replace(".", "_")
    held = self._modules.get(flat)
    return self.get_submodule(path) if held is None else held
