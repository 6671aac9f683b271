"""Checks of a checkpoint's tensors before any of them is used: a checkpoint may come from a
stranger.

A kernel reads and writes outside a tensor that has another shape or type than it expects. So names,
shapes and types must be those that this training would write, and counts those that it can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from zoo_core.devices.kinds import KINDS

MOMENTS: dict[type[torch.optim.Optimizer], set[str]] = {
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.SGD: {"momentum_buffer"},
}
"""The names of the state of one parameter."""
MAX_STEPS = 2.0**24
"""Steps that float32 counts exactly."""


def check_tensors(
    tensors: Mapping[str, Tensor],
    *,
    trained: Mapping[str, Tensor],
    has_best: bool,
    average: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    processes: int,
    random: Mapping[str, Tensor],
) -> None:
    """Raise ValueError unless these are the tensors of a checkpoint of this training.

    `trained` are weights and statistics, now and, with `has_best`, of the best epoch; `average`
    those of the moving average; `parameters` those that an optimizer may train; `random` the states
    of this process's generators.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    _check_alike("now", groups.pop("now", {}), trained)
    _check_alike("best", groups.pop("best", {}), trained if has_best else {})
    averages = groups.pop("average", {})
    _check_alike("average", averages, average)
    if "steps" in averages and not 0 <= int(averages["steps"]) <= MAX_STEPS:
        raise ValueError(f"average/steps is {int(averages['steps'])}")
    _check_moments(groups.pop("optimizer", {}), parameters)
    for rank in range(processes):
        states = groups.pop(f"random{rank}", {})
        _check_alike(f"random{rank}", {"cpu": states.pop("cpu", torch.empty(0))}, {"cpu": random["cpu"]})
        if states.keys() - KINDS.keys() or any(
            state.dtype != torch.uint8 or state.ndim != 1 for state in states.values()
        ):
            raise ValueError(f"random{rank} is no state of generators")
    if groups:
        raise ValueError(f"it holds tensors under {min(groups)!r:.80}")


def check_optimizer(moments: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, *, has_stepped: bool) -> None:
    """Raise ValueError for the state of another kind of optimizer, or for none where it has taken steps."""
    names = {path.rpartition("/")[2] for path in moments}
    if names and not any(isinstance(optimizer, kind) and names == own for kind, own in MOMENTS.items()):
        raise ValueError(f"it has the state of another optimizer than {type(optimizer).__name__}")
    if has_stepped and not names:
        raise ValueError(f"it has no state of {type(optimizer).__name__}, which has taken steps")


def _check_alike(group: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless names, shapes and types are equal."""
    for name in sorted(found.keys() ^ expected.keys()):
        raise ValueError(f"{group}/{name:.80} is {'missing' if name in expected else 'too many'}")
    for name, tensor in found.items():
        own = expected[name]
        if (tensor.shape, tensor.dtype) != (own.shape, own.dtype):
            raise ValueError(f"{group}/{name} is {_told(tensor)}, not {_told(own)}")


def _check_moments(moments: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for path, tensor in moments.items():
        name, _, key = path.rpartition("/")
        by_parameter.setdefault(name, {})[key] = tensor
    for name, own in by_parameter.items():
        if name not in parameters:
            raise ValueError(f"optimizer/{name:.80} is of no parameter")
        if own.keys() not in MOMENTS.values():
            raise ValueError(f"optimizer/{name} has the state of no optimizer")
        _check_alike(f"optimizer/{name}", own, dict(_expected_moments(own, parameters[name])))
        if "step" in own and not 0 <= float(own["step"]) <= MAX_STEPS:
            raise ValueError(f"optimizer/{name} counts {float(own['step']):g} steps")
        if "exp_avg_sq" in own and bool((own["exp_avg_sq"] < 0).any()):
            raise ValueError(f"optimizer/{name}/exp_avg_sq is negative")


def _expected_moments(own: Mapping[str, Tensor], parameter: Tensor) -> Iterator[tuple[str, Tensor]]:
    for key in own:
        yield key, torch.zeros(()) if key == "step" else parameter


def _told(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
