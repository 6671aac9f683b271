"""What `make.py` and the tests share: the command line, its options as plain data, comparisons, a reference training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click
import torch
from click.testing import CliRunner
from torch import nn

from zoo_core.cli.main import zoo as command

FIXTURES = Path(__file__).with_name("fixtures")
IMAGES = [f"photos/{color}/{number}.png" for color in ("blue", "red") for number in (0, 3, 7)]
TOLERANCE = 1e-4
"""How far a probability or a figure may be from the stored one: processors add in different orders."""


def zoo(*arguments: str) -> Any:
    """Call the command line in this process and in the present folder; return its JSON, or None where it prints none."""
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else None


def read(name: str) -> Any:
    """A JSON fixture."""
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


def options() -> dict[str, dict[str, dict[str, Any]]]:
    """Every command's options and arguments: how each is spelled, whether it is a flag, which words it takes."""
    context = click.Context(command)
    commands = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {"": _parameters(command), **{name: _parameters(one) for name, one in commands.items() if one}}


def _parameters(one: click.Command) -> dict[str, dict[str, Any]]:
    found = {}
    for parameter in one.params:
        argument = isinstance(parameter, click.Argument)
        words = list(parameter.type.choices) if isinstance(parameter.type, click.Choice) else []
        told = {"flag": bool(getattr(parameter, "is_flag", False)), "nargs": parameter.nargs, "words": words}
        names = ["<argument>"] if argument else [*parameter.opts, *parameter.secondary_opts]
        found |= {f"{name} {len(found)}" if argument else name: told for name in names}
    return found


def shape(data: Any) -> Any:
    """Plain data without its values: keys stay, the items of a list become one, a value becomes the name of its kind."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    if isinstance(data, list):
        merged: Any = None
        for item in data:
            merged = _merged(merged, shape(item))
        return [merged]
    if isinstance(data, bool) or data is None:
        return "bool" if data is not None else None
    return "number" if isinstance(data, int | float) else "text"


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _merged(one.get(key), other.get(key)) for key in {**one, **other}}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])]
    return other if one is None else one


def lost(old: Any, new: Any, where: str = "") -> list[str]:
    """What an old shape has and a new one has not, or has as something else. Nothing is asked of what was null."""
    if isinstance(old, dict) and isinstance(new, dict):
        gone = [f"{where}.{key} is gone" for key in old if key not in new]
        return gone + [line for key in old if key in new for line in lost(old[key], new[key], f"{where}.{key}")]
    if isinstance(old, list) and isinstance(new, list):
        return lost(old[0], new[0], f"{where}[]")
    return [] if old in (None, new) else [f"{where} was {old!r} and is {new!r}"]


def differing(old: Any, new: Any, where: str = "", tolerance: float = TOLERANCE) -> list[str]:
    """Which values of old data the new data lack, or have otherwise; fields may be added, and times differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = [f"{where}.{key} is gone" for key in old if key not in new]
        for key in old.keys() & new.keys() - {"seconds"}:
            lines += differing(old[key], new[key], f"{where}.{key}", tolerance)
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for place, pair in pairs for line in differing(*pair, f"{where}[{place}]", tolerance)]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (old, new))
    same = abs(old - new) <= tolerance * max(1.0, abs(old)) if numbers else old == new
    return [] if same else [f"{where} was {old!r} and is {new!r}"]


def reference() -> str:
    """The sha256 of the weights that a small training in plain torch ends with.

    It has the layers and the optimizer of the stored runs: a machine that ends with the same bytes here computes as the
    one that made the fixtures, and has to write the same bytes there too.
    """
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(120, 2)),
    ).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for size in (5, 2, 5, 1) * 4:
        images = torch.randn(size, 1, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(network(images), torch.arange(size) % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    digest = hashlib.sha256(torch.__version__.encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
