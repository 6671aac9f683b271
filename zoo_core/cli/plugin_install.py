"""`zoo plugin install` and `zoo plugin uninstall`: pip's work, shown and asked for."""

from __future__ import annotations

import importlib

import click

from zoo_core.cli.common import warn
from zoo_core.cli.pip import run_pip, yes_option
from zoo_core.errors import UsageError, did_you_mean, printable, shown


@click.command()
@click.argument("plugin", metavar="NAME|PATH|URL")
@yes_option
def install(plugin: str, yes: bool) -> None:
    """Install a plugin into this environment, with pip.

    NAME is a known plugin, NAME==VERSION one version of it; PATH a package's folder or wheel; URL
    an https address. The command is shown, and runs when you agree.

    \b
    zoo plugin install zoo-lora
    zoo plugin install ./zoo-mynet
    """
    from zoo_core.installing import wanted_argument

    argument, warning = wanted_argument(plugin)
    warn([warning] if warning else [])
    before = _versions()
    run_pip("install", argument, yes=yes)
    importlib.invalidate_caches()
    new = [f"{name} {version}" for name, version in _versions().items() if before.get(name) != version]
    if new:
        click.echo(f"Installed: {printable(', '.join(new))}. `zoo plugins` shows the specs.")
    else:
        click.echo("No plugin has come or changed its version. `zoo plugins` shows those that are here.")


@click.command()
@click.argument("name")
@yes_option
def uninstall(name: str, yes: bool) -> None:
    """Uninstall a plugin from this environment, with pip.

    NAME is its distribution, or the folder of its source. The command is shown, and runs when you
    agree.

    \b
    zoo plugin uninstall zoo-lora
    """
    from zoo_core.installing import distribution_named

    found = distribution_named(name, _versions())
    if found is None:
        raise UsageError(
            f"no plugin '{shown(name)}' is installed.{did_you_mean(name[:80], _versions())} `zoo plugins` shows all."
        )
    run_pip("uninstall", found, yes=yes)


def _versions() -> dict[str, str]:
    """The distributions that have plugins, with their versions."""
    from zoo_core.installed import installed_plugins

    return {one.distribution: one.version for one in installed_plugins()}
