"""Rules for commands: each is a click command whose help works."""

from __future__ import annotations

import click
from click.testing import CliRunner

from zoo_core.specs import CommandSpec, resolve
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import has_a_name_of_its_own


@rule("Name a click command or group, the object that @click.command() makes.")
def is_a_click_command(spec: CommandSpec) -> None:
    """zoo calls it as its own commands."""
    command = resolve(spec.command)
    assert isinstance(command, click.Command), f"'{spec.command}' is a {type(command).__name__}"


@rule("Give the command a docstring; click shows it.")
def has_a_help(spec: CommandSpec) -> None:
    """`zoo NAME --help` says how to use it."""
    command = resolve(spec.command)
    assert isinstance(command, click.Command)
    answer = CliRunner().invoke(command, ["--help"], prog_name=f"zoo {spec.name}")
    assert answer.exit_code == 0, f"--help ends with {answer.exception!r}"
    assert command.help, "its help is empty"


COMMAND_RULES = (has_a_name_of_its_own, is_a_click_command, has_a_help)
