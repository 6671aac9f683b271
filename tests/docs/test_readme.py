"""What the documents say is true: commands parse, files are there, examples work."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from docs.pages import DOCUMENTS, README, ROOT, TUTORIAL, blocks, prose
from helpers import Zoo
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as command_line
from zoo_core.data.augmentation import augmentation_named

EXAMPLE = "zoo-nin"
QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")


def zoo_lines(path: Path) -> list[str]:
    """Every zoo command of a document, from its blocks and from its text."""
    parts = [
        part.strip()
        for language, text in blocks(path)
        if language in ("sh", "console")
        for part in re.split(r"\n|&&|\||2>", text)
    ]
    commands = [part.removeprefix(".venv/bin/") for part in parts]
    commands += [" ".join(text.split()) for text in re.findall(r"`(zoo\s[^`]+)`", prose(path))]
    return [command for command in commands if command.startswith("zoo ")]


COMMANDS = [(path, line) for path in DOCUMENTS for line in zoo_lines(path)]


@pytest.mark.parametrize(("path", "line"), COMMANDS, ids=[f"{path.name}: {line}" for path, line in COMMANDS])
def test_a_command_in_a_document_parses_and_names_what_there_is(path: Path, line: str, catalog: Catalog) -> None:
    assert not re.search(r"\{.*\.\.", QUOTED.sub("", line)), "the shell would make several arguments of it"
    name, *arguments = shlex.split(re.sub(r"(?<= )N\b", "2", line), comments=True)[1:]
    if name in ("--help", "--version"):
        return
    command = command_line.get_command(click.Context(command_line), name)
    assert command is not None, f"there is no command '{name}'"
    if not arguments or "--help" in arguments:  # a command that is only spoken of
        return
    try:
        given = command.make_context(
            name, arguments
        ).params  # raises for an option or an argument that it does not take
    except click.BadOptionUsage as error:
        assert "requires an argument" in error.message  # noqa: PT017 - an option that is only spoken of
        return
    if given.get("backbone") not in (None, "none", "nin"):
        catalog.backbone(given["backbone"])
    if given.get("head"):
        catalog.head(given["head"])
    if given.get("augment") not in (None, "auto"):
        augmentation_named(given["augment"], catalog)
    if given.get("strategy") not in (None, "auto"):
        catalog.strategy(given["strategy"])


def test_commands_were_found_in_the_documents() -> None:
    assert {path for path, _ in COMMANDS} >= {README, TUTORIAL}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_installs_from_or_runs_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"-r (\S+)", text) + re.findall(r"\b(?:python|bash) ([\w./]+\.py|\.ci/run)", text)
    assert not [name for name in named if not (ROOT / name).is_file() and not (path.parent / name).is_file()]


@pytest.mark.parametrize("marker", ["first command", "test command"])
def test_the_two_commands_stand_alone_after_their_markers(marker: str) -> None:
    found = re.findall(rf"^<!-- {marker} -->\n```sh\n(.*)\n```$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1
    assert found[0].startswith("python3 -m venv .venv && .venv/bin/pip install -r requirements")


def test_every_first_party_plugin_stands_in_the_readme_with_its_backbones(catalog: Catalog) -> None:
    rows = dict(re.findall(r"^\| \[([\w-]+)\]\(plugins/[\w-]+\) \| (.*?) \|", README.read_text(), re.MULTILINE))
    assert rows.keys() == {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")}
    for record in catalog.records:
        if record.distribution in rows:
            told = set(re.findall(r"`([a-z0-9]\w*)`", rows[record.distribution]))
            suffixes = re.findall(r"each also with `(_\w+)`", rows[record.distribution])
            told |= {name + suffix for name in told for suffix in suffixes}
            for table in re.findall(r"\]\((plugins/[\w-]+/\w+\.md)\)", rows[record.distribution]):
                cut = re.findall(r"^\| (\w+) \|.*\| (?:yes|0 \| all) \| \|$", (ROOT / table).read_text(), re.MULTILINE)
                told = {f"timm-{name}" if record.distribution == "zoo-timm" else name for name in cut}
            assert told == {spec.name for spec in record.specs}


def test_the_library_example_of_the_readme_runs(photos: Path, tmp_path: Path) -> None:
    (code,) = [text for language, text in blocks(README) if language == "python"]
    (photos / "red" / "0.jpg").rename(tmp_path / "photo.jpg")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Prediction(image='photo.jpg'" in done.stdout


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The plugin of the tutorial, new and then changed: its folder, and the one into which pip installed it."""
    root = tmp_path_factory.mktemp("example")
    with contextlib.chdir(root):
        assert CliRunner().invoke(command_line, ["plugin", "new", EXAMPLE]).exit_code == 0
    text = TUTORIAL.read_text(encoding="utf-8")
    files = re.findall(rf"^`({EXAMPLE}/\S+)`\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(files) == 2
    for name, content in files:
        assert (root / name).is_file()
        (root / name).write_text(content, encoding="utf-8")
    site = root / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site]
    subprocess.run([*command, root / EXAMPLE], check=True)
    return root / EXAMPLE, site


def test_the_plugin_of_the_tutorial_is_listed_once_it_is_installed(zoo: Zoo, example: tuple[Path, Path]) -> None:
    answer = zoo("list", env={"PYTHONPATH": str(example[1])})
    assert answer.stderr == ""
    assert re.search(r"^ *nin .* zoo-nin *$", answer.stdout, re.MULTILINE)


def test_the_plugin_of_the_tutorial_passes_the_conformance_kit(example: tuple[Path, Path]) -> None:
    folder, site = example
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_plugin_of_the_tutorial_is_written_as_its_own_settings_ask(example: tuple[Path, Path]) -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=example[0], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
