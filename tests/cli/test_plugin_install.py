"""`zoo plugin install` and `uninstall`: pip's command is shown, asked for, and never made of anything else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from helpers import Zoo
from registry.support import entry, index_of
from zoo_core.cli import pip
from zoo_core.cli.main import zoo as command_line
from zoo_core.errors import UsageError, ZooError
from zoo_core.registry import replace_index

VGG = Path(__file__).parents[2] / "plugins" / "zoo-vgg"
PIP = [sys.executable, "-P", "-m", "pip"]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that would have run, at a terminal, with a cache of the test's own."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    commands: list[list[str]] = []
    terminal = SimpleNamespace(isatty=lambda: True)
    fake = SimpleNamespace(executable=sys.executable, prefix=sys.prefix, stdin=terminal)
    monkeypatch.setattr(pip, "sys", fake)
    monkeypatch.setattr(pip, "subprocess", SimpleNamespace(run=lambda command: _done(commands, command)))
    return commands


def _done(commands: list[list[str]], command: list[str]) -> Any:
    commands.append(command)
    return SimpleNamespace(returncode=0)


def words(cache: Path) -> list[str]:
    """The command that installs zoo-vgg."""
    return [*PIP, "install", "--constraint", str(cache / "plugins" / "this-zoo.txt"), str(VGG)]


def call(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(command_line, ["plugin", *arguments], input=answer)


def test_the_command_is_shown_and_runs_after_a_yes(ran: list[list[str]], tmp_path: Path) -> None:
    answer = call("install", "zoo-vgg", answer="y\n")
    assert ran == [words(tmp_path)]
    assert answer.stderr.startswith(" ".join(words(tmp_path)) + "\nRun it? [y/N]")
    assert answer.stdout == "No plugin has come or changed its version. `zoo plugins` shows those that are here.\n"


@pytest.mark.parametrize("no", ["n\n", "\n", ""])
def test_nothing_runs_after_any_other_answer(ran: list[list[str]], no: str) -> None:
    assert (call("install", "zoo-vgg", answer=no).exit_code, ran) == (1, [])


def test_yes_skips_the_question_and_not_the_command(ran: list[list[str]], tmp_path: Path) -> None:
    assert call("install", "zoo-vgg", "--yes").stderr == " ".join(words(tmp_path)) + "\n"
    assert ran == [words(tmp_path)]


def test_nothing_runs_where_nobody_can_be_asked(
    ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        pip, "sys", SimpleNamespace(**{**vars(pip.sys), "stdin": SimpleNamespace(isatty=lambda: False)})
    )
    answer = call("install", "zoo-vgg")
    assert isinstance(answer.exception, UsageError)
    assert str(answer.exception) == "nobody can be asked here. Add --yes to run that command."
    assert (answer.stderr, ran) == (" ".join(words(tmp_path)) + "\n", [])


def test_without_pip_the_command_of_uv_is_named(ran: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pip, "find_spec", lambda name: None)
    answer = call("install", "zoo-vgg", "--yes")
    assert f"has no pip. With uv: `uv pip install --python {sys.executable} --constraint " in str(answer.exception)
    assert ran == []


def test_a_failure_of_pip_is_one_of_zoo(ran: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pip, "subprocess", SimpleNamespace(run=lambda command: SimpleNamespace(returncode=2)))
    answer = call("install", "zoo-vgg", "--yes")
    assert (type(answer.exception), str(answer.exception)) == (ZooError, "pip ended with 2; its own message is above.")


def test_a_yanked_version_is_warned_of(ran: list[list[str]]) -> None:
    replace_index(index_of(entry(yanked="wrong weights")), "it")
    assert isinstance(call("install", "zoo-mini", "--yes").exception, UsageError)
    assert ran == []
    answer = call("install", "zoo-mini==1.0", "--yes")
    assert answer.stderr.startswith("warning: zoo-mini 1.0 was yanked: wrong weights.\n")
    assert ran[0][-1] == "zoo-mini==1.0"


def test_only_plugins_are_uninstalled(ran: list[list[str]]) -> None:
    for name in ("numpy", "zoo-core", "-r"):
        answer = call("uninstall", "--yes", "--", name)
        assert isinstance(answer.exception, UsageError)
        assert str(answer.exception).startswith(f"no plugin '{name}' is installed.")
    call("uninstall", "zoo_vgg", answer="y\n")
    assert ran == [[*PIP, "uninstall", "--yes", "zoo-vgg"]]


def test_an_argument_that_pip_would_take_for_an_option_never_gets_there(ran: list[list[str]]) -> None:
    with pytest.raises(UsageError, match="'--index-url=x' would be an option of pip"):
        pip.run_pip("install", "--index-url=x", yes=True)
    assert ran == []


def test_a_plugin_that_wants_another_zoo_gets_none_from_an_index(
    ran: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody owns zoo's names on an index: seen to fail, pip asked there for the zoo-core that a plugin required."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    written = tmp_path / "plugins" / "this-zoo.txt"
    written.parent.mkdir()
    written.write_bytes(b"\xff\xfe")  # damaged: seen to end in a traceback
    call("install", "zoo-vgg", "--yes")
    assert written.read_text().startswith(f"zoo-core=={version('zoo-core')}\nzoo-alexnet=={version('zoo-alexnet')}\n")
    assert "zoo-vgg" not in written.read_text(), "it is installed from its folder, in any version"
    monkeypatch.setattr(pip, "version", lambda name: version(name) if name != "zoo-timm" else missing(name))
    call("install", "zoo-vgg", "--yes")
    assert "\nzoo-timm<0\n" in written.read_text()
    monkeypatch.setattr(pip, "version", missing)
    answer = call("install", "zoo-vgg", "--yes")
    assert str(answer.exception).startswith("pip does not know zoo-core in ")
    assert len(ran) == 2


@pytest.mark.parametrize(
    "argument",
    [
        "zoo-efficientnet-lite==1.0",
        "zoo-efficientnet-lite[gpu] @ https://example.org/x.whl#sha256=00",
        "https://example.org/zoo_efficientnet_lite-0.1.0-py3-none-any.whl",
        "git+https://example.org/zoo-efficientnet-lite@v1.0",
        "/home/zoo-efficientnet-lite[gpu,x]",
        "/home/zoo_efficientnet_lite-0.1.0.tar.gz",
    ],
)
def test_the_distribution_that_an_argument_names_is_known(argument: str) -> None:
    assert pip.named_in(argument) == "zoo-efficientnet-lite"


def test_a_folder_of_another_name_is_that_of_the_distribution_in_it(ran: list[list[str]], tmp_path: Path) -> None:
    """Seen to fail: pip was held to the zoo-vgg that is installed, or to none, while it was to install another one from
    such a folder; and a folder called zoo-vgg freed pip to take any zoo-vgg."""
    folder = tmp_path / "my-nets"
    folder.mkdir()
    for name, is_held in (("zoo-vgg", False), ("zoo-mini", True)):
        (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
        assert call("install", f"{folder}[gpu]", "--yes").exit_code == 0
        assert ("\nzoo-vgg" in (tmp_path / "plugins" / "this-zoo.txt").read_text()) is is_held
        folder = folder.rename(tmp_path / "zoo-vgg")
    (folder / "pyproject.toml").write_text('[project]\nname = "zoo-lora"\n')
    assert call("uninstall", str(folder), "--yes").exit_code == 0
    assert ran[-1] == [*PIP, "uninstall", "--yes", "zoo-lora"]


def test_a_wheel_is_installed_and_its_plugin_named(zoo: Zoo, tmp_path: Path) -> None:
    """With pip itself. A pip.py in the current folder is not run, which it was without -P."""
    (tmp_path / "pip.py").write_text("raise SystemExit(9)\n")
    with zipfile.ZipFile(tmp_path / "zoo_mini-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("zoo_mini.py", "")
        info = "zoo_mini-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: zoo-mini\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[zoo]\nmini = zoo_mini\n")
        wheel.writestr(f"{info}/RECORD", "")
    site = tmp_path / "site"
    site.mkdir()
    quiet = {"PIP_TARGET": str(site), "PIP_NO_INDEX": "1", "PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    answer = zoo("plugin", "install", "--yes", "zoo_mini-1.0-py3-none-any.whl", env={"PYTHONPATH": str(site), **quiet})
    assert (answer.returncode, answer.stdout) == (0, "Installed: zoo-mini 1.0. `zoo plugins` shows the specs.\n")
    assert subprocess.list2cmdline(["zoo_mini-1.0-py3-none-any.whl"]) in answer.stderr
