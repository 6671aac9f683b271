"""Metrics and formats that plugins bring: asked for by name, checked, and blamed where they fail."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file, save_file

import zoo_core
from helpers import make_table
from zoo_core import Catalog, ExporterSpec, MetricSpec, NoOptions
from zoo_core.cli.main import zoo as command_line
from zoo_core.discovery import PluginRecord
from zoo_core.errors import PluginError, UsageError, ZooError
from zoo_core.evaluation import evaluate_run
from zoo_core.exporting.agreement import MAX_LOSS, Tolerance, compared
from zoo_core.exporting.export import export_run
from zoo_core.runs.directory import read_metrics
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks import task_named
from zoo_core.tasks.fitted import UNFITTED
from zoo_core.tasks.objective import Objective
from zoo_core.tasks.scores import balanced_accuracy
from zoo_core.training.job import prepare

THIS = __name__
CALLS: list[dict[str, Any]] = []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return zoo_core.finetune(FinetuneConfig(backbone="lenet5", epochs=1, out=str(out))).directory


def with_spec(catalog: Catalog, spec: MetricSpec | ExporterSpec) -> Catalog:
    return replace(catalog, records=(*catalog.records, PluginRecord("zoo-mine", "1.0", "mine", (spec,))))


def zoo(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, [str(one) for one in arguments])


def kept(options: NoOptions, *, answers: Any, targets: Any) -> float:
    CALLS.append({"answers": answers, "targets": targets})
    return 0.5


def nothing(options: NoOptions, *, answers: Any, targets: Any) -> float:
    return float("nan")


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() -> None:
    answers_NK = np.eye(4)[[0, 0, 0, 1, 2, 2]]
    targets_N = np.array([0, 0, 0, 0, 2, 1])  # recalls: 3 of 4, 0 of 1, 1 of 1; the class 3 does not occur
    assert balanced_accuracy(None, answers=answers_NK, targets=targets_N) == pytest.approx((3 / 4 + 0 + 1) / 3)


def test_a_metric_gets_probabilities_and_the_true_classes(run: Path, catalog: Catalog) -> None:
    mine = MetricSpec(name="kept", compute=f"{THIS}:kept", summary="s")
    measured = evaluate_run(run, metrics=["kept", "balanced-accuracy"], device="cpu", catalog=with_spec(catalog, mine))
    answers_NK, targets_N = CALLS.pop().values()
    assert (answers_NK.shape, targets_N.shape) == ((500, 10), (500,))
    assert answers_NK.sum(1) == pytest.approx(np.ones(500))
    assert (answers_NK.argmax(1) == targets_N).mean() == measured.evaluation.score
    recalls = [row["found"] / row["images"] for row in measured.evaluation.by_output(measured.classes)]
    assert measured.metrics == {"kept": 0.5, "balanced-accuracy": pytest.approx(np.mean(recalls))}


def test_a_metric_of_another_task_or_without_a_finite_number_is_refused(run: Path, catalog: Catalog) -> None:
    other = MetricSpec(name="other", compute=f"{THIS}:kept", summary="s", tasks=("regression",))
    with pytest.raises(UsageError, match="the metric 'other' is for regression, and this run is for classification"):
        evaluate_run(run, metrics=["other"], catalog=with_spec(catalog, other))
    wrong = MetricSpec(name="wrong", compute=f"{THIS}:nothing", summary="s")
    with pytest.raises(PluginError, match="zoo-mine: the metric 'wrong' gives nan for 500 images"):
        evaluate_run(run, metrics=["wrong"], device="cpu", catalog=with_spec(catalog, wrong))


def test_the_command_shows_the_figure(run: Path) -> None:
    shown = zoo("evaluate", run, "--metric", "balanced-accuracy", "--json")
    figure = json.loads(shown.stdout)["metrics"]["balanced-accuracy"]
    assert f"balanced-accuracy: {figure:.4g}" in zoo("evaluate", run, "--metric", "balanced-accuracy").stdout
    message = str(zoo("evaluate", run, "--metric", "balanced").exception)
    assert "No metric 'balanced'. Did you mean 'balanced-accuracy'? `zoo list metrics` shows all." in message


def test_an_export_answers_as_the_run_and_opens_without_zoo(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "answers.pt2"
    made = json.loads(zoo("export", run, "--to", "torch-export", "-o", file, "--json").stdout)
    assert (made["images"], made["part"], made["changed"], made["bytes"]) == (500, "val", 0, file.stat().st_size)
    assert made["difference"] < 1e-6
    extra = {"zoo.json": ""}
    network = torch.export.load(file, extra_files=extra).module()
    facts = json.loads(extra["zoo.json"])
    size = facts["preprocessing"]["size"]
    predictor = zoo_core.load(run, device="cpu")
    for count in (1, 3):
        images_BCHW = torch.randn(count, 1, size, size)
        with torch.no_grad():
            expected_BK = predictor.objective.values(predictor.network(images_BCHW))
            assert torch.allclose(network(images_BCHW), expected_BK, atol=1e-6)
    assert facts["classes"] == list(predictor.classes)
    refused = zoo("export", run, "--to", "torch-export", "-o", file).exception
    assert f"{file} exists already. Remove it, or give another name with -o." == str(refused)


def test_answers_are_by_the_temperature_that_the_run_fitted(run: Path, tmp_path: Path) -> None:
    line = read_metrics(run)[-1]["calibration"]
    temperature = load_file(run / "fitted.safetensors")["temperature"].item()
    assert temperature == line["temperature"] != 1
    assert line["is_crossed"]
    card = (run / "README.md").read_text()
    assert f"by the temperature {temperature:.3g}, fitted to the validation images" in card
    assert f"| {100 * line['bins'][0]['probability']:.1f} % |" in card
    images = [np.random.default_rng(number).integers(0, 255, (28, 28), np.uint8) for number in range(2)]
    shutil.copytree(run, tmp_path / "old")
    (tmp_path / "old" / "fitted.safetensors").unlink()
    new, old = (zoo_core.load(directory, device="cpu").predict(images, top=10) for directory in (run, tmp_path / "old"))
    for after, before in zip(new, old, strict=True):
        assert [name for name, _ in after.answers] == [name for name, _ in before.answers]
        softened = np.power(before.values, 1 / temperature)
        assert after.values == pytest.approx(softened / softened.sum(), abs=1e-5)
    measured, plain = (
        evaluate_run(directory, device="cpu", metrics=["log-loss"]) for directory in (run, tmp_path / "old")
    )
    assert measured.evaluation.loss == plain.evaluation.loss
    assert measured.metrics["log-loss"] < plain.metrics["log-loss"] == pytest.approx(plain.evaluation.loss, abs=1e-5)
    assert measured.calibration is not None
    assert measured.calibration["temperature"] == temperature


def test_a_set_of_classes_holds_the_true_one_as_often_as_promised(run: Path, tmp_path: Path) -> None:
    """The bound comes from these images: at least 95 % of them lie below it."""
    images = zoo_core.load(run, device="cpu")
    val = prepare(FinetuneConfig(backbone="lenet5"), zoo_core.open_catalog()).source.parts["val"]
    found = images.predictions(val.images, coverage=0.95)
    held = [val.targets[n] in [images.classes.index(name) for name, _ in one.answers] for n, one in enumerate(found)]
    assert 0.95 <= np.mean(held) < 0.97
    photo = tmp_path / "photo.png"
    Image.new("L", (28, 28)).save(photo)
    answer = json.loads(zoo("predict", run, photo, "--coverage", 0.95, "--json").stdout)["predictions"][0]["answers"]
    assert sum(one["probability"] for one in answer) > 0.5
    zoo("predict", run, photo, "--coverage", 0.95, "-o", tmp_path / "answers.csv")
    assert (tmp_path / "answers.csv").read_text().startswith("image,classes,distance,hint,problem\n")
    assert "0.998" in str(zoo("predict", run, photo, "--coverage", 0.9999).exception), "500 images promise no more"
    assert "no record of its answers" in str(zoo("predict", "efficientnet_lite0", photo, "--coverage", 0.9).exception)


def test_a_stranger_is_told_and_rejected(run: Path, tmp_path: Path) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "black.png")  # black: nothing of clothes
    told = json.loads(zoo("predict", run, tmp_path / "black.png", "--json").stdout)["predictions"][0]
    assert told["hint"].startswith(f"unlike anything it was trained on (distance {told['distance']:.2f}; ")
    assert told["answers"]
    shown = zoo("predict", run, tmp_path / "black.png", "--reject")
    assert "none of these" in shown.stdout
    assert (
        json.loads(zoo("predict", run, tmp_path / "black.png", "--reject", "--json").stdout)["predictions"][0][
            "answers"
        ]
        == []
    )
    predictor = zoo_core.load(run, device="cpu")
    val = prepare(FinetuneConfig(backbone="lenet5"), zoo_core.open_catalog()).source.parts["val"]
    found = list(predictor.predictions(val.images))
    assert np.mean([one.is_stranger for one in found]) == pytest.approx(0.05, abs=0.005), "these images made the limit"
    assert "does not know which images" in str(
        zoo("predict", "efficientnet_lite0", tmp_path / "black.png", "--reject").exception
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spreads", torch.zeros(3, dtype=torch.float64)),
        ("means", torch.zeros(2, 3)),
        ("temperature", torch.tensor([0.0])),
        ("temperature", torch.tensor([float("nan")], dtype=torch.float64)),
        ("thresholds", torch.zeros(3, dtype=torch.float64)),
        ("scores", torch.zeros(0, 1, dtype=torch.float64)),
        ("scores", torch.zeros(4, 3, dtype=torch.float64)),
    ],
)
def test_a_forged_fit_is_refused(run: Path, tmp_path: Path, name: str, value: torch.Tensor) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "fitted.safetensors"
    save_file({**load_file(path), name: value}, path)
    with pytest.raises(ZooError, match="was not fitted for this run: .* Remove it to go without"):
        zoo_core.load(tmp_path / "run", device="cpu")


def write(options: NoOptions, *, network: Any, example_BCHW: Any, facts: Any, path: Path) -> None:
    torch.save(network.network.state_dict(), path)


def half(path: Path) -> Any:
    return lambda images_BCHW: np.full((len(images_BCHW), 10), 0.5, np.float32)


def too_few(path: Path) -> Any:
    return lambda images_BCHW: np.zeros((len(images_BCHW), 9), np.float32)


def twice(options: NoOptions, *, path: Path, **given: Any) -> None:
    path.write_text("a")
    path.with_suffix(".data").write_text("b")


def pickled(options: NoOptions, *, network: Any, path: Path, **given: Any) -> None:
    torch.save(network, path)


def pickled_in_two(options: NoOptions, *, network: Any, path: Path, **given: Any) -> None:
    torch.save(network, path)
    path.with_suffix(".data").write_text("more")


def nearly(path: Path) -> Any:
    """Answers that are a hundred-thousandth off."""
    network = torch.load(path, weights_only=False)
    return lambda images_BCHW: network(torch.from_numpy(images_BCHW)).numpy() * (1 + 1e-5)


def unwritten(options: NoOptions, **given: Any) -> None:
    pass


def broken(path: Path) -> Any:
    raise ValueError("no such format")


@pytest.mark.parametrize(
    ("written", "opened", "kind", "message"),
    [
        ("unwritten", "half", PluginError, "zoo-mine: the exporter 'mine' wrote nothing, and not one file file.bin"),
        ("twice", "half", PluginError, r"the exporter 'mine' wrote file\.bin, file\.data, and not one file file\.bin"),
        ("write", "half", ZooError, r"the mine file answers otherwise than the run: by up to 0\.5"),
        (
            "write",
            "too_few",
            PluginError,
            r"zoo-mine: the exporter 'mine' gives answers \(16, 9\) and not \(16, 10\)",
        ),
        ("write", "broken", PluginError, "zoo-mine: the exporter 'mine' failed: ValueError: no such format"),
    ],
)
def test_a_file_that_does_not_answer_alike_is_not_kept(
    run: Path, catalog: Catalog, tmp_path: Path, written: str, opened: str, kind: type[Exception], message: str
) -> None:
    spec = ExporterSpec(name="mine", export=f"{THIS}:{written}", run=f"{THIS}:{opened}", suffix=".bin", summary="s")
    with pytest.raises(kind, match=message):
        export_run(run, "mine", out=tmp_path / "new" / "file.bin", catalog=with_spec(catalog, spec))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_numbers_of_any_size_and_labels_are_exported_too(tmp_path: Path, catalog: Catalog, task: str) -> None:
    """Seen to fail: with a tolerance that is no share, answers near a million were refused that are a hundred-thousandth
    off."""
    far = task == "regression"
    data = make_table(
        tmp_path / "photos",
        "path,far" if far else "path,tags",
        lambda kind, number: f"{10**6 + number}.5" if far else f"{kind}|any",
        count=4,
    )
    config = FinetuneConfig(backbone="lenet5", data=str(data), epochs=1, out=str(tmp_path / "run"))
    run = zoo_core.finetune(config).directory
    made = export_run(run, "torch-export")
    assert (made.path, made.changed) == (run / "model.pt2", 0)
    assert made.difference < 1e-6
    spec = ExporterSpec(name="mine", export=f"{THIS}:pickled", run=f"{THIS}:nearly", suffix=".bin", summary="s")
    mine = with_spec(catalog, spec)
    difference = export_run(run, "mine", catalog=mine, max_loss=math.inf).difference
    assert 0 < difference < 2e-5, "probabilities move less than the outputs do, or as much"
    if far:
        assert difference == pytest.approx(1e-5, rel=0.3)
        with pytest.raises(ZooError, match="the mine file loses R2: .* and 0.010 may be lost"):
            export_run(run, "mine", out=tmp_path / "a.bin", catalog=mine)


def test_labels_change_by_the_thresholds_that_the_run_fitted() -> None:
    """At 0.5 alone it would be the other image."""
    fitted = replace(UNFITTED, thresholds_K=np.array([0.2, 0.5]))
    objective = Objective(task_named("multilabel"), torch.nn.Identity(), fitted=fitted)
    expected_NK, found_NK = torch.tensor([[0.25, 0.4], [0.6, 0.1]]), torch.tensor([[0.15, 0.4], [0.4, 0.1]])
    agreement = compared(objective, expected_NK, found_NK, torch.tensor([[1.0, 0.0], [1.0, 1.0]]), ["a", "b"])
    assert agreement.changed == ("a",)
    assert (agreement.worst, agreement.difference) == ("b", pytest.approx(0.2))


@pytest.mark.parametrize(("factor", "refused"), [(1.0000001, False), (1.02, True)])
def test_a_score_far_below_0_may_lose_a_share_of_itself(factor: float, refused: bool) -> None:
    """Seen to fail: an R2 of -27,806,377, of a network that learnt nothing, lost 3.7 by roundings of 1e-8."""
    objective = Objective(task_named("regression"), torch.nn.Identity(), fitted=UNFITTED)
    expected_NK, targets = torch.tensor([[5e3], [-5e3], [4e3]]), torch.tensor([[1.0], [2.0], [3.0]])
    agreement = compared(objective, expected_NK, expected_NK * factor, targets, ["a", "b", "c"])
    assert agreement.before < -1e6
    assert agreement.loss > MAX_LOSS
    objection = agreement.objection(Tolerance(1.0, MAX_LOSS))
    assert (objection is not None) == refused
    assert "answers change" not in (objection or ""), "of numbers none is another answer"


def test_a_precision_that_a_format_lacks_names_the_formats_that_have_it(run: Path) -> None:
    told = str(zoo("export", run, "--to", "torch-export", "--int8").exception)
    assert re.fullmatch(
        r"torch-export has no int8\. Formats that have it: .*onnx.*\. Ask for one: --to \w+ --int8\.", told
    )


def test_a_folder_and_another_suffix_are_no_place_for_a_file(run: Path, tmp_path: Path) -> None:
    for out, message in (
        (tmp_path, f"Give a file in it: -o {tmp_path}/model.pt2"),
        ("a.onnx", "such a name: -o a.pt2"),
    ):
        assert message in str(zoo("export", run, "--to", "torch-export", "-o", out).exception)


@pytest.mark.parametrize("suffix", ["onnx", "", ".a/b", ".."])
def test_a_suffix_that_is_none_is_refused(suffix: str) -> None:
    with pytest.raises(PluginError, match="is no suffix"):
        ExporterSpec(name="x", export="a:b", run="a:c", suffix=suffix, summary="s")


@pytest.mark.parametrize("suffix", ["onnx", ".x"])
def test_a_second_suffix_is_another_one(suffix: str) -> None:
    with pytest.raises(PluginError, match="is no suffix|has the suffix '.x' twice"):
        ExporterSpec(name="x", export="a:b", run="a:c", suffix=".x", second_suffix=suffix, summary="s")


def test_a_format_of_two_files_is_kept_whole(run: Path, catalog: Catalog, tmp_path: Path) -> None:
    """Both files, or neither: one that misses its second is refused."""

    def with_second(written: str) -> ExporterSpec:
        run_by = f"{THIS}:nearly"
        return ExporterSpec(name="mine", export=written, run=run_by, suffix=".bin", second_suffix=".data", summary="s")

    with pytest.raises(PluginError, match=r"wrote a\.bin, and not the files a\.bin and a\.data"):
        export_run(run, "mine", out=tmp_path / "a.bin", catalog=with_spec(catalog, with_second(f"{THIS}:pickled")))
    assert list(tmp_path.iterdir()) == []
    mine = with_spec(catalog, with_second(f"{THIS}:pickled_in_two"))
    made = export_run(run, "mine", out=tmp_path / "a.bin", catalog=mine)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.bin", "a.data"]
    assert made.bytes == (tmp_path / "a.bin").stat().st_size + 4
    made.path.unlink()
    with pytest.raises(UsageError, match=r"a\.data exists already"):
        export_run(run, "mine", out=tmp_path / "a.bin", catalog=mine)
