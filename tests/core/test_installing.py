"""Install commands work today: names that no package index has are not given to pip."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from zoo_core import installing
from zoo_core.installing import install_command, install_hint


def test_a_command_for_this_machine_names_folders_that_pip_takes() -> None:
    """Before, `pip install zoo-vgg` asked an index for a name that anybody could take there."""
    command = shlex.split(install_command("zoo-core", "zoo-vgg"))
    assert command[:2] == ["pip", "install"]
    assert [(Path(place) / "pyproject.toml").is_file() for place in command[2:]] == [True, True]
    options = ["--dry-run", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([sys.executable, "-m", *command, *options], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("names", "extra", "command"),
    [
        (("zoo-vgg",), "", "pip install ./plugins/zoo-vgg"),
        (("zoo-core", "zoo-vgg", "zoo-mini"), "", "pip install . ./plugins/zoo-vgg zoo-mini"),
        (("zoo-core",), "streaming", "pip install '.[streaming]'"),
        (("evil; rm",), "", "pip install 'evil; rm'"),
    ],
)
def test_a_command_for_other_machines_is_for_the_folder_of_the_source(
    names: tuple[str, ...], extra: str, command: str
) -> None:
    assert install_command(*names, extra=extra, here=False) == command


def test_the_day_of_publication_changes_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "ON_AN_INDEX", True)
    assert install_command("zoo-core", "zoo-vgg") == "pip install zoo-core zoo-vgg"
    assert install_hint("zoo-core", extra="streaming") == "`pip install 'zoo-core[streaming]'`"


def test_without_the_source_the_hint_says_where_to_run_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installing, "SOURCE", tmp_path)
    assert install_hint("zoo-vgg") == "`pip install ./plugins/zoo-vgg` in the folder of zoo's source"
    assert install_hint("zoo-mini") == "`pip install zoo-mini`"
