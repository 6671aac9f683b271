"""pip in the environment of zoo: shown before it runs, and never run without being asked."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

from zoo_core.errors import UsageError, ZooError, printable, shown
from zoo_core.paths import cache_dir, write_text

yes_option = click.option("--yes", is_flag=True, help="Run the command without the question.")


def run_pip(verb: str, argument: str, *, yes: bool) -> None:
    """Show pip's command and run it, when the user agrees or has said --yes. A plugin's
    requirements cannot replace zoo-core.

    Raises UsageError for an argument that pip would take for an option, and where nobody can be
    asked; click.Abort for a no; ZooError where there is no pip or pip fails.
    """
    if argument.startswith("-"):
        raise UsageError(f"'{shown(argument)}' would be an option of pip, and is no plugin.")
    words = ["--constraint", str(_only_this_zoo()), argument] if verb == "install" else [argument]
    if find_spec("pip") is None:
        uv = shlex.join(["uv", "pip", verb, "--python", sys.executable, *words])
        raise ZooError(f"{sys.prefix} has no pip. With uv: `{uv}`; or bring pip: `{sys.executable} -m ensurepip`")
    agreed = ["--yes"] if verb == "uninstall" else []
    # -P: a pip.py in the current folder is not pip
    command = [sys.executable, "-P", "-m", "pip", verb, *agreed, *words]
    click.echo(printable(shlex.join(command)), err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked here. Add --yes to run that command.")
        click.confirm("Run it?", abort=True, err=True)
    code = subprocess.run(command).returncode
    if code:
        raise ZooError(f"pip ended with {code}; its own message is above.")


def _only_this_zoo() -> Path:
    """A file of constraints with the installed zoo-core: no package index has zoo's own, and a
    stranger could take its name there. Raises ZooError where pip would not find it installed."""
    from zoo_core.discovery import CORE

    try:
        constraint = f"{CORE}=={version(CORE)}\n"
    except PackageNotFoundError:
        raise ZooError(
            f"pip does not know {CORE} in {sys.prefix}, and would look for it on a package index. "
            "Install it from its source first."
        ) from None
    path = cache_dir() / "plugins" / "this-zoo.txt"
    if not path.is_file() or path.read_text(encoding="utf-8") != constraint:
        write_text(path, constraint)
    return path
