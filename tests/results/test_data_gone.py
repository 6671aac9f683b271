"""A run whose own data are gone: every command says so, and names a next step that works."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.cli.main import zoo
from zoo_core.testing import make_photos

COMMANDS = ("evaluate RUN", "report RUN", "bench RUN", "export RUN --to torch-export -o FOLDER/a.pt2")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gone")
    photos = make_photos(root / "photos", count=12)
    zoo_core.finetune(FinetuneConfig(backbone="lenet5", data=str(photos), epochs=1, out=str(root / "run")))
    photos.rename(root / "moved")
    return root


@pytest.mark.parametrize("command", COMMANDS, ids=lambda text: text.split()[0])
def test_data_that_are_gone_are_named_as_the_runs_own(root: Path, tmp_path: Path, command: str) -> None:
    """Seen to fail: it was said to give a folder of classes, and not how."""
    arguments = command.replace("RUN", str(root / "run")).replace("FOLDER", str(tmp_path)).split()
    told = str(CliRunner().invoke(zoo, arguments).exception)
    assert told.startswith(
        f"the run's own data are no longer at {root / 'photos'}. Put them back there, or give other images: `"
    )
    assert told.endswith(" --data PLACE`.")
    named = told.split("`")[1].split()
    assert named[:3] == ["zoo", arguments[0], str(root / "run")]


def test_the_step_that_is_named_works(root: Path) -> None:
    answer = CliRunner().invoke(zoo, ["evaluate", str(root / "run"), "--data", str(root / "moved")])
    assert answer.exit_code == 0, answer.exception


def test_nearest_training_images_that_are_gone_are_a_warning_with_their_place(root: Path, tmp_path: Path) -> None:
    photo = next((root / "moved").rglob("*.png"))
    answer = CliRunner().invoke(zoo, ["explain", str(root / "run"), str(photo), "-o", str(tmp_path / "a.png")])
    assert answer.exit_code == 0, answer.exception
    assert f"the run's own data are no longer at {root / 'photos'}. Put them back there." in answer.stderr
