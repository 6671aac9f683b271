"""Each task as one object: complete, found by its name, with a baseline that is checked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zoo_core.specs import TASKS, TaskName
from zoo_core.tasks import ALL, task_named
from zoo_core.tasks.metrics import Baseline

RED_RED_BLUE = np.array([1, 1, 0])


def test_every_task_that_a_spec_may_name_has_its_object() -> None:
    assert tuple(ALL) == TASKS
    assert [task_named(name).name for name in TASKS] == list(TASKS)
    assert len({task.picture for task in ALL.values()}) == len(TASKS)


def test_the_baseline_of_classes_is_the_largest_class_of_the_training_images() -> None:
    baseline = task_named("classification").baseline(RED_RED_BLUE, np.array([0, 0, 0, 1]))
    assert baseline == Baseline(0.25), "not 0.75: the class that is frequent in what is measured is not known"


def test_the_baseline_of_labels_is_their_prevalence() -> None:
    targets = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    assert task_named("multilabel").baseline(targets, targets).score == pytest.approx((0.75 + 0.25) / 2)
    assert task_named("multilabel").baseline(targets, targets[3:]).score == 0.0
    outputs = torch.tensor([[0.3, -0.2, 0.1]]).expand(4, 3)
    constant = task_named("multilabel").evaluate(outputs, torch.from_numpy(targets), 0.0)
    assert constant.score == pytest.approx(0.5), "a model with equal probabilities for every image scores the same"


def test_the_baseline_of_numbers_is_the_mean_of_the_training_targets() -> None:
    train, targets = np.array([[0.0], [4.0]], np.float32), np.array([[1.0], [5.0]], np.float32)
    baseline = task_named("regression").baseline(train, targets)
    assert baseline.rmse == pytest.approx(math.sqrt((1 + 9) / 2))
    assert baseline.score == pytest.approx(1 - (1 + 9) / (4 + 4))
    assert task_named("regression").baseline(targets, targets).score == pytest.approx(0)


@pytest.mark.parametrize(
    ("name", "baseline", "expected"),
    [
        ("classification", Baseline(0.25), "Baseline: accuracy 25.0 % (the most frequent class for every image)."),
        ("multilabel", Baseline(0.25), "Baseline: mAP 25.0 % (the same probabilities for every image)."),
        ("regression", Baseline(-0.5, 2.0), "Baseline: R2 -0.500, RMSE 2 (the mean of the targets for every image)."),
    ],
)
def test_a_result_is_told_with_its_baseline(name: TaskName, baseline: Baseline, expected: str) -> None:
    task = task_named(name)
    better = {task.metric.name: baseline.score + 0.01, "rmse": 9.0, "interval": [0.255, 0.265]}
    assert task.baseline_sentences(better, baseline) == [expected]
    told, warning = task.baseline_sentences({task.metric.name: baseline.score, "rmse": 9.0}, baseline)
    assert told == expected
    assert warning.startswith("The model does not beat its baseline: ")


def test_an_accuracy_whose_interval_holds_the_baseline_is_told_to_be_unsure() -> None:
    _, doubt = task_named("classification").baseline_sentences({"accuracy": 0.6, "interval": [0.2, 0.9]}, Baseline(0.5))
    assert doubt == "The baseline lies within the accuracy's interval: more images may show no difference."


def test_the_interval_of_accuracy_stands_beside_no_other_metric() -> None:
    """Seen to fail: beside a macro F1 without an interval of its own."""
    task, of_accuracy = task_named("classification"), {"accuracy": 0.9, "interval": [0.2, 0.95], "score_interval": None}
    figures = {**of_accuracy, "metric": "macro-f1", "score": 0.6}
    assert task.interval_of(figures) is None
    assert len(task.baseline_sentences(figures, Baseline(0.5))) == 1
    assert task.interval_of(of_accuracy) == (0.2, 0.95)


def test_numbers_that_do_not_vary_are_compared_by_their_error() -> None:
    task, targets = task_named("regression"), np.full((3, 1), 7.0, np.float32)
    baseline = task.baseline(np.array([[1.0], [3.0]], np.float32), targets)
    near, far = (task.evaluate(torch.full((3, 1), value), torch.from_numpy(targets), 0.0) for value in (6.0, 0.0))
    assert near.score == far.score == baseline.score == 0
    assert task.beats(near.figures(), baseline)
    assert not task.beats(far.figures(), baseline)


@pytest.mark.parametrize("name", TASKS)
def test_an_evaluation_agrees_with_the_checks_of_its_result(name: TaskName, tmp_path: Path) -> None:
    """Seen to fail: a blank picture passed here too, and the trainings of the tests draw blank ones only."""
    task = task_named(name)
    targets = torch.tensor([1, 0]) if task.single_label else torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    outputs = torch.tensor([[0.2, 3.0], [1.0, -1.0]])
    evaluation = task.evaluate(outputs, targets, 0.5)
    assert evaluation.metric == task.metric.name
    line = {"metric": evaluation.metric, "score": evaluation.score, "images": 2, **evaluation.figures()}
    assert task.parse_figures(line, 2).items() <= line.items()
    with pytest.raises((TypeError, ValueError)):
        task.parse_figures(line, 3)
    for row in task.card_rows(line, ("a", "b")):
        assert len(row) == len(task.card_columns)
    assert task.card_result(line).startswith("## ")
    assert [next(iter(row)) for row in evaluation.by_output(("a", "b"))] == [task.output] * 2
    task.draw(tmp_path / task.picture, evaluation, ("a", "b"))
    picture = (tmp_path / task.picture).read_bytes()
    assert picture.startswith(b"\x89PNG")
    task.draw(tmp_path / task.picture, task.evaluate(outputs.flip(0), targets, 0.5), ("a", "b"))
    assert (tmp_path / task.picture).read_bytes() != picture, "other answers, the same picture"
    assert task.summary(evaluation, "here").lower().startswith(task.metric.title.lower())


@pytest.mark.parametrize("name", TASKS)
def test_a_task_needs_no_head_of_a_certain_kind(name: TaskName) -> None:
    task = task_named(name)
    targets = torch.tensor([1, 0]) if task.single_label else torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    head = task.finish_head(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), 2)
    loss = task.loss(head(torch.zeros(2, 2, 1)), targets, head=head, label_smoothing=0.0)
    assert loss.ndim == 0
    assert loss.item() > 0
