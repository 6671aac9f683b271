"""The options of `zoo finetune` follow from the settings, and their list changes on purpose only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from helpers import Zoo
from zoo_core.augmentations import zoo_augmentations
from zoo_core.cli.finetune import finetune
from zoo_core.cli.main import zoo as command
from zoo_core.cli.options import Option
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of

SETTINGS = settings_of(FinetuneConfig)
FROZEN = """
backbone data strategy head weights epochs batch-size lr image-size out
task val-share augment fit bad-images fix-list from train-share fold group-by seed
base-lr optimizer weight-decay warmup metric best-epoch patience balance
loss label-smoothing mixup cutmix l2-sp ema
cached-views cache-gb cache-dtype prefix-precision
device precision compile micro-batch step-layout tiles threads gradient-checkpointing no-gradient-checkpointing
workers decoding save-every track
config resume devices report json
"""
"""All options of `zoo finetune`. A new one is a promise: think whether "auto" could do without it, then add it here."""
RENAMED = {
    ("finetune", "--views"): "--cached-views",
    ("finetune", "--size"): "--image-size",
    ("plan", "--picture"): "--plot",
    ("pull", "--all-of"): "--plugin",
}


def option(name: str) -> Any:
    return next(one for one in finetune.params if one.name == name)


def help_of(name: str) -> str:
    return CliRunner().invoke(command, [name, "--help"], terminal_width=100, prog_name="zoo").output


def completed(*words: str) -> set[str]:
    """The completions of the last word."""
    complete = ShellComplete(command, {}, "zoo", "_ZOO_COMPLETE")
    return {item.value for item in complete.get_completions(list(words[:-1]), words[-1])}


def test_no_option_came_or_went() -> None:
    shown = [name for one in finetune.params for name in (one.shown if isinstance(one, Option) else one.opts)]
    assert [name.removeprefix("--") for name in shown] == FROZEN.split()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_an_option_with_its_help_group_and_default(name: str) -> None:
    declared = SETTINGS[name]
    made = option(name)
    assert made.opts[0] == f"--{declared.option}"
    assert (made.help, made.group) == (declared.description, declared.group)
    assert declared.default_text in made.note
    text = " ".join(help_of("finetune").split())
    assert f"--{declared.option} " in text
    assert " ".join(declared.help.split()) in text


def test_help_shows_the_groups_and_first_what_most_people_need() -> None:
    lines = help_of("finetune").splitlines()
    headings = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [*dict.fromkeys(one.group for one in SETTINGS.values()), "Other options"]
    first = lines[lines.index(f"{headings[0]}:") : lines.index(f"{headings[1]}:")]
    assert sum(line.startswith("  --") for line in first) == 10


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.words])
def test_a_shell_completes_the_words_of_a_setting(name: str) -> None:
    words = set(SETTINGS[name].words)
    if name == "augment":
        words |= {"none", "crop-flip", *(spec.name for spec in zoo_augmentations())}
    assert completed("finetune", f"--{SETTINGS[name].option}", "") == words


def test_a_shell_completes_the_last_name_of_a_chain() -> None:
    assert completed("finetune", "--augment", "crop+ro") == {"crop+rotate"}


@pytest.mark.parametrize(("place", "new"), RENAMED.items())
def test_an_old_spelling_is_accepted_and_shown_nowhere(place: tuple[str, str], new: str) -> None:
    name, old = place
    assert old not in help_of(name)
    assert new in help_of(name)
    assert old not in completed(name, "--")
    assert new in completed(name, "--")
    context = click.Context(command)
    made = command.get_command(context, name)
    assert made is not None
    needed = [one.opts[0] for one in made.params if one.required and isinstance(one, click.Option)]
    given = [part for flag in needed for part in (flag, "x")]
    assert made.make_context(name, [*given, old, "7"]).params == made.make_context(name, [*given, new, "7"]).params


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if str not in one.types and not one.is_flag])
def test_a_wrong_value_is_refused_under_the_new_spelling_with_the_values_that_there_are(name: str) -> None:
    declared = SETTINGS[name]
    for spelling in (declared.option, *declared.old_options):
        result = CliRunner().invoke(command, ["finetune", "--backbone", "x", f"--{spelling}", "-7.5x"])
        assert result.exit_code == 2
        message = " ".join(result.output.split())
        assert f"Invalid value for '--{declared.option}': must be {declared.accepts}, got '-7.5x'" in message


def test_options_on_the_command_line_win_over_the_config_file(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'backbone = "lenet5"\nepochs = 2\nstrategy = "last:1"\ngradient-checkpointing = true\nseed = 4\nout = "one"\n'
    )
    first = zoo("finetune", "--config", "run.toml", "--epochs", 1, "--no-gradient-checkpointing")
    assert first.returncode == 0, first.stderr
    config = json.loads((tmp_path / "one" / "config.json").read_text())["config"]
    chosen = {name: config[name] for name in ("epochs", "strategy", "seed", "gradient_checkpointing")}
    assert chosen == {"epochs": 1, "strategy": "last:1", "seed": 4, "gradient_checkpointing": False}
    again = zoo("finetune", "--config", "one/config.json", "--out", "two")
    assert again.returncode == 0, again.stderr
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("one", "two")]
    assert weights[0] == weights[1]


def test_a_config_file_without_a_backbone_asks_for_one(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("epochs = 2\n")
    refused = zoo("finetune", "--config", "run.toml")
    assert refused.returncode == 2
    assert "Missing option '--backbone'" in refused.stderr
