"""Thousands of classes, labels or numbers: bounded memory, files, cards and pictures, for each task.

Reported: a dense confusion matrix took 80 GB at 100,000 classes, passed 8 MiB of JSON from 1,670 on, and its
picture took 14 GB at 12,000; a card had a row for each class; a picture had a bar for each label.
"""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hub.test_untrusted_files import GOOD_RUN
from zoo_core.catalog import Catalog
from zoo_core.data.classes import MAX_OUTPUTS, check_names
from zoo_core.errors import DataError
from zoo_core.paths import MAX_JSON_BYTES
from zoo_core.runs.card import render_card
from zoo_core.runs.schema import parse_facts
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import TASKS, TaskName
from zoo_core.tasks import classification, task_named
from zoo_core.tasks.class_evaluation import MAX_MATRIX, ClassEvaluation
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import Objective
from zoo_core.training import evaluator
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job

MANY = 4000


def evaluation_of(name: TaskName, outputs: int) -> Evaluation:
    """An evaluation of six images: three predicted rightly."""
    if name == "classification":
        true = np.array([0, 1, 2, outputs - 3, outputs - 2, outputs - 1])
        return ClassEvaluation.of(true, np.array([0, 1, 2, 5, 5, 5]), outputs, loss=0.5)
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(6, outputs, generator=generator).round()
    return task_named(name).evaluate(torch.randn(6, outputs, generator=generator), targets, 0.5)


@pytest.mark.parametrize("name", TASKS)
def test_many_outputs_fit_into_file_card_and_picture(name: TaskName, tmp_path: Path) -> None:
    task, names = task_named(name), tuple(f"class {number:05d}" for number in range(MANY))
    evaluation = evaluation_of(name, MANY)
    line = {"metric": evaluation.metric, "score": evaluation.score, "images": 6, **evaluation.figures()}
    text = json.dumps(line)
    assert len(text) * 100_000 / MANY < MAX_JSON_BYTES, "as many as zoo takes fit into the file that it reads"
    assert task.parse_figures(json.loads(text), MANY).items() <= line.items()
    assert len(evaluation.by_output(names)) == MANY
    task.draw(tmp_path / task.picture, evaluation, names)
    facts = replace(parse_facts(GOOD_RUN, "x"), classes=names, task=name)
    card = render_card(facts, {**line, "part": "val", "best_epoch": 1})
    assert f"and {MANY - card.count('| class 0')} more" in card
    assert len(card) < 100_000


def test_the_most_classes_take_bounded_memory(tmp_path: Path) -> None:
    """A dense matrix would take 80 GB."""
    tracemalloc.start()
    evaluation = evaluation_of("classification", MAX_OUTPUTS)
    task_named("classification").draw(tmp_path / "confusion.png", evaluation, ["x"] * MAX_OUTPUTS)
    evaluation.figures()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 400 * 2**20  # the picture takes 223 MiB


def test_few_classes_keep_their_matrix_and_many_have_counts_and_confusions() -> None:
    few = evaluation_of("classification", MAX_MATRIX).figures()
    assert np.array(few["confusion"]).shape == (MAX_MATRIX, MAX_MATRIX)
    assert few["confusion"][0][0] == 1
    figures_of_all = {
        "correct",
        "accuracy",
        "interval",
        "balanced_accuracy",
        "macro_f1",
        "precisions",
        "recalls",
        "f1s",
    }
    assert set(few) == {*figures_of_all, "confusion"}
    many = evaluation_of("classification", MAX_MATRIX + 1)
    figures = many.figures()
    assert (figures["correct"], figures["accuracy"], figures["confusion"]) == (3, 0.5, None)
    assert figures["confusions"] == [[MAX_MATRIX - 2, 5, 1], [MAX_MATRIX - 1, 5, 1], [MAX_MATRIX, 5, 1]]
    assert (figures["found"][:3], sum(figures["found"]), sum(figures["positives"])) == ([1, 1, 1], 3, 6)
    names = [str(number) for number in range(MAX_MATRIX + 1)]
    last = {"class": str(MAX_MATRIX), "found": 0, "images": 1, "precision": None, "recall": 0.0, "f1": 0.0}
    assert many.by_output(names)[-1] == last
    result = task_named("classification").parse_figures(figures, MAX_MATRIX + 1)
    assert task_named("classification").card_rows(result, names)[-1] == (str(MAX_MATRIX), "0", "1", "-", "0", "0")


@pytest.mark.parametrize(
    "change",
    [{"found": [1]}, {"positives": None}, {"confusions": [[0, 1]]}, {"confusions": [[0, 10**9, 1]]}, {"found": ["x"]}],
    ids=str,
)
def test_counts_of_many_classes_are_checked(change: dict[str, object]) -> None:
    figures = {**evaluation_of("classification", MAX_MATRIX + 1).figures(), **change}
    with pytest.raises((TypeError, ValueError)):
        task_named("classification").parse_figures(figures, MAX_MATRIX + 1)


def test_parts_of_an_evaluation_are_joined() -> None:
    parts = [ClassEvaluation.of(np.array([0, 1]), np.array([0, 0]), 3, loss=1.0)]
    parts.append(ClassEvaluation.of(np.array([2]), np.array([2]), 3, loss=4.0))
    whole = ClassEvaluation.joined(parts)
    assert whole.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert whole.loss == pytest.approx((2 * 1.0 + 4.0) / 3)


def test_names_that_would_not_fit_into_a_config_are_refused() -> None:
    """Before: zoo wrote a config.json of 20 MB, and refused to read it."""
    names = [f"{number:0100d}" for number in range(42_000)]
    with pytest.raises(DataError, match="the classes of here take 4.1 MiB; zoo holds 4 MiB of names at most"):
        check_names(names, "here")
    check_names(names[:41_000], "here")


def test_a_run_whose_evaluations_are_joined_ends_as_one_that_holds_all_outputs(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100,000 outputs of each of 40,000 images would be 16 GB."""
    config = FinetuneConfig(backbone="lenet5", data=str(photos), epochs=2, out=str(tmp_path / "held"))
    held = run_job(prepare(config, catalog), NullCallback())
    monkeypatch.setattr(classification, "MAX_MATRIX", 1)
    monkeypatch.setattr(evaluator, "HEAD_GROUP", 3)
    monkeypatch.setattr(
        Objective, "whole", lambda self, parts, groups: joined.append(len(parts)) or whole(self, parts, groups)
    )
    joined: list[int] = []
    result = run_job(prepare(replace(config, out=str(tmp_path / "joined")), catalog), NullCallback())
    assert set(joined) == {2}  # of 3 and 1 of the 4 validation images
    assert result.evaluation.loss == pytest.approx(held.evaluation.loss, rel=1e-5)
    assert result.evaluation.figures() == held.evaluation.figures()


whole = Objective.whole
