"""pip in the environment of zoo: shown before it runs, and never run without being asked."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

from zoo_core.discovery import CORE, normalised
from zoo_core.errors import UsageError, ZooError, printable, shown
from zoo_core.installing import distribution_in
from zoo_core.paths import cache_dir, write_text
from zoo_core.registry import first_party
from zoo_core.registry.entries import EXTRAS

NOTHING = "<0"
"""No version is that small."""

yes_option = click.option("--yes", is_flag=True, help="Run the command without the question.")


def run_pip(verb: str, argument: str, *, yes: bool) -> None:
    """Show pip's command and run it, when the user agrees or has said --yes. A plugin's
    requirements cannot replace zoo-core, nor bring a stranger's distribution under the name of one
    of zoo's.

    Raises UsageError for an argument that pip would take for an option, and where nobody can be
    asked; click.Abort for a no; ZooError where there is no pip or pip fails.
    """
    if argument.startswith("-"):
        raise UsageError(f"'{shown(argument)}' would be an option of pip, and is no plugin.")
    words = ["--constraint", str(_only_this_zoo(argument)), argument] if verb == "install" else [argument]
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


def named_in(argument: str) -> str:
    """The distribution that an argument of pip names: that of a package's folder, of a requirement,
    or by the last part of a path or an address."""
    folder = argument if Path(argument).is_dir() else re.sub(rf"{EXTRAS}$", "", argument)
    if (name := distribution_in(Path(folder))) is not None:
        return normalised(name)
    last = argument.partition(" @ ")[0].rpartition("/")[2]
    found = re.match(r"[a-z0-9]+([-_.][a-z]\w*)*", last, re.IGNORECASE | re.ASCII)
    return normalised(found[0]) if found else ""


def _only_this_zoo(argument: str) -> Path:
    """A file of constraints that keeps zoo's own distributions as they are: no package index has
    them, and a stranger could take their names there. The one that is to be installed is free.

    Raises ZooError where pip would not find zoo-core installed.
    """
    wanted = named_in(argument)
    kept = [CORE, *(name for name in first_party() if normalised(name) != wanted)]
    constraints = [_constraint(name) for name in kept]
    if constraints[0].endswith(NOTHING):
        raise ZooError(
            f"pip does not know {CORE} in {sys.prefix}, and would look for it on a package index. "
            "Install it from its source first."
        )
    path = cache_dir() / "plugins" / "this-zoo.txt"
    write_text(path, "".join(f"{line}\n" for line in constraints))
    return path


def _constraint(distribution: str) -> str:
    try:
        return f"{distribution}=={version(distribution)}"
    except PackageNotFoundError:
        return distribution + NOTHING
