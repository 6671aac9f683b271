"""Commands of plugins: listed without an import, chosen by name, blamed when they fail."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from zoo_core import CommandSpec, PluginError
from zoo_core.cli.main import _run
from zoo_core.cli.main import zoo as command_line
from zoo_core.errors import ZooError

Install = Callable[..., Path]

SPECS = """
from zoo_core import CommandSpec, hookimpl
HOOK_API = 2
@hookimpl
def zoo_commands():
    return [CommandSpec(name=name, command=f"{module}_cli:{{name}}", summary="Do it.") for name in {names}]
"""
COMMANDS = """
import click
@click.command()
@click.option("--times", default=1)
def greet(times):
    click.echo("hello " * times)
@click.command("list")
def list_():
    click.echo("another list")
@click.command()
def fails():
    {}["key"]
def plain(): pass
globals()["list"] = list_
"""


@pytest.fixture
def provide(install: Install) -> Callable[..., None]:
    """Install a plugin with commands of these names."""

    def put(distribution: str, *names: str, code: str = COMMANDS) -> None:
        module = distribution.replace("-", "_")
        site = install(distribution, SPECS.format(module=module, names=names))
        (site / f"{module}_cli.py").write_text(code)
        sys.modules.pop(f"{module}_cli", None)

    return put


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command_line, arguments)


def test_help_lists_a_command_of_a_plugin_without_importing_it(provide: Callable[..., None]) -> None:
    provide("zoo-greet", "greet", code="raise RuntimeError('imported')")
    answer = call("--help")
    assert re.search(r"Commands of plugins:\n  greet +Do it\. \(zoo-greet\)\n", answer.stdout)
    assert "greet" not in call("--no-plugins", "--help").output
    assert "zoo_greet_cli" not in sys.modules


def test_a_command_of_a_plugin_takes_its_options_and_has_its_help(provide: Callable[..., None]) -> None:
    provide("zoo-greet", "greet")
    assert call("greet", "--times", "2").output == "hello hello \n"
    assert call("zoo-greet:greet").output == "hello \n"
    assert "Usage: zoo greet [OPTIONS]" in call("greet", "--help").output
    assert "No command 'greet'. `zoo --help` shows all." in call("--no-plugins", "greet").output
    assert "No command 'gret'. Did you mean 'greet'?" in call("gret").output


def test_a_name_of_zoos_own_stays_zoos_and_the_other_is_chosen_by_its_distribution(
    provide: Callable[..., None],
) -> None:
    provide("zoo-twin", "list")
    assert "zoo-twin:list  Do it. (zoo-twin)" in call("--help").stdout
    assert "Usage: zoo list [OPTIONS]" in call("list", "--help").output
    assert call("zoo-twin:list").output == "another list\n"


def test_a_name_that_two_plugins_give_is_a_clash_that_names_both(provide: Callable[..., None]) -> None:
    provide("zoo-one", "greet")
    provide("zoo-two", "greet")
    assert "zoo-one:greet" in call("--help").stdout
    assert "zoo-two:greet" in call("--help").stdout
    clash = call("greet")
    assert isinstance(clash.exception, ZooError)
    assert "provided by zoo-one and by zoo-two. Choose one: 'zoo-one:greet' or 'zoo-two:greet'" in str(clash.exception)
    assert call("zoo-two:greet").output == "hello \n"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("missing", COMMANDS, "the command 'missing' failed: 'zoo_bad_cli:missing' cannot be imported: AttributeError"),
        ("plain", COMMANDS, "the command 'plain' failed: 'zoo_bad_cli:plain' is no click command."),
        ("greet", "import nowhere", "'zoo_bad_cli:greet' cannot be imported: ModuleNotFoundError: No module named"),
    ],
)
def test_a_command_that_cannot_be_imported_is_blamed(
    provide: Callable[..., None], name: str, code: str, message: str
) -> None:
    provide("zoo-bad", name, code=code)
    failed = call(name)
    assert isinstance(failed.exception, PluginError)
    assert str(failed.exception).startswith("zoo-bad: ")
    assert message in str(failed.exception)


def test_a_command_that_fails_is_blamed_in_one_line(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("zoo-bad", SPECS.format(module="zoo_bad", names=("fails",)).replace("zoo_bad_cli", "zoo_bad") + COMMANDS)
    monkeypatch.setattr(sys, "argv", ["zoo", "fails"])
    with pytest.raises(PluginError, match=r"^zoo-bad failed in zoo_bad/zoo_bad.py, line \d+: KeyError: 'key'.$"):
        _run()


@pytest.mark.parametrize(("end", "code"), [("return 7", None), ("return True", None), ("ctx.exit(3)", 3)])
def test_only_an_exit_is_an_exit_code(
    provide: Callable[..., None], monkeypatch: pytest.MonkeyPatch, end: str, code: int | None
) -> None:
    """As of any click command. Seen to fail: zoo ended with 7 and with 1."""
    code_of_it = f"import click\n@click.command()\n@click.pass_context\ndef count(ctx):\n    {end}\n"
    provide("zoo-count", "count", code=code_of_it)
    monkeypatch.setattr(sys, "argv", ["zoo", "count"])
    assert _run() is code


def test_a_broken_plugin_is_named_where_its_command_is_missed(install: Install) -> None:
    install("zoo-bad", "import nowhere")
    answer = call("greet")
    assert answer.exit_code == 2
    assert "warning: the plugin zoo-bad was skipped: ModuleNotFoundError" in answer.stderr
    assert answer.stderr.count("warning: the plugin zoo-bad") == 1


def test_the_shell_completes_commands_of_plugins_without_importing_any(provide: Callable[..., None]) -> None:
    provide("zoo-greet", "greet", code="raise RuntimeError('imported')")
    found = ShellComplete(command_line, {}, "zoo", "_ZOO_COMPLETE").get_completions([], "gr")
    assert [(one.value, one.help) for one in found] == [("greet", "Do it. (zoo-greet)")]


@pytest.mark.parametrize("summary", ["", "two\nlines", "\x1b[2J", "x" * 101])
def test_the_summary_of_a_command_is_one_line(summary: str) -> None:
    with pytest.raises(PluginError, match="command 'x': summary must be one line"):
        CommandSpec(name="x", command="a:b", summary=summary)


def test_a_group_may_be_a_command(provide: Callable[..., None]) -> None:
    provide(
        "zoo-tools",
        "tools",
        code="import click\n@click.group()\ndef tools(): pass\n@tools.command()\ndef one(): click.echo(1)\n",
    )
    assert call("tools", "one").output == "1\n"
    assert isinstance(command_line.get_command(click.Context(command_line), "tools"), click.Group)
