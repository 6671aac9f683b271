"""Going on: a finished run trained further, a training that starts from a run, and one on all images.

Seen to fail: where the rows of known classes were not kept, where the added epochs followed the schedule of the first ones,
and where a killed extension was resumed with the run's old plan.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

import zoo_core
from helpers import make_photos
from survive.support import history_of, weights_of
from survive.test_interruptions import LENET, NORMS, Stopping
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as command
from zoo_core.errors import DataError, UsageError
from zoo_core.freezing.plan import Plan
from zoo_core.hub.bundle import PublishOptions, build_bundle
from zoo_core.runs.directory import Run, read_facts, read_metrics, read_result, read_run
from zoo_core.settings import FinetuneConfig
from zoo_core.tensors import read_tensors
from zoo_core.training import job as preparing
from zoo_core.training import run as running
from zoo_core.training.callback import NullCallback
from zoo_core.training.run import resume
from zoo_core.training.stopping import Interrupted

CASES = {
    "head-only": replace(LENET, strategy="head-only", epochs=2, best_epoch="highest"),
    "two phases": replace(LENET, strategy="lp-ft", epochs=2, ema=0.9, l2_sp=0.1),
    "rate by trials": replace(LENET, strategy="head-only", epochs=2, batch_size=20, lr=None),
    "norms": replace(NORMS, strategy="last:1", epochs=1),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def trained(config: FinetuneConfig, catalog: Catalog, out: Path, **changes: Any) -> Path:
    return zoo_core.finetune(replace(config, out=str(out), **changes), catalog=catalog).directory


def zoo(*words: object) -> Result:
    """A command in this process, for a run in another one takes seconds to start."""
    return CliRunner().invoke(command, [str(word) for word in words])


def told_by(answer: Result) -> str:
    return " ".join([*answer.output.split(), str(answer.exception or "")])


def rates(run: Path) -> list[float]:
    return [line["lr"] for line in read_metrics(run) if line["event"] == "epoch"]


@pytest.mark.parametrize("case", CASES)
def test_a_finished_run_goes_on_and_where_it_is_killed_ends_with_the_same_bytes(
    case: str, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "photos", count=32 if "trials" in case else 9, size=32)
    run = trained(CASES[case], catalog, tmp_path / "run", data=str(photos))
    before, answers = read_facts(run), history_of(run)[:-1]
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    zoo_core.resume(run, more_epochs=2, catalog=catalog)
    lines = history_of(run)
    assert lines[: len(answers)] == answers
    assert [line["epoch"] for line in lines[len(answers) : -1]] == [before.config.epochs + 1, before.config.epochs + 2]
    facts = read_facts(run)
    assert facts.config == before.config
    assert facts.added_epochs == (2,)
    assert Plan.from_dict(facts.plan).phases[:-1] == Plan.from_dict(before.plan).phases
    assert rates(run)[-2] > rates(run)[-1]  # it rises and falls once more
    assert "2 epochs, added to the finished run" in (run / "README.md").read_text()

    stopping = Stopping(10**6, epoch=before.config.epochs + 1)
    with monkeypatch.context() as patch:
        patch.setattr(running, "stop_on_signals", lambda tell: nullcontext(stopping.stop_request))
        with pytest.raises(Interrupted):
            resume(copy, catalog, stopping, more_epochs=2)
    assert not (copy / "model.safetensors").exists()
    torch.manual_seed(99)
    resume(copy, catalog, NullCallback())
    assert weights_of(copy) == weights_of(run)
    assert history_of(copy) == history_of(run)


def test_the_schedule_of_added_epochs_is_one_of_their_own() -> None:
    plan = Plan.from_dict({"stages": ["a"], "phases": [{"epochs": 4, "rules": [{"lr": 0}, {"lr": 1}]}]})
    twice = plan.extended(2).extended(3)
    assert [list(twice.stretch(number)) for number in range(3)] == [[0, 1, 2, 3], [4, 5], [6, 7, 8]]
    assert Plan.from_dict(json.loads(json.dumps(twice.to_dict()))) == twice
    assert "restarts" not in plan.to_dict()["phases"][0]


def test_a_run_goes_on_twice_by_the_command_and_refuses_what_it_cannot(tmp_path: Path, catalog: Catalog) -> None:
    photos = make_photos(tmp_path / "photos", count=6, size=32)
    run = trained(FinetuneConfig(backbone="lenet5", data=str(photos), epochs=1), catalog, tmp_path / "run")
    first = zoo("finetune", "--resume", run, "--epochs", "+1")
    assert "trained further for 1 epoch, from the weights of its best epoch, 1: a finished run keeps no" in told_by(
        first
    )
    assert "made of the model before" not in told_by(first)
    for name in ("report.html", "model.pt2"):
        (run / name).write_text("")
    further = zoo("resume", run, "--epochs", "+2", "--json")
    assert "made of the model before, so make them anew after this: model.pt2, report.html" in told_by(further)
    again = json.loads(further.stdout)
    assert [epoch["epoch"] for epoch in again["epochs"]] == [1, 2, 3, 4]
    assert read_facts(run).added_epochs == (1, 2)
    assert zoo_core.load(run, catalog=catalog).predict(photos / "red" / "0.jpg")
    for words, told in {
        ("resume", run, "--epochs", "2"): "2 epochs are those of a new run; +2 are so many more",
        (
            "finetune",
            "--backbone",
            "lenet5",
            "--epochs",
            "+2",
        ): "--epochs +2 trains a finished run further: zoo resume RUN",
        ("resume", run): "--epochs +10` trains it for 10 more epochs",
    }.items():
        answer = zoo(*words)
        assert answer.exit_code != 0
        assert told in told_by(answer)
    (run / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="has not finished. Finish it with `zoo resume"):
        zoo_core.resume(run, more_epochs=1)


def test_a_solved_head_and_merged_parameters_cannot_go_on(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FinetuneConfig(
        backbone="lenet5", data=str(make_photos(tmp_path / "photos", count=6, size=32)), strategy="head-only", epochs=1
    )
    solved, merged = (trained(config, catalog, tmp_path / head, head=head) for head in ("logreg", "linear"))
    with pytest.raises(UsageError, match="solved at once: more epochs change nothing"):
        zoo_core.resume(solved, more_epochs=1, catalog=catalog)
    monkeypatch.setattr(preparing, "adapt", lambda *given: lambda: None)  # as a strategy does that adds parameters
    with pytest.raises(UsageError, match="'head-only' merged its parameters into the weights"):
        zoo_core.resume(merged, more_epochs=1, catalog=catalog)
    assert (solved / "model.safetensors").exists()
    assert (merged / "model.safetensors").exists()


def with_classes(photos: Path, *names: str) -> Path:
    """The photos of two classes under these names; a third class has blue ones too."""
    for old, new in zip(("blue", "red"), names, strict=False):
        (photos / old).rename(photos / new)
    if len(names) > 2:
        other = make_photos(photos.parent / f"{photos.name} again", count=9, size=32)
        (other / "blue").rename(photos / names[2])
    return photos


@pytest.mark.parametrize("head", ["mlp:hidden=8", "cosine"])
def test_known_classes_keep_their_rows_and_new_ones_get_new_ones(head: str, tmp_path: Path, catalog: Catalog) -> None:
    photos = with_classes(make_photos(tmp_path / "photos", count=9, size=32), "b", "d")
    config = FinetuneConfig(
        backbone="lenet5", head=head, data=str(photos), strategy="head-only", epochs=3, lr=0.05, seed=1
    )
    run = trained(config, catalog, tmp_path / "run")
    more = with_classes(make_photos(tmp_path / "more", count=9, size=32), "a", "d", "c")
    told: list[str] = []

    class Listening(NullCallback):
        def message(self, text: str) -> None:
            told.append(text)

    tiny = replace(
        config, data=str(more), from_run=str(run), epochs=1, lr=1e-9, weight_decay=0.0, out=str(tmp_path / "on")
    )
    result = zoo_core.finetune(tiny, catalog=catalog, callback=Listening())
    old, new = (read_tensors(one / "model.safetensors") for one in (run, result.directory))
    for name in (name for name in old if name.startswith("head.")):
        if len(old[name]) == 2:
            assert len(new[name]) == 3
            torch.testing.assert_close(new[name][2], old[name][1], rtol=0, atol=1e-6)  # d stands second, then third
        else:
            torch.testing.assert_close(new[name], old[name], rtol=0, atol=1e-6)
    assert any("keeps the rows of 'd'; new: 'a', 'c'; no longer there: 'b'" in text for text in told)
    facts = read_facts(result.directory)
    assert facts.head_rows == {"kept": ("d",), "new": ("a", "c"), "gone": ("b",)}
    assert facts.start is not None
    assert "new: 'a', 'c'" in (result.directory / "README.md").read_text().replace("\\", "")


def test_forgetting_is_measured_on_the_images_that_the_earlier_run_held_out(tmp_path: Path, catalog: Catalog) -> None:
    photos = make_photos(tmp_path / "photos", count=10, size=32)
    config = FinetuneConfig(backbone="lenet5", data=str(photos), strategy="head-only", epochs=20, lr=0.05, seed=1)
    run = trained(config, catalog, tmp_path / "run")
    accuracy = read_result(Run(run, read_facts(run)))["accuracy"]
    swapped = make_photos(tmp_path / "more", count=12, size=40)
    for old, new in (("red", "other"), ("blue", "red"), ("other", "blue")):
        (swapped / old).rename(swapped / new)
    on = replace(config, data=str(swapped), from_run=str(run), lr=0.3)
    found = zoo_core.finetune(replace(on, out=str(tmp_path / "on")), catalog=catalog).forgotten
    assert found is not None
    assert (found.images, found.before, found.trained_on, found.gone) == (4, accuracy, 0, 0)
    assert found.after is not None
    assert found.before == accuracy > found.after
    told = (tmp_path / "on" / "README.md").read_text()
    assert f"accuracy {100 * accuracy:.1f} % before and {100 * found.after:.1f} % now" in told
    same = zoo_core.finetune(
        replace(on, data=str(photos), epochs=1, seed=5, out=str(tmp_path / "same")), catalog=catalog
    )
    assert same.forgotten is not None
    assert same.forgotten.trained_on > 0
    shutil.rmtree(photos / "red")
    gone = zoo_core.finetune(replace(on, epochs=1, out=str(tmp_path / "gone")), catalog=catalog).forgotten
    assert gone is not None
    assert gone.before is None
    assert gone.reason
    assert "Whether it forgot is not known" in (tmp_path / "gone" / "README.md").read_text()


def test_a_run_that_another_training_cannot_start_from_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    photos = make_photos(tmp_path / "photos", count=6, size=32)
    config = FinetuneConfig(backbone="lenet5", data=str(photos), strategy="head-only", epochs=1)
    run = trained(config, catalog, tmp_path / "run")
    others = with_classes(make_photos(tmp_path / "others", count=6, size=32), "Blue", "Red")
    for changes, told in (
        (
            {"data": str(others)},
            "knows none of the classes 'Blue', 'Red'; it knows 'blue', 'red'. Names must be the same",
        ),
        ({"head": "mlp"}, "has the head 'linear', and --head is 'mlp'"),
        ({"weights": "none"}, "leave out --weights"),
        ({"from_run": str(photos)}, "is not a run directory"),
    ):
        with pytest.raises(UsageError, match=told):
            trained(replace(config, from_run=str(run)), catalog, tmp_path / "on", **changes)


def test_from_a_run_by_the_command_takes_its_backbone_and_head(tmp_path: Path, catalog: Catalog) -> None:
    photos = make_photos(tmp_path / "photos", count=6, size=32)
    config = FinetuneConfig(backbone="lenet5", head="cosine", data=str(photos), epochs=1)
    run = trained(config, catalog, tmp_path / "run")
    on = zoo("finetune", "--from", run, "--data", photos, "--epochs", 1, "--out", tmp_path / "on", "--json")
    assert json.loads(on.stdout)["result"]["forgotten"]["metric"] == "accuracy"
    facts = read_facts(tmp_path / "on")
    assert (facts.backbone.name, facts.head.name, facts.config.from_run) == ("lenet5", "cosine", str(run))
    assert "the earlier run held out" in told_by(on)


def test_a_run_on_all_images_claims_nothing_and_works(tmp_path: Path, catalog: Catalog) -> None:
    photos, run = make_photos(tmp_path / "photos", count=6, size=32), tmp_path / "run"
    words = ["finetune", "--backbone", "lenet5", "--data", photos, "--val-share", 0]
    answer = zoo(*words, "--epochs", 3, "--out", run, "--json", "--patience", 1)
    printed, told = json.loads(answer.stdout), told_by(answer)
    result = printed["result"]
    assert (result["part"], result["best_epoch"], result["baseline"], result["calibration"]) == (None, 3, None, None)
    assert not {"accuracy", "score", "interval"} & result.keys()
    assert [epoch["val_loss"] for epoch in printed["epochs"]] == [None] * 3
    assert "no temperature, no thresholds and no limit to strangers" in told
    assert "--patience has no effect: no image is held out to validate with, so the last epoch counts" in told
    assert "Trained on all images: nothing is known of its accuracy" in told
    assert re.search(r"zoo report \S+run --data DIR ", told), "without images it is refused"
    card = (run / "README.md").read_text()
    assert "nothing is known of how often it is right" in card
    assert "%" not in card.partition("## How to use it")[0]
    assert read_facts(run).data.images == {"train": 12}
    with pytest.raises(DataError, match="held no image out.*Measure it on others with --data"):
        zoo_core.evaluate_run(run, catalog=catalog)
    assert zoo_core.evaluate_run(run, data=str(photos), catalog=catalog).overlap.train == 12
    assert zoo_core.load(run, catalog=catalog).predict(photos / "red" / "0.jpg")
    for name in ("report", "runs"):
        more = {"report": (run, "--data", photos, "-o", tmp_path / "report.html"), "runs": (tmp_path,)}[name]
        done = zoo(name, *more)
        assert done.exit_code == 0, done.exception
    assert "not measured" in done.output
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The weights of epoch 3, at the dotted line, are kept. No image was held out" in page
    assert "train by epoch; the best epoch is 3" in page
    published = build_bundle(read_run(run), "a/b", PublishOptions(), catalog, tmp_path)
    assert "metrics" not in published["README.md"].read_text().partition("\n---\n")[0]
    zoo_core.resume(run, more_epochs=1, catalog=catalog)
    compared = zoo(
        "compare", "--backbone", "lenet5", "--seeds", 2, "--data", photos, "--val-share", 0, "--out", tmp_path / "c"
    )
    assert "a comparison needs scores" in told_by(compared)


def test_a_test_part_measures_a_run_on_all_other_images_and_the_last_epoch_counts(
    tmp_path: Path, catalog: Catalog
) -> None:
    photos = make_photos(tmp_path / "photos", count=9, size=32)
    config = FinetuneConfig(
        backbone="lenet5", data=str(photos), strategy="full", epochs=3, val_share=0.0, fold="1/3", batch_size=5
    )
    result = zoo_core.finetune(replace(config, out=str(tmp_path / "run")), catalog=catalog)
    assert (result.part, result.trained.best, result.calibration) == ("test", 3, None)
    assert zoo_core.evaluate_run(result.directory, catalog=catalog).evaluation.score == result.evaluation.score
    lonely = make_photos(tmp_path / "few", count=2, size=32)
    (lonely / "red" / "1.png").unlink()
    in_folds = [replace(config, data=str(lonely), fold=f"{number}/3") for number in (1, 2, 3)]
    with pytest.raises(DataError, match="has no image to train on: all of them are held out"):
        [trained(one, catalog, tmp_path / f"few-{number}") for number, one in enumerate(in_folds)]


@pytest.mark.parametrize("strategy", ["head-only", "lp-ft"])
def test_a_run_on_all_images_is_resumed_to_the_same_bytes(
    strategy: str, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "photos", count=9, size=32)
    config = replace(LENET, strategy=strategy, epochs=2, data=str(photos), val_share=0.0)
    whole, stopped = trained(config, catalog, tmp_path / "whole"), tmp_path / "stopped"
    stopping = Stopping(3)
    with monkeypatch.context() as patch:
        patch.setattr(running, "stop_on_signals", lambda tell: nullcontext(stopping.stop_request))
        with pytest.raises(Interrupted):
            running.finetune(replace(config, out=str(stopped)), catalog, stopping)
    resume(stopped, catalog, NullCallback())
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert history_of(stopped) == history_of(whole)


def test_a_training_that_starts_from_a_run_is_resumed_to_the_same_bytes(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "photos", count=9, size=32)
    config = replace(LENET, strategy="full", epochs=2, data=str(photos))
    run = trained(config, catalog, tmp_path / "run")
    on = replace(config, from_run=str(run), seed=5)
    whole, stopped = trained(on, catalog, tmp_path / "whole"), tmp_path / "stopped"
    stopping = Stopping(3)
    with monkeypatch.context() as patch:
        patch.setattr(running, "stop_on_signals", lambda tell: nullcontext(stopping.stop_request))
        with pytest.raises(Interrupted):
            running.finetune(replace(on, out=str(stopped)), catalog, stopping)
    resume(stopped, catalog, NullCallback())
    assert weights_of(stopped) == weights_of(whole)
    assert history_of(stopped) == history_of(whole)
