"""`zoo plugin search`: the known plugins, installed or not."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from zoo_core.cli.common import print_columns
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.errors import shown
from zoo_core.registry import KnownPlugin

COLUMNS = ("plugin", "version", "summary", "provides", "licence", "conformance", "here")
SHOWN_NAMES = 3  # of one kind that hold the text; `--json` has all


@click.command()
@click.argument("text", default="")
@json_option
def search(text: str, as_json: bool) -> None:
    """Find known plugins, installed or not, by a text in their names, summaries or specs.

    \b
    zoo plugin search
    zoo plugin search resnet
    """
    from zoo_core.discovery import normalised
    from zoo_core.installed import installed_plugins
    from zoo_core.registry import known_plugins

    wanted = text.lower()
    installed = {normalised(one.distribution): one.version for one in installed_plugins()}
    found = [
        (plugin, installed.get(normalised(plugin.distribution)))
        for plugin in known_plugins().plugins
        if _holds(plugin, wanted)
    ]
    if as_json:
        print_json({"plugins": [_row(plugin, version) for plugin, version in found]})
    elif found:
        print_columns(COLUMNS, [_cells(plugin, version, wanted) for plugin, version in found], right=())
        click.echo("`zoo plugin install NAME` installs one. A plugin is code that runs with your rights.")
    else:
        click.echo(f"No known plugin holds '{shown(text)}'. `zoo plugin search` shows all.", err=True)


def _holds(plugin: KnownPlugin, wanted: str) -> bool:
    names = (name for release in plugin.releases for own in release.names.values() for name in own)
    return any(wanted in one.lower() for one in (plugin.distribution, plugin.summary, *names))


def _row(plugin: KnownPlugin, installed: str | None) -> dict[str, Any]:
    versions = [
        {
            "version": one.version,
            "zoo": one.zoo,
            "hook_api": one.hook_api,
            "install": one.install,
            "sha256": one.sha256,
            "obstacle": one.obstacle,
            "yanked": one.yanked,
            "verified": [asdict(result) for result in one.verified],
            **one.names,
        }
        for one in plugin.releases
    ]
    facts = {"distribution": plugin.distribution, "summary": plugin.summary, "licence": plugin.licence}
    return {**facts, "links": dict(plugin.links), "installed": installed, "versions": versions}


def _cells(plugin: KnownPlugin, installed: str | None, wanted: str) -> list[str]:
    release = plugin.best or plugin.releases[0]
    version = release.version or "-"
    if release.obstacle:
        version += f"\n{release.obstacle}"
    provides = "\n".join(_provides(kind, names, wanted) for kind, names in release.names.items() if names)
    result = str(release.verified[0]) if release.verified else "-"
    return [plugin.distribution, version, plugin.summary, provides, plugin.licence, result, installed or "no"]


def _provides(kind: str, names: tuple[str, ...], wanted: str) -> str:
    """The names of one kind that hold the text; their number where there are too many."""
    holding = [name for name in names if wanted in name.lower()] or list(names)
    if len(holding) > SHOWN_NAMES:
        return f"{kind}: {len(holding):,}, as {', '.join(holding[:SHOWN_NAMES])}"
    return f"{kind}: {', '.join(holding)}"
