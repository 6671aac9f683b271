"""The command `zoo`: finds its subcommand, and turns every expected failure into one message."""

from __future__ import annotations

import gc
import importlib
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from zoo_core.devices.collector import EVERY
from zoo_core.devices.cores import compute_within_share, wait_briefly
from zoo_core.devices.malloc import freed_memory_kept
from zoo_core.errors import Terminated, UsageError, ZooError, interrupt_behind, is_out_of_memory, printable
from zoo_core.version import version_text

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Each command with its one-line help, so that `zoo --help` imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("zoo_core.cli.list_:list_", "List backbones, heads, strategies, data sets or weights."),
    "info": ("zoo_core.cli.info:info", "Show the facts of one backbone, head or strategy."),
    "history": ("zoo_core.cli.history:history", "Tell the history of the architectures."),
    "plugins": ("zoo_core.cli.plugins:plugins", "List the plugins, and why one failed."),
    "plugin": ("zoo_core.cli.plugin:plugin", "Make, find, install, check or remove a plugin."),
    "pull": ("zoo_core.cli.pull:pull", "Download weights for work without a network."),
    "check": ("zoo_core.cli.check:check", "Find faults in your images and labels, without training."),
    "plan": ("zoo_core.cli.plan:plan", "Show the plan of a strategy and its cost, without training."),
    "finetune": ("zoo_core.cli.finetune:finetune", "Fine-tune a backbone with a new head on your images."),
    "resume": ("zoo_core.cli.resume:resume", "Continue an interrupted run."),
    "compare": ("zoo_core.cli.compare:compare", "Train a grid of choices, and say which is the best."),
    "advise": ("zoo_core.cli.advise:advise", "Advise on a network and a strategy for your images."),
    "runs": ("zoo_core.cli.runs:runs", "List your runs, or show the differences of two."),
    "evaluate": ("zoo_core.cli.evaluate:evaluate", "Evaluate a run on labelled images."),
    "export": ("zoo_core.cli.export:export", "Write a run as a file of another format."),
    "bench": ("zoo_core.cli.bench:bench", "Measure speed, memory and accuracy of a run in several formats."),
    "embed": ("zoo_core.cli.embed:embed", "Write the features of images to a file."),
    "similar": ("zoo_core.cli.similar:similar", "Find the images that are most similar to a photo."),
    "report": ("zoo_core.cli.report:report", "Write a page about a run: errors, heat maps, doubtful labels."),
    "explain": ("zoo_core.cli.explain:explain", "Show the places in an image that speak for an answer."),
    "predict": ("zoo_core.cli.predict:predict", "Predict images with a run or a pretrained backbone."),
    "publish": ("zoo_core.cli.publish:publish", "Publish a run on the Hugging Face Hub."),
    "search": ("zoo_core.cli.search:search", "Find published zoo models."),
    "cache": ("zoo_core.cli.cache:cache", "Show the caches, or clear them."),
    "completion": ("zoo_core.cli.completion:completion", "Print the completion script for your shell."),
}


class LazyGroup(click.Group):
    """The commands of zoo and of plugins, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from zoo_core.cli.plugged import summaries

        return [*COMMANDS, *summaries(ctx, COMMANDS)[0]]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            from zoo_core.cli.plugged import command_named

            return command_named(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None:
            from zoo_core.cli.common import warn
            from zoo_core.cli.plugged import summaries
            from zoo_core.errors import did_you_mean, printable

            added, warnings = summaries(ctx, COMMANDS)
            warn(warnings)  # the command may be that of a plugin that failed
            near = did_you_mean(args[0], [*COMMANDS, *added])
            ctx.fail(f"No command '{printable(args[0])}'.{near} `zoo --help` shows all.")
        return args[0], command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from zoo_core.cli.common import warn
        from zoo_core.cli.plugged import summaries

        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        added, warnings = summaries(ctx, COMMANDS)
        warn(warnings)
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(list(added.items()))

    def invoke(self, ctx: click.Context) -> None:
        """Run the command. The value that it returns would pass for an exit code, which only an
        Exit has."""
        super().invoke(ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names, without importing a command; click would import each for its help."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        from zoo_core.cli.plugged import summaries

        helps = {name: text for name, (_, text) in COMMANDS.items()} | summaries(ctx, COMMANDS)[0]
        return [CompletionItem(name, help=text) for name, text in helps.items() if name.startswith(incomplete)]


def _show_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        click.echo(f"zoo, version {version_text()}")
        ctx.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.option(
    "--no-plugins", is_flag=True, is_eager=True, help="Disable all plugins; only the specs of zoo-core remain."
)
@click.pass_context
def zoo(ctx: click.Context, no_plugins: bool) -> None:
    """Any backbone x any head x any freeze strategy, fine-tuned on your own images.

    \b
    zoo list                                           the backbones to choose from
    zoo finetune --backbone lenet5 --out runs/first    a first fine-tune, on bundled images
    zoo predict runs/first photo.png                   answers of the trained model
    zoo finetune --backbone resnet50 --data photos/    your own images, one folder a class

    ZOO_DISABLE_PLUGINS=a,b disables the plugins of the distributions a and b; ZOO_CACHE is the cache folder.
    """
    ctx.obj = {"with_plugins": not no_plugins}
    ctx.with_resource(freed_memory_kept())


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 wrong usage, 1 anything else, 130 and 143 interrupted."""
    signal.signal(signal.SIGTERM, terminated)
    gc.set_threshold(EVERY)
    compute_within_share()
    wait_briefly()
    if sys.stdout is None:  # it was closed, as some daemons do
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # a pipe of Windows or a bare locale may not have every character
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _check_quotes(sys.argv)
        code = _run()
    except click.exceptions.Abort as error:  # as click calls an interrupt
        code = _interrupted(error)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ZooError as error:
        code = _say(f"error: {error}", error.exit_code)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        place = f"{printable(str(error.filename))} cannot be read or written" if error.filename else "a file failed"
        more = "Free space, make it writable, or choose another place (ZOO_CACHE names the cache folder)."
        code = _say(f"error: {place}: {error.strerror or error}. {more}", 1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        code = _say("error: out of memory. Give smaller images or fewer of them at once, or close other programs.", 1)
    except KeyboardInterrupt as error:
        code = _interrupted(error)
    sys.exit(code if isinstance(code, int) else 0)


def _run() -> Any:
    """The command's exit code. An error of a plugin's code becomes one that names the plugin."""
    try:
        return zoo.main(prog_name="zoo", standalone_mode=False)
    except Exception as error:
        from zoo_core.attribution import plugin_error

        named = plugin_error(error)
        if named is None:
            raise
        raise named from error


def _check_quotes(arguments: list[str]) -> None:
    """Raise UsageError where a shell has read the braces of a pattern of shards: all but one would be lost."""
    if sum(argument.removeprefix("--data=").startswith("wds:") for argument in arguments) > 1:
        raise UsageError(
            "the shell has made several arguments of the pattern of shards. Put it in quotes: --data 'wds:NAME-{0..9}.tar'"
        )


def terminated(signum: int, frame: Any) -> None:
    """End at once: there is nothing to save."""
    os.write(2, b"terminated\n")  # not a print: the signal may have come in the middle of one
    raise Terminated


def _interrupted(error: BaseException) -> int:
    """The exit code after a signal. A Ctrl-C is told here; SIGTERM has told itself."""
    stop = interrupt_behind(error)
    return 128 + stop.signum if isinstance(stop, Terminated) else _say("interrupted", 130)


def _say(text: str, code: int) -> int:
    from zoo_core.errors import printable

    click.echo("\n".join(printable(line) for line in text.split("\n")), err=True)
    return code
