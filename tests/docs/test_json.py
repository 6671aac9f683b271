"""docs/json.md names exactly the fields that the commands print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers import Zoo

ROWS = re.findall(
    r"^\| (`zoo .*?) \| (.*) \|$", (Path(__file__).parents[2] / "docs" / "json.md").read_text(), re.MULTILINE
)
COMMANDS = [
    "list backbones",
    "list heads",
    "list strategies",
    "list datasets",
    "list weights",
    "plugins",
    "plan --backbone lenet5 --strategy full",
    "finetune --backbone lenet5 --epochs 1 --out run",
]


def documented(command: str) -> set[str]:
    """All words that stand in code marks in the row of a command."""
    name = command.partition(" --")[0]
    row = next(fields for commands, fields in ROWS if re.search(rf"`zoo {name}[ `]", commands))
    return {word for code in re.findall(r"`([^`]*)`", row) for word in code.split()}


def printed(value: object) -> set[str]:
    """All keys in a JSON value, however deep; those of `files` are names."""
    if isinstance(value, list):
        return set().union(*(printed(item) for item in value))
    if isinstance(value, dict):
        return set(value) | set().union(*(printed(item) for item in value.values()))
    return set()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documented_fields_are_those_that_are_printed(zoo: Zoo, command: str) -> None:
    answer = json.loads(zoo(*command.split(), "--json").stdout)
    assert answer.pop("version") == 1
    words = documented(command) - {"measured", "expected"}
    found = printed(answer) - {"event"}
    if command.startswith("list "):
        kind = command.removeprefix("list ")
        words -= {"heads", "strategies"} - {kind}
    assert found == words


def test_a_run_that_goes_on_prints_what_a_new_one_does(zoo: Zoo, tmp_path: Path) -> None:
    zoo("finetune", "--backbone", "lenet5", "--epochs", 1, "--out", "run")
    (tmp_path / "run" / "model.safetensors").unlink()  # it is not finished without its weights
    answer = json.loads(zoo("resume", "run", "--json").stdout)
    assert answer.pop("version") == 1
    assert printed(answer) - {"event"} == documented("resume") == documented("finetune")
