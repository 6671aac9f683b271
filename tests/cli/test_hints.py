"""Options that a message names are options of the command that gives it.

Seen to fail: `zoo evaluate` and `zoo plan` named `--bad-images skip`, `zoo plan` named `--task`, and had none of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from helpers import make_table
from zoo_core.cli.main import zoo
from zoo_core.errors import ZooError

LENET = ("--backbone", "lenet5", "--strategy", "head-only", "--epochs", "1")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(zoo, [str(argument) for argument in arguments])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Photos with whole numbers, of which one is no image."""
    file = make_table(tmp_path / "photos", "path,age", lambda name, number: str(number), count=6)
    (file.parent / "red" / "0.jpg").write_bytes(b"")
    return file


def test_hints_about_data_can_be_followed(table: Path, tmp_path: Path) -> None:
    plan = ("plan", *LENET, "--data", table, "--json")
    with pytest.raises(ZooError, match="Give --task classification or --task regression"):
        raise call(*plan).exception or AssertionError
    plan = (*plan, "--task", "regression")
    with pytest.raises(ZooError, match="or add --bad-images skip"):
        raise call(*plan).exception or AssertionError
    planned = call(*plan, "--bad-images", "skip")
    assert planned.exit_code == 0, planned.exception
    assert json.loads(planned.stdout)["estimates"]

    run = tmp_path / "run"
    trained = call("finetune", *LENET, "--data", table, "--task", "regression", "--bad-images", "skip", "--out", run)
    assert trained.exit_code == 0, trained.exception
    with pytest.raises(ZooError, match="or add --bad-images skip"):
        raise call("evaluate", run, "--data", table, "--json").exception or AssertionError
    measured = call("evaluate", run, "--data", table, "--bad-images", "skip", "--json")
    assert measured.exit_code == 0, measured.exception
    assert json.loads(measured.stdout)["images"] == 11


@pytest.mark.parametrize(
    "words",
    [
        ("report", "--no-labels", "-o", "page.html"),
        ("bench", "--formats", "torch,torch-export", "--rounds", 1, "--seconds", 0.05, "-o", "bench.png"),
        ("export", "--to", "torch-export", "-o", "model.pt2"),
    ],
    ids=lambda words: words[0],
)
def test_every_command_that_names_bad_images_takes_the_option(
    words: tuple[object, ...], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: `zoo report` and `zoo bench` named `--bad-images skip`, and had no such option."""
    monkeypatch.chdir(tmp_path)
    table = table.rename(table.with_name("other.csv"))
    skipping = ("--data", table, "--bad-images", "skip")
    trained = call("finetune", *LENET, "--task", "regression", *skipping, "--out", "run")
    assert trained.exit_code == 0, trained.exception
    command, *rest = words
    with pytest.raises(ZooError, match="or add --bad-images skip"):
        raise call(command, "run", "--data", table, *rest).exception or AssertionError
    done = call(command, "run", *skipping, *rest)
    assert done.exit_code == 0, (done.exception, done.stderr)
    assert (tmp_path / str(rest[-1])).is_file()
