"""The index of known plugins, installed or not (the registry), and the command that installs a distribution."""

from __future__ import annotations

import json
from typing import Any

CORE = "zoo-core"
ON_AN_INDEX = False
"""Whether pip finds zoo's own distributions by name; until then they are installed from a checkout."""


def published_plugins() -> list[dict[str, Any]]:
    """The entries of the registry: distribution, summary, licence, and the names that each plugin provides."""
    from importlib.resources import files  # costs a listing 13 ms, and only an error needs it

    text = files("zoo_core").joinpath("resources/registry.json").read_text(encoding="utf-8")
    return json.loads(text)["plugins"]  # type: ignore[no-any-return]


def install_command(*distributions: str) -> str:
    """The command that installs distributions today: zoo's own from a checkout, those of others by name."""
    own = {plugin["distribution"] for plugin in published_plugins() if "links" not in plugin}  # links: another author's
    if ON_AN_INDEX or not {CORE, *own} & set(distributions):
        return f"pip install {' '.join(distributions)}"
    paths = {CORE: ".", **{name: f"./plugins/{name}" for name in own}}
    return f"pip install {' '.join(paths.get(name, name) for name in distributions)}  # in a checkout of zoo"
