"""Each task from a CSV file to an answer, through the real command line, and what a task asks of a head."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import zoo_core
from helpers import Zoo, make_table
from zoo_core.attribution import mark_owner
from zoo_core.catalog import Catalog
from zoo_core.errors import DataError, PluginError, UsageError, ZooError
from zoo_core.evaluation import evaluate_run
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import read_result, read_run
from zoo_core.runs.results import parse_result
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks.objective import check_loss, objective_for
from zoo_core.tasks.units import in_units, units_of
from zoo_core.tensors import read_tensors
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job

DESCRIPTIONS = {
    "classification": ("path,kind", lambda kind, number: kind),
    "multilabel": ("path,tags", lambda kind, number: f"{kind}|even" if number % 2 == 0 else kind),
    "regression": ("path,warmth,size", lambda kind, number: f"{(kind == 'red') * 40 + 100.5},{7 + number % 2}"),
}
SCORES = {"classification": "accuracy", "multilabel": "mean_average_precision", "regression": "r2"}
PICTURES = {"classification": "confusion.png", "multilabel": "precisions.png", "regression": "scatter.png"}
WORDS = {
    "classification": ("class", "probability", "classes"),
    "multilabel": ("label", "probability", "labels"),
    "regression": ("number", "value", "numbers"),
}


def table_of(root: Path, task: str) -> Path:
    return make_table(root, *DESCRIPTIONS[task])


@pytest.mark.parametrize("task", DESCRIPTIONS)
def test_a_task_goes_from_a_csv_file_to_answers(zoo: Zoo, tmp_path: Path, task: str) -> None:
    file = table_of(tmp_path / "photos", task)
    chosen = ("--backbone", "lenet5", "--strategy", "full", "--epochs", 12, "--lr", 0.02, "--augment", "none")
    trained = zoo("finetune", *chosen, "--data", file, "--out", "run", "--json")
    assert trained.returncode == 0, trained.stderr
    assert f"linear, for {len(read_run(tmp_path / 'run').facts.classes)} {WORDS[task][2]}" in trained.stderr
    answer = json.loads(trained.stdout)
    assert {epoch["metric"] for epoch in answer["epochs"]} == {answer["result"]["metric"]} == {SCORES[task]}
    best = answer["epochs"][answer["result"]["best_epoch"] - 1]
    assert best["val_score"] == pytest.approx(answer["result"]["score"])
    assert best["val_score"] == max(epoch["val_score"] for epoch in answer["epochs"])
    assert (tmp_path / "run" / PICTURES[task]).read_bytes().startswith(b"\x89PNG")
    assert f"]({PICTURES[task]})" in (tmp_path / "run" / "README.md").read_text()

    measured = json.loads(zoo("evaluate", "run", "--json").stdout)
    assert (measured["score"], measured["metric"]) == (answer["result"]["score"], SCORES[task])
    everything = json.loads(zoo("evaluate", "run", "--data", file, "--json").stdout)
    assert (everything["part"], everything["images"]) == ("all", 24)
    assert [part[WORDS[task][0]] for part in everything[WORDS[task][2]]] == list(
        read_run(tmp_path / "run").facts.classes
    )
    shown = zoo("evaluate", "run", env={"COLUMNS": "500"})
    assert shown.returncode == 0, shown.stderr
    assert f"on {file} (val): " in " ".join(shown.stdout.split())

    images = [tmp_path / "photos" / name for name in ("red/0.jpg", "blue/0.jpg")]
    answered = zoo("predict", "run", *images, "--top", 3, "--json")
    assert ("--top has no effect" in answered.stderr) == (task != "classification")
    predicted = json.loads(answered.stdout)["predictions"]
    told = [{part[WORDS[task][0]]: part[WORDS[task][1]] for part in one["answers"]} for one in predicted]
    if task == "classification":
        assert sum(told[0].values()) == pytest.approx(1)
    elif task == "multilabel":
        assert all(value > 0.5 for one in told for value in one.values())
    else:
        assert told[0].keys() == {"warmth", "size"}
        assert 60 < told[1]["warmth"] < told[0]["warmth"] < 180, "numbers come in the user's units"
    assert zoo("predict", "run", *images).returncode == 0


def test_a_run_of_labels_is_measured_on_a_table_of_one_of_them(catalog: Catalog, tmp_path: Path) -> None:
    """Seen to fail: a column of 0 and 1 alone had the labels 0 and 1, which the run does not know."""
    both = make_table(tmp_path / "both", "path,red,even", lambda kind, number: f"{int(kind == 'red')},{1 - number % 2}")
    run = finetuned(catalog, tmp_path, "multilabel", data=str(both)).directory
    one = make_table(tmp_path / "one", "path,red", lambda kind, number: str(int(kind == "red")), count=3)
    measured = evaluate_run(str(run), data=str(one), device="cpu", catalog=catalog)
    assert [(row["label"], row["images"]) for row in measured.evaluation.by_output(measured.classes)] == [
        ("red", 3),
        ("even", 0),
    ]
    chosen = FinetuneConfig(backbone="lenet5", data=str(one), task="multilabel", epochs=1, out=str(tmp_path / "alone"))
    alone = zoo_core.finetune(chosen, catalog=catalog)
    assert read_run(alone.directory).facts.classes == ("red",)
    assert evaluate_run(str(alone.directory), data=None, device="cpu", catalog=catalog).classes == ("red",)


def test_a_run_knows_its_task_and_one_without_reads_as_classification(catalog: Catalog, tmp_path: Path) -> None:
    directory = finetuned(catalog, tmp_path, "multilabel").directory
    assert read_run(directory).facts.task == "multilabel"
    path = directory / "config.json"
    facts = json.loads(path.read_text())
    facts.pop("task")
    facts["config"].pop("task")
    path.write_text(json.dumps(facts))
    assert read_run(directory).facts.task == "classification"
    assert read_run(directory).facts.config.task == "auto"


def finetuned(catalog: Catalog, tmp_path: Path, task: str, **settings: object):
    config = FinetuneConfig(
        backbone="norms",
        weights="none",
        size=32,
        epochs=1,
        data=str(table_of(tmp_path / "photos", task)),
        out=str(tmp_path / "run"),
    )
    return zoo_core.finetune(replace(config, **settings), catalog=catalog)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["multilabel", "regression"])
@pytest.mark.parametrize("head", ["linear:gem", "mlp:hidden=8,pool=avgmax,batchnorm=yes", "flatten:hidden=8"])
def test_the_heads_for_all_tasks_train_and_open_again(catalog: Catalog, tmp_path: Path, task: str, head: str) -> None:
    result = finetuned(catalog, tmp_path, task, head=head)
    again = evaluate_run(str(result.directory), data=None, device="cpu", catalog=catalog)
    before, after = numbers(result.evaluation.figures()), numbers(again.evaluation.figures())
    assert after == pytest.approx(before, rel=1e-3), "features are kept in half precision while a head learns"
    assert len(before) > 5


def numbers(figures: object) -> list[float]:
    """All numbers in figures, however deep."""
    if isinstance(figures, dict):
        return [number for name in sorted(figures) for number in numbers(figures[name])]
    if isinstance(figures, list):
        return [number for one in figures for number in numbers(one)]
    return [] if figures is None else [float(figures)]


def test_a_regression_is_standardised_by_the_training_images_alone(catalog: Catalog, tmp_path: Path) -> None:
    config = FinetuneConfig(
        backbone="lenet5", data=str(table_of(tmp_path / "photos", "regression")), epochs=1, out=str(tmp_path / "run")
    )
    job = prepare(config, catalog)
    run_job(job, NullCallback())
    targets = job.source.parts["train"].targets.astype(np.float64)
    saved = read_tensors(tmp_path / "run" / "model.safetensors")
    assert saved["head.units.mean"].tolist() == pytest.approx(targets.mean(0).tolist(), rel=1e-6)
    assert saved["head.units.std"].tolist() == pytest.approx(targets.std(0).tolist(), rel=1e-6)


def test_each_task_has_its_loss() -> None:
    outputs = torch.tensor([[2.0, -1.0], [0.5, 0.0]])
    labels, numbers = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 1.0], [0.5, -2.0]])
    classes = torch.tensor([0, 1])
    head: nn.Module = nn.Sequential(nn.Flatten())
    expected = functional.cross_entropy(outputs, classes, label_smoothing=0.1)
    assert objective_for("classification", head).loss(outputs, classes, 0.1) == expected
    by_hand = -(torch.tensor([2.0, 1.0]).sigmoid().log().sum() + torch.tensor([0.5, 0.0]).sigmoid().log().sum()) / 4
    assert objective_for("multilabel", head).loss(outputs, labels).item() == pytest.approx(by_hand.item())
    softened = functional.binary_cross_entropy_with_logits(outputs, torch.tensor([[0.9, 0.1], [0.9, 0.9]]))
    assert objective_for("multilabel", head).loss(outputs, labels, 0.2).item() == pytest.approx(softened.item())
    measuring = objective_for("regression", in_units(head, 2), np.array([[0.0, 10.0], [4.0, 10.0]], dtype=np.float32))
    units = units_of(measuring.head)
    assert units is not None
    assert units.std.tolist() == [2.0, 1.0]
    assert measuring.loss(outputs, numbers).item() == pytest.approx(((1 / 2) ** 2 + 2**2 + 0 + 2**2) / 4)


class WithLoss(nn.Module):
    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        return features_BCHW.mean((2, 3))

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).abs().mean()


def test_a_head_may_bring_its_own_loss() -> None:
    outputs, numbers = torch.tensor([[2.0], [0.5]]), torch.tensor([[3.0], [0.0]])
    assert objective_for("regression", in_units(WithLoss(), 1)).loss(outputs, numbers).item() == 0.75
    assert objective_for("multilabel", WithLoss()).loss(outputs, numbers).item() == 0.75
    assert objective_for("multilabel", WithLoss()).measure(outputs, numbers).loss == 0.75


@pytest.mark.parametrize("given", [None, "x", 0.5, torch.tensor(0.5), "one an image"])
def test_a_loss_that_cannot_be_minimised_is_told_with_its_head(given: Any) -> None:
    """Seen to fail: a TypeError or RuntimeError that named no plugin."""

    class Odd(WithLoss):
        def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> Any:
            return outputs[:, 0] if given == "one an image" else given

    head = Odd()
    mark_owner(head, "zoo-odd: the head 'odd'")
    outputs = torch.tensor([[2.0], [0.5]], requires_grad=True)
    with pytest.raises(
        PluginError, match=r"^zoo-odd: the head 'odd' has a loss that gives .*, and a training needs one"
    ):
        objective_for("multilabel", head).loss(outputs, torch.zeros(2, 1))


@pytest.mark.parametrize(
    ("task", "outputs", "expected"),
    [
        ("classification", [1.0, 3.0, 2.0], ["b", "c"]),
        ("multilabel", [1.0, 3.0, -0.1], ["b", "a"]),
        ("multilabel", [-1.0, -3.0, -0.1], []),
        ("regression", [1.0, 3.0, -0.1], ["a", "b", "c"]),
    ],
)
def test_each_task_has_its_answers(task, outputs: list[float], expected: list[str]) -> None:
    answers = objective_for(task, nn.Identity()).answers(torch.tensor(outputs), ("a", "b", "c"), 2)
    assert [name for name, _ in answers] == expected
    assert all(math.isfinite(value) for _, value in answers)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "logreg"}, "the head 'logreg' is for classification, and the data ask for multilabel. Heads for it:"),
        ({"head": "cosine", "task": "multilabel"}, "Heads for it: flatten, linear, mlp"),
        ({"task": "regression", "data": "photos"}, "is for classification. A CSV file can hold the targets"),
        ({"task": "regression", "data": "fashion-small"}, "fashion-small is for classification"),
        ({"task": "detection"}, "task must be one of auto, classification, multilabel, regression"),
    ],
)
def test_what_does_not_fit_a_task_is_refused(catalog: Catalog, tmp_path: Path, settings, message: str) -> None:
    file = table_of(tmp_path / "photos", "multilabel")
    data = {"photos": str(file.parent)}.get(settings.get("data"), settings.get("data", str(file)))
    with pytest.raises(UsageError) as caught:
        prepare(FinetuneConfig(backbone="lenet5", **{**settings, "data": data}), catalog)
    assert message in str(caught.value)


def test_a_loss_of_the_heads_own_is_not_smoothed() -> None:
    check_loss(nn.Linear(2, 2), label_smoothing=0.1)
    check_loss(WithLoss(), label_smoothing=0.0)
    for head in (WithLoss(), nn.Sequential(WithLoss())):
        with pytest.raises(UsageError, match="a loss of its own, which softens no labels: leave out --label-smoothing"):
            check_loss(head, label_smoothing=0.1)


def test_numbers_are_not_smoothed(catalog: Catalog, tmp_path: Path) -> None:
    file = table_of(tmp_path / "photos", "regression")
    with pytest.raises(UsageError, match="leave out --label-smoothing"):
        prepare(FinetuneConfig(backbone="lenet5", data=str(file), label_smoothing=0.1), catalog)


def test_other_data_are_brought_into_the_order_of_the_run(catalog: Catalog, tmp_path: Path) -> None:
    run = str(finetuned(catalog, tmp_path, "multilabel").directory)

    def measured(*lines: str):
        file = tmp_path / "photos" / "other.csv"
        file.write_text("\n".join(lines))
        return evaluate_run(run, data=str(file), device="cpu", catalog=catalog)

    swapped = measured("path,red,even", "red/0.jpg,1,0", "blue/0.jpg,0,1", "red/1.png,1,0")
    assert swapped.classes == ("blue", "even", "red")
    assert swapped.evaluation.figures()["positives"] == [0, 1, 2]
    with pytest.raises(DataError, match="has the label 'green', which the run does not know. Its labels: blue, even"):
        measured("path,tags", "red/0.jpg,green|red")


def test_a_regression_is_measured_on_all_of_its_numbers(catalog: Catalog, tmp_path: Path) -> None:
    run = str(finetuned(catalog, tmp_path, "regression").directory)
    file = tmp_path / "photos" / "other.csv"
    file.write_text("path,size\nred/0.jpg,1\nblue/0.jpg,2\n")
    with pytest.raises(DataError, match="has no column 'warmth', which the run predicts"):
        evaluate_run(run, data=str(file), device="cpu", catalog=catalog)


@pytest.mark.parametrize("task", DESCRIPTIONS)
def test_a_result_has_its_baseline_on_the_screen_in_the_card_and_in_json(zoo: Zoo, tmp_path: Path, task: str) -> None:
    """Images whose targets have nothing to do with them: the model cannot beat an answer that never looks."""
    describe = {
        "classification": lambda kind, number: "even" if number % 2 else "odd",
        "multilabel": lambda kind, number: "even" if number % 2 else "odd|even",
        "regression": lambda kind, number: f"{number % 5}.5,{number}",
    }
    file = make_table(tmp_path / "noise", DESCRIPTIONS[task][0], describe[task])
    chosen = ("--backbone", "lenet5", "--strategy", "head-only", "--weights", "none", "--epochs", 1, "--lr", 1e-6)
    trained = zoo("finetune", *chosen, "--data", file, "--out", "run", "--json")
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)["result"]
    assert ("rmse" in result["baseline"]) == (task == "regression")
    card = " ".join((tmp_path / "run" / "README.md").read_text().split())
    screen = " ".join(trained.stderr.split())
    beaten = result["score"] > result["baseline"]["score"]
    assert ("--lr, pretrained weights" in screen) == (not beaten)
    for text in (card, screen):
        assert "Baseline: " in text
        assert ("does not beat its baseline" in text) == (not beaten)
    measured = json.loads(zoo("evaluate", "run", "--json").stdout)
    assert measured["baseline"] == pytest.approx(result["baseline"]), "the same images, the same training images"
    assert "Baseline: " in zoo("evaluate", "run", "--data", file).stdout


def test_a_result_without_a_baseline_is_read_as_those_of_older_runs(catalog: Catalog, tmp_path: Path) -> None:
    directory = finetuned(catalog, tmp_path, "regression").directory
    run = read_run(directory)
    result = read_result(run)
    assert result["baseline"].keys() == {"score", "rmse"}
    assert "Baseline: " in render_card(run.facts, result)
    assert "aseline" not in render_card(run.facts, {key: result[key] for key in result if key != "baseline"})
    for wrong in (7, {}, {"score": "1"}, {"score": float("nan")}, {"score": 1, "rmse": []}):
        with pytest.raises(ZooError, match="the result in here"):
            parse_result({**result, "baseline": wrong}, run.facts, "here")
