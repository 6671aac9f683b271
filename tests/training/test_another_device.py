"""A run that names its device goes on where another one is.

Seen to fail: the error named an option that `zoo resume` did not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import zoo_core
from survive.support import weights_of
from survive.test_interruptions import LENET, stopped_at
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job

ABSENT = "cuda:99"


def command(*words: str) -> None:
    answer = CliRunner().invoke(zoo, words)
    if answer.exit_code:
        raise answer.exception or AssertionError(answer.output)


def by_command(run: Path, catalog: Catalog) -> None:
    command("resume", str(run), "--device", "cpu")


def by_finetune(run: Path, catalog: Catalog) -> None:
    command("finetune", "--resume", str(run), "--device", "cpu")


def by_program(run: Path, catalog: Catalog) -> None:
    zoo_core.resume(run, device="cpu", catalog=catalog)


@pytest.mark.parametrize("resumed", [by_command, by_finetune, by_program])
def test_a_run_of_a_device_that_is_not_here_goes_on_with_another(
    resumed: Callable[[Path, Catalog], None],
    photos: Path,
    tmp_path: Path,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    config = replace(LENET, data=str(photos), epochs=2, device="cpu")
    runs = {name: replace(config, out=str(tmp_path / name)) for name in ("whole", "run")}
    run_job(prepare(runs["whole"], catalog), NullCallback())
    assert stopped_at(1, lambda callback: run_job(prepare(runs["run"], catalog), callback), monkeypatch)
    run = tmp_path / "run"
    facts: dict[str, Any] = json.loads((run / "config.json").read_text())
    facts["config"]["device"] = ABSENT
    (run / "config.json").write_text(json.dumps(facts))
    with pytest.raises(zoo_core.UsageError, match=f"the device '{ABSENT}' is not here.* Use --device cpu or auto"):
        zoo_core.resume(run, catalog=catalog)
    resumed(run, catalog)
    assert weights_of(run) == weights_of(tmp_path / "whole")
