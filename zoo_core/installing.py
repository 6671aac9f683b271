"""Install commands, made in one place, and the registry of known plugins.

No package index has zoo's own distributions yet, and a name that nobody owns there could be taken
by anybody: the commands install them from zoo's source. `ON_AN_INDEX` is the line to change.
"""

from __future__ import annotations

import json
import shlex
from functools import cache
from pathlib import Path
from typing import Any

from zoo_core.discovery import CORE

ON_AN_INDEX = False
SOURCE = Path(__file__).parent.parent


@cache
def registry() -> tuple[dict[str, Any], ...]:
    """The entries of all known plugins, installed or not."""
    from importlib.resources import files  # costs a listing 13 ms, and only an error needs it

    text = files("zoo_core").joinpath("resources/registry.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)["plugins"])


def install_command(*distributions: str, extra: str = "", here: bool = True) -> str:
    """The command that installs distributions, with an `extra` of each where one is given.

    `here`: for this machine, with the path of zoo's source where zoo runs from it. Otherwise the
    command is for the folder of zoo's source, wherever that is.
    """
    folder = str(SOURCE) if here and _is_source(SOURCE) else "."
    return " ".join(["pip install", *(shlex.quote(_requirement(name, folder, extra)) for name in distributions)])


def install_hint(distribution: str, *, extra: str = "") -> str:
    """The command in backquotes, with the folder to run it in where that matters."""
    command = install_command(distribution, extra=extra)
    return f"`{command}`{place_of(distribution, command)}"


def develop_command(folder: str) -> str:
    """The command that installs a package under development, in a folder of the current one."""
    return f"pip install -e {shlex.quote(f'./{folder}')}"


def place_of(distribution: str, command: str) -> str:
    """ " in the folder of zoo's source" for a command with a path relative to it, else nothing."""
    relative = _folder(distribution) is not None and str(SOURCE) not in command
    return " in the folder of zoo's source" if relative else ""


def _requirement(distribution: str, folder: str, extra: str) -> str:
    own = _folder(distribution)
    place = distribution if own is None else f"{folder}/{own}".rstrip("/")
    return f"{place}[{extra}]" if extra else place


def _folder(distribution: str) -> str | None:
    """The folder of one of zoo's own distributions in its source, None for one that an index has."""
    if ON_AN_INDEX:
        return None
    if distribution == CORE:
        return ""
    return next((entry.get("folder") for entry in registry() if entry["distribution"] == distribution), None)


def _is_source(folder: Path) -> bool:
    return (folder / "plugins").is_dir() and (folder / "pyproject.toml").is_file()
