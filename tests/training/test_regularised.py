"""Regularisers, the range test and patience at work in the trainer. What each does by itself is held by their own tests."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError
from zoo_core.runs.directory import read_metrics
from zoo_core.settings import FinetuneConfig
from zoo_core.training import phase_trainer
from zoo_core.training import trainer as loops
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.range_test import LOWEST, SETTLING, steepest
from zoo_core.training.result import Result
from zoo_core.training.run import run_job
from zoo_core.training.stopping import Interrupted


@pytest.fixture
def config(photos: Path, tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(
        backbone="lenet5", strategy="last:2", epochs=3, batch_size=4, data=str(photos), out=str(tmp_path / "run")
    )


class Listening(NullCallback):
    """Keeps what a training says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def run(config: FinetuneConfig, catalog: Catalog, **changes: object) -> tuple[dict[str, torch.Tensor], Result]:
    """The weights at the end and the result; each run has a folder of its own."""
    out = f"{config.out}-{len(list(Path(str(config.out)).parent.glob('run*')))}"
    job = prepare(replace(config, out=out, **changes), catalog)
    result = run_job(job, NullCallback())
    return {name: tensor.clone() for name, tensor in job.model.state_dict().items()}, result


@pytest.mark.parametrize("setting", ["mixup", "cutmix", "l2_sp", "ema"])
def test_each_regulariser_changes_what_is_learnt(config: FinetuneConfig, catalog: Catalog, setting: str) -> None:
    plain, first = run(config, catalog)
    again, _ = run(config, catalog)
    regular, second = run(config, catalog, **{setting: 0.9})
    assert all(torch.equal(plain[name], again[name]) for name in plain), "otherwise the difference would mean nothing"
    assert any(not torch.equal(plain[name], regular[name]) for name in plain)
    assert first.trained.epochs[0].train_loss != second.trained.epochs[0].train_loss or setting == "ema"


def test_a_strong_pull_keeps_the_base_where_it_started(config: FinetuneConfig, catalog: Catalog) -> None:
    start = {name: tensor.clone() for name, tensor in prepare(config, catalog).model.backbone.state_dict().items()}

    def to_device(**changes: object) -> float:
        weights, _ = run(replace(config, optimizer="sgd", lr=0.05), catalog, **changes)
        return sum((weights[f"backbone.{name}"] - tensor).square().sum().item() for name, tensor in start.items())

    assert 0 < to_device(l2_sp=50.0) < 0.5 * to_device()


def test_the_averages_are_what_is_measured_and_kept(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[loops.Ema] = []
    real = loops.Ema
    monkeypatch.setattr(loops, "Ema", lambda *arguments: made.append(real(*arguments)) or made[-1])
    weights, result = run(config, catalog, ema=0.99, epochs=1)
    assert result.trained.best == 1
    averages = {name: tensor for name, tensor in made[0].averages.items() if name.startswith("head/")}
    assert averages
    for name, average in averages.items():
        assert torch.equal(weights[name.replace("/", ".")], average)


def test_the_range_test_leaves_the_model_as_it_was_and_tells_what_it_found(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    states: list[dict[str, torch.Tensor]] = []
    real = phase_trainer.range_test

    def looked_at(model, *arguments: object, **functions: object) -> float:
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        found.append(real(model, *arguments, **functions))
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return found[-1]

    monkeypatch.setattr(phase_trainer, "range_test", looked_at)
    callback = Listening()
    job = prepare(replace(config, lr="auto", strategy="lp-ft"), catalog)
    result = run_job(job, callback)
    assert len(found) == 1, "once for the whole training"
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert LOWEST <= found[0] <= 1
    (said,) = [line for line in callback.said if "range test" in line]
    assert f"{found[0]:.2g}" in said
    assert result.trained.lr == read_metrics(result.directory)[-1]["lr"] == found[0]
    warm = round(0.1 * 3 * 4) or 1
    assert result.trained.epochs[0].lr == pytest.approx(found[0] / warm)


def test_the_steepest_fall_is_found() -> None:
    rates = [10.0**power for power in range(-5, 1)]
    settling = [10.0**-6] * SETTLING
    losses = [2.0] * SETTLING
    assert steepest(settling + rates, [*losses, 2.0, 2.0, 1.9, 1.2, 0.2, 0.1]) == pytest.approx(1e-2)
    assert steepest(rates[:2], [1.0, 0.5]) is None


def test_the_first_steps_decide_nothing() -> None:
    """Their mean follows single batches. Seen to fail where all steps counted: the lowest rate, and nothing was learnt."""
    rates = [1e-5 * 10 ** (step / 4) for step in range(20)]
    losses = [2.3, 1.2, *[2.3] * 12, 2.2, 1.8, 1.7, 1.7, 1.7, 1.7]
    assert steepest(rates, losses) == pytest.approx(rates[15])


@pytest.mark.parametrize("ending", [[1.0] * 10, [1.0 + step / 10 for step in range(10)], [2.0] * 9 + [1.0]])
def test_a_test_without_a_fall_inside_its_range_has_no_answer(ending: list[float]) -> None:
    losses = [2.0] * SETTLING + ending
    assert steepest([1e-5 * 1.3**step for step in range(len(losses))], losses) is None


def test_patience_ends_a_phase_and_the_next_one_begins(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: a picture that could not be drawn ended the run before its weights had their name, and "nothing has
    improved" was said while the loss fell."""

    def undrawable(*_: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("zoo_core.runs.plots.plot_curves", undrawable)
    monkeypatch.setattr("zoo_core.tasks.classification.Classification.draw", undrawable)
    callback = Listening()
    # A rate of next to nothing: no epoch is better than the first.
    job = prepare(replace(config, lr=1e-12, strategy="lp-ft", epochs=8, patience=2, best_epoch="highest"), catalog)
    result = run_job(job, callback)
    told = [(report.phase, report.epoch) for report in result.trained.epochs]
    assert {phase for phase, _ in told} == {1, 2}
    assert len(told) < 8
    first, second, *undrawn = callback.said
    assert re.search(
        "^no accuracy was higher than that of epoch 1; this phase ends after epoch 3, best epoch 1$", first
    )
    assert re.search(r"^no accuracy was higher than that of epoch 1; stopped after epoch \d, best epoch 1$", second)
    assert [Path(line.split(" could not")[0]).name for line in undrawn] == ["curves.png", "confusion.png"]
    assert all("RuntimeError: no font" in line for line in undrawn)
    assert (result.directory / "model.safetensors").is_file()
    last = told[-1][1]
    assert re.search(
        rf"; stopped after epoch {last} of 8\. Best epoch 1: the one with the highest accuracy\.$", result.ending
    )
    assert result.ending in (result.directory / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": -1.0}, "mixup must be a number of at least 0"),
        ({"ema": 1.0}, "ema must be a number of at least 0 and at most 0.999999"),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"views": -1}, "views must be a whole number of at least 0"),
        ({"save_every": float("nan")}, "save_every must be a number of at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: FinetuneConfig, changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(config, **changes)


def test_a_stop_request_ends_the_range_test(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: all of its steps were taken first."""
    steps: list[int] = []
    real = phase_trainer.range_test

    def stopped_at_once(*arguments: Any, gradients: Callable[[Any], float], **functions: Any) -> float:
        def noted(batch: Any) -> float:
            steps.append(len(steps))
            signal.raise_signal(signal.SIGINT)
            return gradients(batch)

        return real(*arguments, gradients=noted, **functions)

    with monkeypatch.context() as stopped:
        stopped.setattr(phase_trainer, "range_test", stopped_at_once)
        with pytest.raises(Interrupted):
            run_job(prepare(replace(config, lr="auto", strategy="full"), catalog), NullCallback())
    assert steps == [0]
