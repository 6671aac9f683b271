"""A head that learns alone gets its learning rate from trials, and the epoch that is kept is not one that had luck.

Seen to fail: where a trial leaves the head trained; where the usual rate is taken whatever the features; where a rate that
diverges late counts by its lowest loss, and one that diverges at once ends the search; where the highest of noisy scores is
kept; where patience looks at the score alone; where a run of zoo 0.1 gets today's rules.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.runs.directory import read_facts, read_metrics
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import FinetuneConfig, read_settings
from zoo_core.tasks.metrics import ACCURACY
from zoo_core.training import phase_trainer
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.lr_trials import _Trial, lowest
from zoo_core.training.run import run_job
from zoo_core.training.trainer_state import TrainerState


class Listening(NullCallback):
    """Keeps what a training says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


class Optimizer:
    param_groups: tuple[dict[str, float], ...] = ()

    def step(self) -> None:
        pass


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    photos = make_photos(tmp_path / "photos", count=40)
    return FinetuneConfig(backbone="lenet5", epochs=2, batch_size=16, data=str(photos), out=str(tmp_path / "run"))


@pytest.mark.parametrize("best", [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 10.0])
def test_the_rate_with_the_lowest_loss_is_found_wherever_it_is(best: float) -> None:
    losses = lowest(lambda rate: abs(math.log(rate / best)))
    assert min(losses, key=lambda rate: losses[rate]) == best
    assert len(losses) <= 9


def test_a_rate_at_which_the_loss_is_no_number_is_not_taken() -> None:
    losses = lowest(lambda rate: math.nan if rate > 2e-3 else 1 + rate)
    assert min(losses, key=lambda rate: losses[rate]) < 2e-3


def test_the_trials_change_nothing_and_tell_what_they_found(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, torch.Tensor]] = []
    found: list[float] = []
    real = phase_trainer.lr_by_trials

    def looked_at(model: nn.Module, *arguments: object, **more: object) -> float:
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        found.append(real(model, *arguments, **more))  # type: ignore[arg-type]
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return found[-1]

    monkeypatch.setattr(phase_trainer, "lr_by_trials", looked_at)
    callback = Listening()
    result = run_job(prepare(config, catalog), callback)
    assert len(found) == 1
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    (said,) = [line for line in callback.said if "trials" in line]
    assert f"{found[0]:g}" in said
    assert result.trained.lr == read_metrics(result.directory)[-1]["lr"] == found[0]
    assert f"peak learning rate {found[0]:.2g} (by trials)" in (result.directory / "README.md").read_text()
    assert read_facts(result.directory).decisions["lr"].value == "trials"


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"strategy": "last:1"}, "trials of other rates are quick only for a head alone"),
        ({"head": "linear:pool=gem"}, "trials of other rates are quick only for a head alone"),
        ({"head": "logreg"}, "a head that is solved has none"),
        ({"strategy": "head-only", "cache_gb": 0}, "trials of other rates are quick only"),
    ],
)
def test_elsewhere_the_usual_rate_is_taken(
    config: FinetuneConfig, catalog: Catalog, changes: dict[str, object], because: str
) -> None:
    job = prepare(replace(config, **changes), catalog)
    assert (job.settings.lr, job.settings.lr_search) == (0.01, "")
    assert because in job.decisions["lr"].because
    assert job.facts().config.lr == 0.01, "a later zoo repeats the run"


def test_features_of_another_scale_get_another_rate(config: FinetuneConfig, catalog: Catalog) -> None:
    """Steps of Adam are of one size, so outputs move by the rate times the features."""
    job = prepare(replace(config, head="linear", epochs=10), catalog)
    usual = run_job(job, NullCallback()).trained.lr
    large = prepare(replace(config, out=f"{config.out}-large", epochs=10), catalog)
    last = large.model.backbone.stage(large.model.backbone.stages[-1])
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.mul_(100)
    assert run_job(large, NullCallback()).trained.lr < usual


def test_a_rate_that_diverges_late_does_not_win(config: FinetuneConfig, catalog: Catalog) -> None:
    """Its lowest loss came before; the training would have ended in an error."""
    calls = itertools.count(1)

    def explodes(rate: float) -> float:
        step = SimpleNamespace(
            config=SimpleNamespace(seed=0, warmup=0.1, batch_size=4, epochs=5), optimizer=Optimizer()
        )
        step.tail, step.objective = nn.Linear(2, 2), SimpleNamespace(loss=lambda outputs, targets: torch.tensor(0.1))
        trial = _Trial(
            step,
            torch.zeros(50, 2),
            torch.zeros(50),
            lambda batch: torch.tensor(math.inf if next(calls) == 30 else 1.0),
            SimpleNamespace(signal=None),
        )  # type: ignore[arg-type]
        return trial.loss(rate)

    assert explodes(0.01) == math.inf
    assert explodes(0.01) == pytest.approx(0.1)


def test_a_run_of_an_older_zoo_as_a_config_file_keeps_its_rules(tmp_path: Path) -> None:
    old = {"format": "zoo-run", "version": 1, "config": {"backbone": "lenet5", "out": "x"}}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert read_settings(tmp_path)["best_epoch"] == "highest"
    (tmp_path / "own.json").write_text(json.dumps({"backbone": "lenet5"}))
    assert "best_epoch" not in read_settings(tmp_path / "own.json")


def test_a_thousand_epochs_are_compared_in_no_time() -> None:
    state = state_with([0.5] * 3000, [0.5] * 3000, 100)
    seen: list[EpochReport] = []
    state._error = lambda report: (seen.append(report), 0.1)[1]  # type: ignore[func-returns-value]
    assert state.best.epoch == 3000
    assert len(seen) == 1


def history(scores: list[float], losses: list[float]) -> list[EpochReport]:
    pairs = zip(scores, losses, strict=True)
    return [EpochReport(n, 1, 0.01, 0.0, loss, score, "accuracy", 0.0) for n, (score, loss) in enumerate(pairs, 1)]


def state_with(scores: list[float], losses: list[float], images: int | None) -> TrainerState:
    state = TrainerState.__new__(TrainerState)
    state.history, state.metric = history(scores, losses), ACCURACY
    state.is_steady, state.val_images = images is not None, images or 1
    return state


@pytest.mark.parametrize(
    ("images", "best"),
    [(None, 2), (100, 4), (10_000, 2), (1_000_000, 2)],
)
def test_the_latest_epoch_within_a_standard_error_is_kept(images: int | None, best: int) -> None:
    state = state_with([0.80, 0.90, 0.85, 0.88], [0.6, 0.5, 0.6, 0.7], images)
    assert state.best.epoch == best


def test_epochs_that_are_all_right_have_noise_too() -> None:
    assert state_with([1.0, 1.0, 1.0], [0.3, 0.2, 0.1], 20).best.epoch == 3
    assert ACCURACY.standard_error(1.0, 20) > 0


def test_patience_waits_for_the_score_and_for_the_loss() -> None:
    falling = state_with([0.9, 0.8, 0.8, 0.8], [0.9, 0.8, 0.7, 0.6], 100)
    assert falling.improved_at == 4
    assert not falling.out_of_patience(1, since=0)
    rising = state_with([0.8, 0.9, 0.8, 0.8], [0.5, 0.6, 0.7, 0.8], 100)
    assert rising.improved_at == 2
    assert rising.out_of_patience(2, since=0)


def test_a_run_of_an_older_zoo_keeps_its_rules(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(replace(config, best_epoch="highest"), catalog)
    assert job.settings.patience == job.settings.epochs
    new = prepare(replace(config, epochs=30, best_epoch="steady"), catalog)
    assert new.settings.patience == 10
