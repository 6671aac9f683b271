"""`zoo plugin check`, names that a folder shadows, and the import path of `python -m zoo_core`."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from helpers import Zoo
from zoo_core import UsageError, installed, load
from zoo_core.cli.plugin import plugin
from zoo_core.installed import InstalledPlugin


def test_a_plugin_is_checked_and_the_page_has_every_rule(zoo: Zoo, tmp_path: Path) -> None:
    """By its source, in a folder of another name. Seen to fail: no plugin './my-nets' is installed."""
    page = tmp_path / "report.html"
    (tmp_path / "my-nets").mkdir()
    (tmp_path / "my-nets" / "pyproject.toml").write_text('[project]\nname = "zoo_lenet"\n')
    answer = zoo("plugin", "check", "./my-nets", "--fast", "--json", "--html", page)
    assert "the last one gives a head features of the spec's layout" in html.unescape(page.read_text()), "one line"
    assert answer.returncode == 0, answer.stderr
    checks = json.loads(answer.stdout)["checks"]
    assert {check["outcome"] for check in checks} == {"passed"}
    assert page.read_text().count("<tr") == len(checks) > 30


def test_a_plugin_that_is_not_installed_is_no_traceback(zoo: Zoo) -> None:
    answer = zoo("plugin", "check", "zoo-lenex")
    assert (answer.returncode, answer.stderr) == (
        2,
        "error: no plugin 'zoo-lenex' is installed. Did you mean 'zoo-lenet'? `zoo plugins` shows all.\n",
    )


STRATEGIES = """
from zoo_core import FreezeSpec, hookimpl

class Strategies:
    @hookimpl
    def zoo_strategies(self):
        return [FreezeSpec(name="mine", plan="zoo_core.freezing.strategies:head_only", summary="a strategy")]

strategies = Strategies()
"""
FAULTY = """
from zoo_core import FreezeSpec, hookimpl

PATH = "zoo_core.freezing.strategies:head_only"
SPECS = [FreezeSpec(name="A B", plan=PATH, summary=""), FreezeSpec(name="good", plan=PATH, summary="")]

@hookimpl
def zoo_strategies():
    return SPECS
"""


def test_a_plugin_that_cannot_be_loaded_is_one_line_and_the_others_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: a traceback of the import, which ended the command; one faulty spec of a module was an import that
    failed; a plugin for another zoo was to be imported and mended."""
    sources = {"broken": "x = (", "leaves": "raise SystemExit(3)", "future": "HOOK_API = 99"}
    sources |= {"objects": STRATEGIES, "faulty": FAULTY}
    for name, text in sources.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "plugin.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    values = [f"{name}.plugin" for name in ("broken", "leaves", "absent", "future")]
    values += [*["objects.plugin:strategies"] * 2, "faulty.plugin"]
    plugins = [InstalledPlugin(f"p{place}", value, "zoo-x", "1") for place, value in enumerate(values)]
    monkeypatch.setattr(installed, "installed_plugins", lambda: plugins)
    answer = CliRunner().invoke(plugin, ["check", "zoo-x", "--fast", "--json"])
    assert answer.exit_code == 1, answer.output
    checks = json.loads(answer.stdout)["checks"]
    told = [check["told"] for check in checks if check["check"] == "zoo-x: can be loaded"]
    words = ("SyntaxError", "SystemExit: 3", "No module named 'absent'", "written for hook API 99")
    assert [word in line for word, line in zip(words, told, strict=True)] == [True] * 4, told
    mends = [line.partition("\n  To mend it: ")[2] for line in told]
    assert mends == [f"import {value} in Python, and mend that first." for value in values[:3]] + [""]
    names = [check["check"] for check in checks if check["check"].startswith("mine: ")]
    assert len(names) == len({*names}) > 0, "two entry points of one object are checked once"
    by_name = {check["check"]: check["outcome"] for check in checks}
    (fault,) = [check["told"] for check in checks if check["check"] == "faulty.plugin: hands over specs"]
    assert "the strategy name 'A B' must be" in fault
    assert [name for name in by_name if name.startswith("good: ")], "one faulty spec costs that spec alone"
    assert by_name["objects.plugin: hands over specs"] == by_name["objects.plugin: imports nothing heavy"] == "passed"


def test_a_folder_of_a_backbones_name_does_not_hide_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: "lenet5 is not a run", and with a run in that folder the run answered for the backbone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lenet5").mkdir()
    assert load("lenet5").title.startswith("lenet5 (")
    (tmp_path / "lenet5" / "config.json").write_text('{"format": "zoo-run"}')
    with pytest.raises(UsageError, match="'lenet5' is a backbone, and a run in this folder. Say ./lenet5 for the run"):
        load("lenet5")


def test_python_m_runs_nothing_of_the_current_folder(zoo: Zoo, tmp_path: Path) -> None:
    """torchrun starts zoo so. Seen to fail: a pluggy.py that lay in the folder was imported and run."""
    for name in ("pluggy", "click", "torch"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(9)\n")
    answer = zoo("list", "heads")
    assert (answer.returncode, (tmp_path / "ran").exists()) == (0, False), answer.stderr
