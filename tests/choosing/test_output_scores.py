"""Labels and numbers: scores in resamples against scores of images that are repeated by hand, intervals, differences.

Seen to fail: both tasks had neither an interval nor a test.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from choosing.support import keys_of, result

from helpers import make_table
from zoo_core.choosing.comparison import Comparison, compare
from zoo_core.choosing.grid import make_grid
from zoo_core.choosing.output_scores import OutputScores
from zoo_core.choosing.picture import draw
from zoo_core.choosing.results import Results
from zoo_core.choosing.statistics import FloatArray, bootstrap_p
from zoo_core.cli.comparing import show_comparison
from zoo_core.cli.main import zoo
from zoo_core.runs.answers import OutputAnswers, read_output_answers
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.regression import R2

TASKS: tuple[TaskName, ...] = ("multilabel", "regression")


def answers(task: TaskName, images: int, noise: float, seed: int = 0, first: int = 0) -> OutputAnswers:
    """Answers on images with two labels or numbers: the truth of each image, and noise of their own seed."""
    truth = np.random.default_rng(7)
    targets_NK = truth.normal(size=(500, 2))[first : first + images]
    answers_NK = targets_NK + noise * np.random.default_rng(seed).normal(size=targets_NK.shape)
    if task == "multilabel":
        targets_NK, answers_NK = (targets_NK > 0).astype(np.float64), np.round(1 / (1 + np.exp(-answers_NK)), 2)
    names = tuple(f"{first + number}.jpg" for number in range(images))
    return OutputAnswers(names, names, answers_NK, targets_NK)


def score(task: TaskName, answers_NK: FloatArray, targets_NK: FloatArray) -> float:
    """The score of the evaluation that a training has."""
    outputs = torch.from_numpy(answers_NK)
    outputs = outputs.logit() if task == "multilabel" else outputs
    return float(task_named(task).evaluate(outputs, torch.from_numpy(targets_NK), 0.0).score)


@pytest.mark.parametrize("task", TASKS)
def test_a_resample_has_the_score_of_its_images(task: TaskName) -> None:
    made = answers(task, 30, 1.0)
    weights_BN = np.random.default_rng(1).multinomial(30, [1 / 30] * 30, size=40).astype(np.float64)
    weights_BN[0] = 0
    weights_BN[0, 3] = 30  # one image alone: no variance, and perhaps no label
    found_B = task_named(task).resampled(made.answers_NK, made.targets_NK, weights_BN)
    for found, weights_N in zip(found_B, weights_BN, strict=True):
        drawn = np.repeat(np.arange(30), weights_N.astype(int))
        assert found == pytest.approx(score(task, made.answers_NK[drawn], made.targets_NK[drawn]), abs=1e-9)


def test_numbers_far_from_0_lose_no_digits() -> None:
    """Seconds since 1970 vary in their last digits."""
    made = answers("regression", 50, 0.3)
    weights_BN, task = np.ones((1, 50)), task_named("regression")
    near, far = (task.resampled(made.answers_NK + by, made.targets_NK + by, weights_BN) for by in (0, 1.7e9))
    assert far == pytest.approx(near, abs=1e-5)


def test_few_groups_have_neither_an_interval_nor_a_test() -> None:
    """Seen to fail: of one group all resamples are the same, and any two candidates differed."""
    grid = make_grid({"backbone": "a"}, {"head": ("x", "y")})
    made = {"x": answers("regression", 40, 0.5, 1), "y": answers("regression", 40, 0.6, 2)}
    cells = [result(cell, None, task="regression", metric=R2, outputs=made[cell.candidate.head]) for cell in grid.cells]
    for count in (9, 20):
        groups = {f"{number}.jpg": str(number % count) for number in range(40)}
        found = compare(Results(grid, tuple(cells), groups=groups), Path("runs/x"), "photos")
        told = any("of fewer than 10 groups" in note for note in found.notes)
        assert [found.difference is None, found.results.rows[0].interval is None, told] == [count < 10] * 3


@pytest.mark.parametrize("task", TASKS)
def test_a_score_of_folds_and_repeats_is_that_of_the_table(task: TaskName) -> None:
    noise = (0.3, 3.0)
    folds = [[answers(task, 20, one, 1), answers(task, 30, one, 2, first=20)] for one in noise]
    scores = OutputScores(task_named(task), [folds])
    by_hand = [(20 * score(task, *_arrays(one)) + 30 * score(task, *_arrays(other))) / 50 for one, other in folds]
    assert scores.images == 50
    assert scores.observed() == pytest.approx([sum(by_hand) / 2])
    ((low, high),) = scores.intervals()
    assert low < scores.observed()[0] < high
    assert np.percentile(scores.resampled()[0], 97.5) > high, "the better seed may be drawn alone"


def _arrays(one: OutputAnswers) -> tuple[FloatArray, FloatArray]:
    return one.answers_NK, one.targets_NK


def test_candidates_are_compared_on_the_images_and_repeats_that_all_of_them_have() -> None:
    task = task_named("regression")
    whole = [[answers("regression", 40, 0.5, 1)], [answers("regression", 40, 0.5, 2)]]
    part = [[answers("regression", 20, 0.5, 3, first=10)], []]
    scores = OutputScores(task, [whole, part])
    assert scores.images == 20
    own = whole[0][0]
    assert scores.observed()[0] == pytest.approx(score("regression", own.answers_NK[10:30], own.targets_NK[10:30]))
    assert np.isfinite(scores.resampled()).mean() > 0.5, "a resample may have drawn the missing repeat alone"


@pytest.mark.parametrize("task", TASKS)
def test_the_interval_holds_the_score_of_very_many_images_in_19_of_20_samples(task: TaskName) -> None:
    generator, held = np.random.default_rng(5), 0

    def sample(images: int) -> OutputAnswers:
        targets_NK = generator.normal(size=(images, 1))
        answers_NK = targets_NK + generator.normal(size=(images, 1))
        targets_NK = targets_NK > 0 if task == "multilabel" else targets_NK
        return OutputAnswers(tuple(map(str, range(images))), (), answers_NK, targets_NK.astype(np.float64))

    true = OutputScores(task_named(task), [[[sample(20_000)]]]).observed()[0]
    for _ in range(40):
        ((low, high),) = OutputScores(task_named(task), [[[sample(80)]]]).intervals()
        held += low <= true <= high
    assert 34 <= held <= 40, "27 of an interval that is half as wide"


def test_p_is_small_where_hardly_a_resample_lies_on_the_other_side() -> None:
    differences = np.linspace(-1, 19, 2000)
    assert bootstrap_p(differences) == pytest.approx(0.1, abs=0.01)
    assert bootstrap_p(differences + 2) == pytest.approx(2 / 2001)
    assert bootstrap_p(np.zeros(10)) == 1


def two_heads(task: TaskName, noise: tuple[float, float], seeds: int = 1) -> Comparison:
    grid = make_grid({"backbone": "a"}, {"head": ("x", "y")}, seeds=seeds)
    cells = []
    for number, cell in enumerate(grid.cells):
        made = answers(task, 200, noise[cell.candidate.head == "y"], number)
        facts = {"task": task, "metric": task_named(task).metric, "score": score(task, *_arrays(made)), "images": 200}
        cells.append(replace(result(cell, None, **facts), outputs=made, baseline=0.5))
    return compare(Results(grid, tuple(cells)), Path("runs/x"), "photos")


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("task", "unit"), [("multilabel", "points"), ("regression", "of R2")])
def test_the_best_is_told_apart_from_the_next_by_a_bootstrap(
    task: TaskName, unit: str, seeds: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    comparison = two_heads(task, (1.2, 0.6), seeds)
    found = comparison.difference
    assert found is not None
    assert (found.first.head, found.second.head, found.images, found.first_only) == ("y", "x", 200, None)
    best, next_ = comparison.results.rows
    assert found.difference == pytest.approx(best.score - next_.score, abs=1e-6)
    assert best.interval is not None
    assert best.interval[0] < best.score < best.interval[1]
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    show_comparison(comparison)
    told = capsys.readouterr().out
    assert f" {unit}, 95 % interval " in told
    assert "y is better than the next, x" in told
    assert "; bootstrap over the same 200 images: p < 0.001" in told
    assert json.loads(json.dumps(comparison.to_dict()))["difference"]["second_only"] is None
    draw(tmp_path / "scores.png", comparison)


@pytest.mark.parametrize("task", TASKS)
def test_equal_candidates_of_labels_or_numbers_cannot_be_told_apart(
    task: TaskName, capsys: pytest.CaptureFixture[str]
) -> None:
    show_comparison(two_heads(task, (1.0, 1.0)))
    assert "cannot be told apart" in capsys.readouterr().out


def test_learning_curves_of_numbers_say_how_many_images_replace_pretraining(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    grid = make_grid({"backbone": "a"}, {"weights": ("pretrained", "none")}, shares=(0.01, 0.1, 1.0))
    noise = {"pretrained": (0.7, 0.5, 0.4), "none": (1.0, 0.6, 0.45)}
    cells = []
    for number, cell in enumerate(grid.cells):
        made = answers("regression", 200, noise[cell.candidate.weights][grid.shares.index(cell.share)], number)
        facts = {"task": "regression", "metric": R2, "score": score("regression", *_arrays(made))}
        cells.append(replace(result(cell, None, images=1000, **facts), outputs=made))
    comparison = compare(Results(grid, tuple(cells)), Path("runs/x"), "ages.csv")
    found = comparison.without_pretraining
    assert found is not None
    first = found.levels[0]
    assert first.needed is not None
    assert first.interval[0] is not None
    assert 10 < first.interval[0] < first.needed < 100
    show_comparison(comparison)
    assert "R2 by the number of training images:" in capsys.readouterr().out
    draw(tmp_path / "curves.png", comparison)


@pytest.mark.parametrize(
    ("header", "heads"), [("path,labels", "linear,mlp:hidden=4"), ("path,warmth,light", "linear,mlp:hidden=4")]
)
def test_a_grid_over_labels_or_numbers_from_end_to_end(
    header: str, heads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def described(kind: str, number: int) -> str:
        warm = kind == "red"
        return ("warm|odd" if number % 2 else "warm") if warm else ("odd" if number % 2 else "")

    def measured(kind: str, number: int) -> str:
        return f"{(kind == 'red') + number / 50},{number}"

    monkeypatch.chdir(tmp_path)
    for picture in ("runs.plots.plot_curves", "tasks.multilabel.Multilabel.draw", "tasks.regression.Regression.draw"):
        monkeypatch.setattr(f"zoo_core.{picture}", lambda *arguments: None)  # they take most of a tiny training's time
    is_labels = header == "path,labels"
    table = make_table(tmp_path / "photos", header, described if is_labels else measured, count=8)
    grid = ("--backbone", "lenet5", "--head", heads, "--strategy", "head-only", "--epochs", "2", "--folds", "2")
    task = ("--task", "multilabel") if is_labels else ()
    zoo.main(["compare", *grid, *task, "--data", str(table), "--out", "c", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert (told["trainings"], told["metric"]) == (4, "mean_average_precision" if is_labels else "r2")
    for row in told["results"]:
        assert row["interval"][0] <= row["score"] <= row["interval"][1]
        assert (row["images"], row["part"]) == (16, "out-of-fold")
        assert row["baseline"] is not None
    assert told["difference"]["images"] == 16
    assert {"p", "differ"} <= keys_of(told)
    assert Path("c/compare.png").is_file()
    assert read_output_answers(next(Path("c").glob("linear-fold-1*"))) is not None
