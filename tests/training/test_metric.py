"""The metric that somebody chose: it chooses the epoch, heads the result, and stays with the run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from training.test_lr_trials import history

import zoo_core
from helpers import make_photos
from zoo_core import Catalog, FinetuneConfig, MetricSpec, PluginError, UsageError
from zoo_core.cli.main import zoo as command_line
from zoo_core.discovery import PluginRecord
from zoo_core.evaluation import evaluate_run
from zoo_core.runs.directory import read_metrics
from zoo_core.runs.summary import best_runs, find_runs
from zoo_core.tasks import fitted
from zoo_core.tasks.bootstrap import Sample
from zoo_core.tasks.chosen import metric_named
from zoo_core.tasks.metrics import ACCURACY
from zoo_core.training.callback import NullCallback
from zoo_core.training.trainer_state import TrainerState


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen photos of one class and five of the other."""
    photos = make_photos(tmp_path_factory.mktemp("uneven") / "photos", count=15)
    for number in range(5, 15):
        next((photos / "red").glob(f"{number}.*")).unlink()
    return photos


def trained(
    photos: Path, out: Path, metric: str, catalog: Catalog | None = None, epochs: int = 6, best_epoch: Any = "steady"
) -> Any:
    config = FinetuneConfig(
        backbone="lenet5",
        data=str(photos),
        epochs=epochs,
        val_share=0.6,
        metric=metric,
        best_epoch=best_epoch,
        out=str(out),
        strategy="full",
    )
    return zoo_core.finetune(config, catalog=catalog)


def test_the_chosen_metric_heads_result_card_list_and_evaluation(uneven: Path, tmp_path: Path) -> None:
    result = trained(uneven, tmp_path / "run", "balanced-accuracy")
    *epochs, line = read_metrics(tmp_path / "run")
    assert {one["metric"] for one in epochs} == {line["metric"]} == {"balanced-accuracy"}
    assert epochs[line["best_epoch"] - 1]["val_score"] == line["score"]
    assert line["score"] >= max(one["val_score"] for one in epochs) - line["score_error"]
    assert line["score"] == pytest.approx(line["balanced_accuracy"])
    assert line["baseline"] == {"score": 0.5}, "one class for every image finds one of two"
    low, high = line["score_interval"]
    assert low <= line["score"] <= high
    latest = "the latest whose balanced accuracy is within one standard error of the highest"
    assert (latest if line["score_error"] else "the one with the highest balanced accuracy") in result.ending
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"Balanced accuracy, the figure that counted: **{100 * line['score']:.1f} %**" in card
    assert "Baseline: balanced accuracy 50.0 %" in card
    measured = evaluate_run(tmp_path / "run", device="cpu")
    assert (measured.evaluation.metric, measured.evaluation.score) == ("balanced-accuracy", line["score"])
    shown = CliRunner().invoke(command_line, ["evaluate", str(tmp_path / "run")]).stdout
    assert "Balanced accuracy on" in " ".join(shown.split())


def test_the_latest_epoch_within_a_standard_error_of_a_bootstrap_is_kept(uneven: Path, tmp_path: Path) -> None:
    trained(uneven, tmp_path / "run", "macro-f1")
    *epochs, line = read_metrics(tmp_path / "run")
    best = max(one["val_score"] for one in epochs)
    errors = [one["val_error"] for one in epochs]
    leads = [
        one["val_score"] >= max(before["val_score"] for before in epochs[: place + 1])
        for place, one in enumerate(epochs)
    ]
    assert [error is not None for error in errors] == leads, "only the error of the best so far counts"
    near = [one["epoch"] for one in epochs if one["val_score"] >= best - line["score_error"]]
    assert line["best_epoch"] == near[-1]
    assert line["score_error"] == next(error for error in reversed(errors) if error is not None)


def test_the_error_of_a_bootstrap_is_that_of_a_proportion() -> None:
    """Accuracy as a metric of which zoo knows no more than its function, beside its formula."""
    chance = np.random.default_rng(0)
    right = chance.random(400) < 0.8
    answers, targets = np.eye(2)[np.where(right, 0, 1)], np.zeros(400, dtype=np.int64)
    error = Sample(lambda *pair: float((pair[0].argmax(1) == pair[1]).mean()), answers, targets).error()
    assert error == pytest.approx((right.mean() * (1 - right.mean()) / 400) ** 0.5, rel=0.2)
    assert Sample(lambda *pair: 0.5, answers[:9], targets[:9]).error() is None, "too few images"


def test_of_an_error_the_lowest_is_the_best(uneven: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        trained(uneven, tmp_path / name, "log-loss", best_epoch="highest")
        lines = read_metrics(tmp_path / name)
        lines[-1]["score"] += number
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    *epochs, line = read_metrics(tmp_path / "one")
    assert (line["score"], line["higher_is_better"]) == (min(one["val_score"] for one in epochs), False)
    assert line["score"] == pytest.approx(line["loss"], abs=1e-6)
    (best,), doubts = best_runs(find_runs(tmp_path)[0], 1)
    assert (best.directory, doubts) == (str(tmp_path / "one"), [])


def test_a_state_follows_the_direction_of_its_metric() -> None:
    state = TrainerState.__new__(TrainerState)
    state.history, state.is_steady, state.val_images = history([0.9, 0.3, 0.5], [1.0, 1.0, 1.0]), False, 9
    for metric, best in ((ACCURACY, 1), (metric_named("log-loss"), 2)):
        state.metric = metric
        assert (state.best.epoch, state.improved_at) == (best, best)


def test_where_outputs_are_too_many_nothing_is_fitted_and_screen_and_card_say_so(
    uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted, "MOST_OUTPUTS", 10)
    heard: list[str] = []
    monkeypatch.setattr(NullCallback, "message", lambda self, text: heard.append(text))
    trained(uneven, tmp_path / "run", "auto", epochs=1)
    (sentence,) = (text for text in heard if text.startswith("Nothing was fitted"))
    assert sentence.startswith(
        "Nothing was fitted to the held-out images: 12 of them with 2 outputs each are more than"
    )
    assert read_metrics(tmp_path / "run")[-1]["calibration"] is None
    assert sentence in (tmp_path / "run" / "README.md").read_text()


def largest(options: object, *, answers: Any, targets: Any) -> float:
    return float(np.abs(answers).max())


def test_the_metric_of_a_plugin_counts_as_zoos_own(uneven: Path, tmp_path: Path, catalog: Catalog) -> None:
    spec = MetricSpec(name="largest", compute=f"{__name__}:largest", summary="s", higher_is_better=False)
    mine = replace(catalog, records=(*catalog.records, PluginRecord("zoo-mine", "1.0", "mine", (spec,))))
    trained(uneven, tmp_path / "run", "largest", mine, best_epoch="highest")
    *epochs, line = read_metrics(tmp_path / "run")
    assert (line["metric"], line["score"]) == ("largest", min(one["val_score"] for one in epochs))
    (run,), _ = find_runs(tmp_path)
    assert (run.metric, run.score) == ("largest", line["score"]), "also where its plugin is not here"
    shown = CliRunner().invoke(command_line, ["evaluate", str(tmp_path / "run")])
    assert "The metric 'largest', which counted in this run, cannot be used here: accuracy counts" in shown.stderr
    assert "Accuracy on" in shown.stdout


def correlation(options: object, *, answers: Any, targets: Any) -> float:
    with np.errstate(all="ignore"):
        return float(np.corrcoef(answers[:, 0], targets)[0, 1])


def test_a_metric_without_a_figure_for_the_baseline_is_refused_before_the_training(
    uneven: Path, tmp_path: Path, catalog: Catalog
) -> None:
    """Seen to fail: the run ended after its last epoch, without weights, and at every resume."""
    spec = MetricSpec(name="correlation", compute=f"{__name__}:correlation", summary="s")
    mine = replace(catalog, records=(*catalog.records, PluginRecord("zoo-mine", "1.0", "mine", (spec,))))
    with pytest.raises(PluginError, match="zoo-mine.* gives nan"):
        trained(uneven, tmp_path / "run", "correlation", mine)
    assert not (tmp_path / "run").exists()


def test_a_metric_that_cannot_count_is_refused_before_anything_is_trained(uneven: Path, tmp_path: Path) -> None:
    for metric, message in (("r2", "'r2' is for regression"), ("macro_f1", "Did you mean 'macro-f1'")):
        with pytest.raises(UsageError, match=message):
            trained(uneven, tmp_path / "run", metric)
    assert not (tmp_path / "run").exists()
