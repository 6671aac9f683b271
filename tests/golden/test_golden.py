"""What the zoo of one day wrote opens in every later one, and gives the same answers. `make.py` wrote the fixtures.

They are a user's folder, with relative paths, so that it can be copied anywhere. Nothing here but `make.py` knows the
insides of zoo: the tests call the command line and the library as people do.

Seen to fail: with an answer or the weights of a fixture changed; with a field of the JSON, an option, the head `solved` or
a tensor of the checkpoint called otherwise; with another version of the cache's keys, other words for what a checkpoint
says was cached, another format of config.json; with another split of the images.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo_core
from golden.support import FIXTURES, IMAGES, differing, lost, options, read, reference, shape, zoo
from helpers import Zoo
from hubserver import TestHub

ANSWERS, SHAPES, FINETUNE, INTERRUPTED = map(read, ("answers.json", "shapes.json", "finetune.json", "interrupted.json"))
ANSWERING = {
    "classification": "class",
    "multilabel": "label",
    "regression": "number",
    "solved": "class",
    "full": "class",
}
WEIGHTS_TOLERANCE = 1e-5
"""How far a trained number may be from the stored one: no two kinds of processors add in the same order."""
SOLVED_TOLERANCE = (
    1e-4  # a solver stops where it is near enough, and other last bits make it stop elsewhere (9e-6 seen)
)


@pytest.fixture(autouse=True)
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the user's folder to stand in, and an empty cache."""
    folder = tmp_path / "golden"
    shutil.copytree(FIXTURES, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "empty"))
    return folder


@cache
def same_arithmetic() -> bool:
    """Whether this machine trains to the same bytes as the one that made the fixtures."""
    return bool(reference() == read("made.json")["reference"])


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_near(run: Path, stored: Path, tolerance: float = WEIGHTS_TOLERANCE) -> None:
    """A run's weights are the stored ones, of which the frozen ones may be left out."""
    tensors = load_file(run / "model.safetensors")
    for name, old in load_file(stored).items():
        torch.testing.assert_close(tensors[name], old, rtol=tolerance, atol=tolerance, msg=name)


def made_here(run: Path) -> None:
    """Let a run say that it was begun with the versions that are installed.

    A run does not go on under other versions, on purpose. That is not what is shown here: its checkpoint can be read.
    """
    config = json.loads((run / "config.json").read_text())
    config |= {"torch": torch.__version__, "zoo_core": zoo_core.__version__}
    for part in ("backbone", "head", "strategy"):
        config[part]["version"] = importlib.metadata.version(config[part]["distribution"])
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("command", ANSWERS)
def test_a_command_gives_the_old_answers_in_the_old_fields(command: str) -> None:
    answer = zoo(*command.split(), "--device", "cpu", "--json")
    assert differing(ANSWERS[command], answer) == []


@pytest.mark.parametrize("name", ANSWERING)
def test_the_library_gives_the_old_answers(name: str) -> None:
    predictions = zoo_core.load(f"runs/{name}", device="cpu").predict(IMAGES)
    told = ANSWERS[f"predict runs/{name} {' '.join(IMAGES)}"]["predictions"]
    key, value = ANSWERING[name], "value" if name == "regression" else "probability"
    old = [[[answer[key], answer[value]] for answer in one["answers"]] for one in told]
    assert differing(old, [[list(answer) for answer in one.answers] for one in predictions]) == []
    assert [one.image for one in predictions] == IMAGES


@pytest.mark.parametrize("command", [command for command in SHAPES if not command.startswith("finetune ")])
def test_a_command_prints_all_the_old_fields(command: str) -> None:
    assert lost(SHAPES[command], shape(zoo(*command.split(), "--json"))) == []


@pytest.mark.parametrize("name", FINETUNE)
def test_the_old_command_trains_the_old_run(name: str, golden: Path) -> None:
    """Within rounding everywhere, and to the byte where the machine computes as that of the fixtures."""
    printed = zoo("finetune", *FINETUNE[name], "--out", "again", "--json")
    assert lost(SHAPES[f"finetune {name}"], shape(printed)) == []
    old, new = golden / "runs" / name, golden / "again"
    assert differing(lines_of(old), lines_of(new)) == []
    assert_near(new, old / "model.safetensors", SOLVED_TOLERANCE if name == "solved" else WEIGHTS_TOLERANCE)
    if same_arithmetic():
        assert sha256(new / "model.safetensors") == sha256(old / "model.safetensors")


@pytest.mark.parametrize("name", INTERRUPTED)
def test_an_old_interrupted_run_goes_on_to_the_end_that_it_would_have_had(name: str, golden: Path) -> None:
    """To the byte where the machine computes as that of the fixtures. Elsewhere the steps before the interruption have
    other last bits than those after it, and the end is that of a run that was never stopped within rounding."""
    stored, run = INTERRUPTED[name], golden / "interrupted" / name
    made_here(run)
    # Of then: the lowest rate, by the noise of the first steps of a range test, and the epoch with the highest score.
    state = json.loads(next(run.glob("checkpoints/*/state.json")).read_text())
    printed = zoo("resume", f"interrupted/{name}", "--json")
    assert lost(stored["json"], shape(printed)) == []
    assert differing(lines_of(golden / "resumed" / name), lines_of(run)) == []
    assert_near(run, golden / "resumed" / name / "trained.safetensors")
    assert not (run / "checkpoints").exists()
    settings = [
        part
        for key, value in {**stored["settings"], "lr": state["lr"], "best_epoch": "highest"}.items()
        for part in (f"--{key.replace('_', '-')}", str(value))
    ]
    zoo("finetune", *settings, "--out", "whole")
    assert_near(run, golden / "whole" / "model.safetensors")
    if same_arithmetic():
        assert sha256(run / "model.safetensors") == stored["sha256"]
        assert sha256(golden / "whole" / "model.safetensors") == stored["sha256"]


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_an_old_cache_is_read_and_nothing_is_computed(name: str, golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a key of the cache changes. A new version of zoo-lenet does that on purpose: make the cache again."""
    monkeypatch.setenv("ZOO_CACHE", str(golden / "cache"))
    for store in (golden / "cache" / "features").iterdir():
        (store / "lock").touch()  # as that version left it
    before = {path: sha256(path) for path in (golden / "cache").rglob("*") if path.is_file()}
    config = zoo_core.FinetuneConfig(
        backbone="lenet5",
        strategy="head-only" if name == "classification" else "last:1",
        data="photos" if name == "classification" else "warmth.csv",
        epochs=4,
        batch_size=5,
        seed=3,
        optimizer="adamw" if name == "classification" else "sgd",
        device="cpu",
        precision="float32",
        compile="off",
        out="again",
    )
    result = zoo_core.finetune(config)
    assert result.num_computed == 0
    assert {path: sha256(path) for path in before} == before
    assert differing(lines_of(golden / "runs" / name), lines_of(golden / "again")) == []
    assert_near(golden / "again", golden / "runs" / name / "model.safetensors")


def test_a_run_begins_with_the_weights_of_an_old_one() -> None:
    printed = zoo("finetune", *FINETUNE["classification"], "--weights", "runs/full", "--out", "again", "--json")
    assert printed["result"]["images"] == 4


def test_an_old_published_model_opens_from_the_hub(zoo: Zoo, golden: Path) -> None:
    (question,) = [command for command in ANSWERS if command.startswith("predict bundle ")]
    arguments = question.replace("bundle", "acme/net").split()
    with TestHub() as hub:
        files = [path for path in Path("bundle").rglob("*") if path.is_file()]
        hub.add_repo("acme/net", {str(path.relative_to("bundle")): path.read_bytes() for path in files})
        for path in Path("photos").rglob("*.png"):
            target = golden.parent / path  # where the command is called
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(golden / "hf")}
        called = zoo(*arguments, "--device", "cpu", "--json", env=env, warnings="default")
    assert called.returncode == 0, called.stderr
    assert differing(ANSWERS[question]["predictions"], json.loads(called.stdout)["predictions"]) == []


def test_an_old_model_that_was_published_for_timm_as_well_opens(golden: Path) -> None:
    """A twin adds keys to the config; those of a ResNet stand for all, whose tensors are too large to store."""
    config = json.loads((golden / "bundle" / "config.json").read_text()) | read("timm.json")
    (golden / "bundle" / "config.json").write_text(json.dumps(config))
    (first, *_) = zoo_core.load("bundle", device="cpu").predict(IMAGES, top=1)
    (question,) = [command for command in ANSWERS if command.startswith("predict bundle ")]
    answer = ANSWERS[question]["predictions"][0]["answers"][0]
    assert differing([[answer["class"], answer["probability"]]], [list(pair) for pair in first.answers]) == []


def test_every_old_option_is_accepted() -> None:
    """Under its old spelling, as a flag or not as it was, with all the words that it took."""
    now, old = options(), read("options.json")
    gone = []
    for command, parameters in old.items():
        for name, told in parameters.items():
            new = now.get(command, {}).get(name)
            same = new is not None and (new["flag"], new["nargs"]) == (told["flag"], told["nargs"])
            # A parameter that now takes any word takes the old ones too.
            if not same or (new["words"] and not set(told["words"]) <= set(new["words"])):
                gone.append(f"zoo {command} {name}")
    assert gone == []


def test_every_old_name_is_there() -> None:
    assert [name for name in read("names.json") if not hasattr(zoo_core, name)] == []
