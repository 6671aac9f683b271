"""Going on with a run that is older, or starting from one that is gone when the training ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.devices.world import World
from zoo_core.runs.directory import METRICS, MODEL, RunWriter, read_facts, read_metrics
from zoo_core.runs.schema import RunFacts
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.known import KnownRun
from zoo_core.training.planning import plan_without_images


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path: Path, catalog: Catalog) -> FinetuneConfig:
    """That of a finished run, which is in its `out`."""
    photos = make_photos(tmp_path / "photos", count=6, size=32)
    config = FinetuneConfig(
        backbone="norms", data=str(photos), strategy="head-only", epochs=1, lr=0.01, out=str(tmp_path / "run")
    )
    zoo_core.finetune(config, catalog=catalog)
    return config


def test_a_run_whose_result_says_no_learning_rate_goes_on(config: FinetuneConfig, catalog: Catalog) -> None:
    run = Path(str(config.out))
    lines = read_metrics(run)
    del lines[-1]["lr"]  # as zoo 0.2 wrote it
    (run / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    zoo_core.resume(run, more_epochs=1, catalog=catalog)
    assert read_facts(run).added_epochs == (1,)
    assert read_metrics(run)[-1]["lr"] == 0.01


def test_a_run_that_is_killed_as_it_is_to_go_on_has_lost_nothing(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    write, run = RunWriter.replace_facts, Path(str(config.out))

    def killed(self: RunWriter, facts: RunFacts) -> None:
        write(self, facts)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "replace_facts", killed)
        with pytest.raises(Killed):
            zoo_core.resume(run, more_epochs=5, catalog=catalog)
    zoo_core.load(run, catalog=catalog)
    zoo_core.resume(run, more_epochs=1, catalog=catalog)
    assert read_facts(run).added_epochs == (1,)
    assert [line["epoch"] for line in read_metrics(run) if line["event"] == "epoch"] == [1, 2]


def test_a_training_ends_with_its_result_where_the_earlier_run_is_gone_meanwhile(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog
) -> None:
    class Removing(NullCallback):
        def on_epoch(self, report: Any) -> None:
            (tmp_path / "run" / MODEL).unlink()

    others = make_photos(tmp_path / "others", count=6, size=40)
    on = replace(config, data=str(others), from_run=str(config.out), out=str(tmp_path / "on"))
    result = zoo_core.finetune(on, catalog=catalog, callback=Removing())
    assert (result.directory / MODEL).is_file()
    assert result.forgotten is not None
    assert result.forgotten.before is None
    assert result.forgotten.reason


def test_ranks_measure_what_is_forgotten_together_or_not_at_all(config: FinetuneConfig, catalog: Catalog) -> None:
    class Two(World):
        def all_gather_object(self, value: Any) -> list[Any]:
            return [value, "the other rank has no such folder"]

    run = Path(str(config.out))
    known = KnownRun(run, read_facts(run))
    assert known.with_held_out(catalog, World()).held_out is not None
    without = known.with_held_out(catalog, Two())
    assert (without.held_out, without.reason) == (None, "the other rank has no such folder")


def test_a_plan_without_images_starts_from_the_run(config: FinetuneConfig, catalog: Catalog) -> None:
    asked = FinetuneConfig(backbone="norms")
    assert plan_without_images(asked, catalog).strategy == "full"  # from scratch
    assert plan_without_images(replace(asked, from_run=str(config.out)), catalog).strategy == "head-only"
