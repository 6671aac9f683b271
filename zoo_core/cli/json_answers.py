"""The option `--json`: the answer of a command as JSON, alone on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from contextvars import ContextVar
from functools import wraps
from typing import Any, TextIO

import click

from zoo_core.paths import json_text

JSON_VERSION = 2
"""Every `--json` answer carries it; it grows when a field changes its meaning or goes."""
_output: ContextVar[TextIO | None] = ContextVar("_output", default=None)
"""Standard output while a command that answers in JSON is at work."""


def json_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option `--json`, its parameter `as_json`.

    With it, lines that a plugin or a library prints go to standard error.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
    @wraps(command)
    def answering(*arguments: Any, as_json: bool, **settings: Any) -> None:
        if not as_json:
            return command(*arguments, as_json=as_json, **settings)
        before = _output.set(sys.stdout)
        try:
            with redirect_stdout(sys.stderr):
                return command(*arguments, as_json=as_json, **settings)
        finally:
            _output.reset(before)

    return answering


def print_json(data: dict[str, Any]) -> None:
    """Print the answer of a command."""
    output, text = _output.get() or sys.stdout, json_text({"version": JSON_VERSION, **data})
    if "utf" not in (output.encoding or "").lower():  # its escapes are JSON's, those of a stream are Python's
        text = "".join(character if character.isascii() else json.dumps(character)[1:-1] for character in text)
    click.echo(text, file=output, nl=False)
