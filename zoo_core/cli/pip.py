"""pip in the environment of zoo: shown before it runs, and never run without being asked."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.util import find_spec

import click

from zoo_core.errors import UsageError, ZooError, printable, shown

yes_option = click.option("--yes", is_flag=True, help="Run the command without the question.")


def run_pip(verb: str, arguments: list[str], *, yes: bool) -> None:
    """Show pip's command and run it, when the user agrees or has said --yes.

    Raises UsageError for an argument that pip would take for an option, and where nobody can be
    asked; click.Abort for a no; ZooError where there is no pip or pip fails.
    """
    for one in arguments:
        if one.startswith("-"):
            raise UsageError(f"'{shown(one)}' would be an option of pip, and is no plugin.")
    agreed = ["--yes"] if verb == "uninstall" else []
    # -P: a pip.py in the current folder is not pip
    command = [sys.executable, "-P", "-m", "pip", verb, *agreed, *arguments]
    if find_spec("pip") is None:
        uv = shlex.join(["uv", "pip", verb, "--python", sys.executable, *arguments])
        raise ZooError(f"{sys.prefix} has no pip. With uv: `{uv}`; or bring pip: `{sys.executable} -m ensurepip`")
    click.echo(printable(shlex.join(command)), err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked here. Add --yes to run that command.")
        click.confirm("Run it?", abort=True, err=True)
    code = subprocess.run(command).returncode
    if code:
        raise ZooError(f"pip ended with {code}; its own message is above.")
