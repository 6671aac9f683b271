"""The commands of plugins: names and summaries for `zoo --help`, and the one that is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import click

from zoo_core.errors import PluginError, printable
from zoo_core.listing import listed


def summaries(ctx: click.Context, own: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The one-line help of each plugin's command, by the name that calls it, and the warnings of
    plugins that failed. Imports no command.

    A name that is one of zoo's `own`, or that two plugins give, has its distribution before it.
    """
    rows, warnings = listed("commands", with_plugins=_with_plugins(ctx))
    given = Counter([*own, *(row["name"] for row in rows)])
    found = {}
    for row in rows:
        name = row["name"] if given[row["name"]] == 1 else f"{printable(row['plugin'])}:{row['name']}"
        found[name] = f"{row['summary']} ({printable(row['plugin'])})"
    return found, warnings


def command_named(ctx: click.Context, name: str) -> click.Command | None:
    """Import a plugin's command, chosen by `name` or `distribution:name`; None where there is none.

    Raises UsageError for a name that two plugins give, and PluginError, which names the
    distribution, for a command that cannot be imported.
    """
    rows, _ = listed("commands", with_plugins=_with_plugins(ctx))
    if not any(name in (row["name"], f"{row['plugin']}:{row['name']}") for row in rows):
        return None
    from zoo_core.catalog import open_catalog, owner_of
    from zoo_core.specs import resolve

    entry = open_catalog(with_plugins=_with_plugins(ctx)).command(name).entry
    try:
        command = resolve(entry.spec.command)
    except PluginError as error:
        raise PluginError(f"{owner_of(entry)} failed: {error}") from error
    if not isinstance(command, click.Command):
        raise PluginError(f"{owner_of(entry)} failed: '{entry.spec.command}' is no click command.")
    return command


def _with_plugins(ctx: click.Context) -> bool:
    """Whether plugins are enabled; before `zoo` itself has run, its parameters say so."""
    return bool((ctx.obj or {}).get("with_plugins", not ctx.params.get("no_plugins")))
