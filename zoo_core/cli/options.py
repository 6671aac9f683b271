"""Options of the command line: made from declared settings, shown in groups, renamed in peace."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from zoo_core.cli.common import BACKBONE, HEAD, STRATEGY, Chain
from zoo_core.errors import ZooError
from zoo_core.paths import user_path
from zoo_core.settings import FinetuneConfig, read_settings
from zoo_core.settings.fields import Setting, settings_of
from zoo_core.settings.words import NO_RUN, NO_TRACKERS
from zoo_core.spec_checks import AUGMENT_WORDS

if TYPE_CHECKING:
    from zoo_core.runs.schema import RunFacts

F = TypeVar("F", bound=Callable[..., Any])
SETTINGS = settings_of(FinetuneConfig)
COMPLETED: dict[str, tuple[click.ParamType[Any], str]] = {
    "backbone": (BACKBONE, "NAME"),
    "head": (HEAD, "NAME"),
    "strategy": (STRATEGY, "NAME"),
    "augment": (Chain("augmentation", "augmentations", AUGMENT_WORDS), "NAME[+NAME...]"),
    "data": (click.Path(), "DATA"),
    "weights": (click.Path(), "WEIGHTS"),
    "fix_list": (click.Path(), "FILE"),
    "from_run": (click.Path(), "RUN"),
    "out": (click.Path(), "DIR"),
    "track": (Chain("tracker", "trackers", (NO_TRACKERS,), link=","), "NAME[,NAME...]"),
}
"""The settings whose values a shell completes by names of the catalog or by paths."""


class Option(click.Option):
    """An option with a group and with old spellings, which are accepted and never shown.

    `note` follows the help: its default, or that it is required.
    """

    def __init__(
        self,
        declarations: list[str],
        group: str = "",
        old: Iterable[str] = (),
        note: str = "",
        **arguments: Any,
    ) -> None:
        self.group, self.note = group, note
        self.old = [f"--{name}" for name in old]
        super().__init__([*declarations, *self.old], **arguments)

    @property
    def shown(self) -> list[str]:
        """The spellings that people are told."""
        return [name for name in [*self.opts, *self.secondary_opts] if name not in self.old]

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        if self.hidden:
            return None
        value = "" if self.is_flag else f" {self.make_metavar(ctx)}"
        return " / ".join(self.shown) + value, f"{self.help or ''}  {self.note}".rstrip()

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return " / ".join(f"'{name}'" for name in self.shown[:1])


class Command(click.Command):
    """A command whose help shows the options in groups, in the order of their declaration."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group, members in groupby(self.get_params(ctx), key=lambda one: getattr(one, "group", "")):
            records = [record for one in members if (record := one.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(group or "Other options" if self.is_grouped else "Options"):
                    formatter.write_dl(records)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        old = {name for one in self.params if isinstance(one, Option) for name in one.old}
        return [item for item in super().shell_complete(ctx, incomplete) if item.value not in old]

    @property
    def is_grouped(self) -> bool:
        """Whether any of its options belongs to a group."""
        return any(getattr(one, "group", "") for one in self.params)


class SettingType(click.ParamType[Any]):
    """The values of a setting; a shell completes its words."""

    def __init__(self, declared: Setting) -> None:
        self.declared = declared
        kinds = [{int: "INTEGER", float: "FLOAT"}.get(kind, "TEXT") for kind in declared.types]
        self.name = "|".join([*kinds, *declared.words])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.declared.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self.declared.words if word.startswith(incomplete)]


class MoreEpochs(int):
    """A number of epochs that is added to those of a finished run."""


class EpochsType(SettingType):
    """The epochs of a training, or +N: so many more."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and re.fullmatch(r"\+[1-9][0-9]{0,8}", value):
            return MoreEpochs(value)
        return super().convert(value, param, ctx)


class MoreEpochsType(click.ParamType[MoreEpochs]):
    """+N epochs, and nothing else."""

    name = "+N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> MoreEpochs:
        more = EpochsType(SETTINGS["epochs"]).convert(value, param, ctx)
        if not isinstance(more, MoreEpochs):
            self.fail(f"{more} epochs are those of a new run; +{more} are so many more.", param, ctx)
        return more


MORE_EPOCHS = MoreEpochsType()


def setting_option(name: str) -> Callable[[F], F]:
    """The option of a setting of FinetuneConfig.

    It has no default: a config file may give the value, and FinetuneConfig has the default, which
    the help shows.
    """
    declared = SETTINGS[name]
    own = EpochsType(declared) if name == "epochs" else SettingType(declared)
    kind, metavar = COMPLETED.get(name, (own, own.name))
    return click.option(
        f"--{declared.option}/--no-{declared.option}" if declared.is_flag else f"--{declared.option}",
        name,
        cls=Option,
        group=declared.group,
        old=declared.old_options,
        type=None if declared.is_flag else kind,
        metavar=None if declared.is_flag else metavar,
        default=None,
        help=declared.description,
        note="[required]" if declared.required else f"[default: {declared.default_text}]",
    )


def options_of(*names: str) -> Callable[[F], F]:
    """The options of some settings, in this order."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            function = setting_option(name)(function)
        return function

    return decorate


def setting_options_without(*names: str) -> Callable[[F], F]:
    """All options of FinetuneConfig but these, in the order and the groups of their declaration."""
    return options_of(*(name for name in SETTINGS if name not in names))


setting_options = setting_options_without()


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Read settings from a TOML file or a run's config.json; options given here win.",
)


def asked_settings(
    ctx: click.Context, config: Path | None, settings: dict[str, Any], others: Collection[str] = ()
) -> dict[str, Any]:
    """The settings of a config file and of the command line; with `--from` a run's backbone and
    head. Raises UsageError where no backbone is among them, nor among the names of `others`."""
    given = given_settings(ctx, settings)
    asked = read_settings(config) if config is not None else {}
    if config is not None:
        asked |= _named_here(ctx, config, {name: asked[name] for name in asked if name not in {*given, *others}})
    asked |= given
    if asked.get("from_run", NO_RUN) != NO_RUN:
        from zoo_core.runs.directory import read_facts

        facts = read_facts(user_path(str(asked["from_run"])))  # a config file may name anything
        own = {"backbone": facts.backbone.name, "head": facts.head.name}
        asked |= _means_the_runs(ctx, facts, {name: own[name] for name in own if name not in asked})
    if "backbone" not in {*asked, *others}:
        raise click.UsageError("Missing option '--backbone'. `zoo list` shows all backbones.", ctx)
    return asked


def _named_here(ctx: click.Context, path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Some settings of a config file. Where it is that of a run, names mean the run's parts."""
    path = user_path(path)
    path = path / "config.json" if path.is_dir() else path
    if path.suffix != ".json":
        return settings
    from zoo_core.runs.directory import read_json
    from zoo_core.runs.schema import parse_facts

    try:
        facts = parse_facts(read_json(path), str(path))
    except ZooError:  # settings without a run, or those of a run that somebody has edited
        return settings
    return _means_the_runs(ctx, facts, settings)


def _means_the_runs(ctx: click.Context, facts: RunFacts, settings: dict[str, Any]) -> dict[str, Any]:
    """As `settings_here`, with the catalog of a command, which warns when it opens its own."""
    from zoo_core.catalog import open_catalog
    from zoo_core.runs.provided import settings_here

    return settings_here(facts, open_catalog(with_plugins=ctx.obj["with_plugins"]), settings)


def given_settings(ctx: click.Context, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that somebody named on the command line. Raises UsageError for +N
    epochs, which only a finished run has."""
    given = {
        name: value for name, value in settings.items() if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if isinstance(given.get("epochs"), MoreEpochs):
        more = given["epochs"]
        raise click.UsageError(f"--epochs +{more} trains a finished run further: zoo resume RUN --epochs +{more}.", ctx)
    return given
