"""`zoo plugin check`: the conformance kit over an installed plugin, as a table or a page."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.common import announce, console, shown
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.plugin_index import update_index
from zoo_core.cli.plugin_install import install, uninstall
from zoo_core.cli.plugin_new import new
from zoo_core.cli.plugin_search import search
from zoo_core.errors import UsageError, did_you_mean, printable
from zoo_core.paths import write_text

if TYPE_CHECKING:
    from zoo_core.installed import InstalledPlugin
    from zoo_core.testing import Check

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; }}
td {{ padding: .2rem .8rem; vertical-align: top; white-space: pre-line; }}
.failed td:first-child {{ color: #b00020; }} .passed td:first-child {{ color: #1b6e20; }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<table>
{rows}
</table>
"""


@click.group()
def plugin() -> None:
    """Make, find, install, check and remove plugins."""


plugin.add_command(new)
plugin.add_command(search)
plugin.add_command(install)
plugin.add_command(uninstall)
plugin.add_command(update_index)


@plugin.command()
@click.argument("distribution", required=False, metavar="[DIST]")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to this page.")
@click.option("--fast", is_flag=True, help="Leave out the checks that import torch's compiler.")
@json_option
def check(distribution: str | None, page: Path | None, fast: bool, as_json: bool) -> None:
    """Check an installed plugin, or all of them, against the contract.

    DIST is the name of its distribution, or the folder of its source.

    Each failure says the fault, its place, and the way to mend it. The exit code is 1 if there is
    one. Failures that a plugin declares in EXPECTED_FAILURES, with a reason, are shown and do not
    count.

    \b
    zoo plugin check zoo-mynet
    zoo plugin check zoo-mynet --html report.html
    """
    plugins = _plugins(distribution)
    announce("loading the conformance kit")
    results: list[dict[str, str]] = []
    for result in (result for plugin in plugins for result in _results(plugin, slow=not fast)):
        results.append(result)
        if not as_json:
            _show(result)
    failed = sum(result["outcome"] == "failed" for result in results)
    expected = sum(result["outcome"] == "expected" for result in results)
    summary = (
        f"{len(results)} checks: {len(results) - failed - expected} passed, {failed} failed, {expected} as declared."
    )
    if as_json:
        print_json({"checks": results, "failed": failed})
    else:
        console().print(summary)
    if page is not None:
        write_text(page, _page(distribution or "all plugins", summary, results))
    raise SystemExit(1 if failed else 0)


def _plugins(distribution: str | None) -> list[InstalledPlugin]:
    """The plugins of a distribution, or all; of those that two entry points name, the first. Raises
    UsageError for a distribution that is not installed."""
    from zoo_core.installed import installed_plugins
    from zoo_core.installing import distribution_named

    wanted = installed_plugins()
    if distribution is not None:
        names = sorted({one.distribution for one in wanted})
        found = distribution_named(distribution, names)
        if found is None:
            raise UsageError(
                f"no plugin '{printable(distribution)}' is installed.{did_you_mean(distribution, names)} "
                "`zoo plugins` shows all."
            )
        wanted = [one for one in wanted if one.distribution == found]
    return [*{one.value: one for one in reversed(wanted)}.values()][::-1]


def _results(plugin: InstalledPlugin, *, slow: bool) -> Iterator[dict[str, str]]:
    """The outcome of each check of a plugin; of the first alone where it cannot be used at all."""
    from zoo_core.discovery import obstacle_of
    from zoo_core.testing import plugin_checks

    obstacle = obstacle_of(plugin)
    if obstacle is not None:
        name = f"{plugin.distribution}: can be loaded"
        meaning = "zoo imports its entry point."
        yield {"check": name, "outcome": "failed", "meaning": meaning, "told": f"{name}: {obstacle}."}
        return
    for check in plugin_checks(plugin.load(), slow=slow):
        yield _result(check)


def _result(check: Check) -> dict[str, str]:
    try:
        check()
    except AssertionError as error:
        return {"check": check.name, "outcome": "failed", "meaning": check.rule.meaning, "told": str(error)}
    outcome = "passed" if check.expected is None else "expected"
    return {"check": check.name, "outcome": outcome, "meaning": check.rule.meaning, "told": check.expected or ""}


def _show(result: dict[str, str]) -> None:
    match result["outcome"]:
        case "failed":
            console().print(f"[red]failed[/red]    {shown(result['told'])}")
        case "expected":
            console().print(f"[dim]declared[/dim]  {shown(result['check'])}: {shown(result['told'])}")
        case _:
            console().print(f"[green]passed[/green]    {shown(result['check'])}")


def _page(title: str, summary: str, results: list[dict[str, str]]) -> str:
    rows = [
        f'<tr class="{result["outcome"]}"><td>{result["outcome"]}</td><td>{html.escape(result["check"])}</td>'
        f"<td>{html.escape(result['told'] or result['meaning'])}</td></tr>"
        for result in results
    ]
    return PAGE.format(title=html.escape(title), summary=html.escape(summary), rows="\n".join(rows))
