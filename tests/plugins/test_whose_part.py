"""A run knows the plugin of each of its parts: it is resumed, started from and measured with exactly these, also when a
second plugin gives the same names; and where one has gone, its distribution is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import zoo_core
from helpers import make_photos
from zoo_core.cli.main import zoo as command
from zoo_core.errors import UsageError, ZooError
from zoo_core.evaluation import evaluate_run
from zoo_core.hub.bundle import without_local_paths
from zoo_core.runs.directory import read_facts

CODE = """
from dataclasses import dataclass, replace
from zoo_core import AugmentSpec, DatasetSpec, FreezeSpec, HeadSpec, MetricSpec, TrackerSpec, hookimpl
from zoo_core.builtin import LinearOptions
import zoo_lenet.plugin

HOOK_API = 2

@dataclass(frozen=True)
class Size:
    size: int = 1

@hookimpl
def zoo_backbones():
    return [replace(zoo_lenet.plugin.zoo_backbones()[0], name="dup", weights=())]

@hookimpl
def zoo_heads():
    return [HeadSpec(name="dup", build="zoo_core.model.heads:linear", options=LinearOptions, summary="-")]

@hookimpl
def zoo_strategies():
    return [FreezeSpec(name="dup", plan=f"{__name__}:plan", summary="-")]

@hookimpl
def zoo_augmentations():
    return [AugmentSpec(name="dup", apply=f"{__name__}:same", options=Size, summary="-")]

@hookimpl
def zoo_metrics():
    return [MetricSpec(name="dup", compute=f"{__name__}:figure", summary="-", title=f"the figure of {__name__}")]

@hookimpl
def zoo_trackers():
    return [TrackerSpec(name="dup", start=f"{__name__}:Notes", options=Size, summary="-")]

@hookimpl
def zoo_datasets():
    return [DatasetSpec(name="dup", load=f"{__name__}:photos", summary="-", images=20, classes=2, licence="-", url="-")]

def plan(options, *, stages, epochs):
    from zoo_core.freezing.strategies import FullOptions, full
    return full(FullOptions(), stages=stages, epochs=epochs)

def same(options, image, chance):
    return image

def figure(options, *, answers, targets):
    return float((answers.argmax(1) == targets).mean())

def photos():
    import zoo_core
    return zoo_core.open_dataset(PHOTOS, zoo_core.open_catalog(with_plugins=False))

class Notes:
    def __init__(self, options, run):
        self.id, self.place = "1", __name__
    def epoch(self, epoch, figures):
        pass
    def end(self, outcome, figures):
        pass
"""
EVERYTHING = ["--backbone", "dup", "--head", "dup", "--strategy", "dup", "--augment", "crop+flip+dup:size=2"]
EVERYTHING += ["--metric", "dup", "--track", "dup:size=2", "--data", "dup"]
SHORT = ["--epochs", 1, "--batch-size", 8, "--device", "cpu"]
GIVEN_BY = "zoo-ta"


def zoo(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def done(*words: object) -> Any:
    answer = zoo(*words, "--json")
    assert answer.exit_code == 0, (answer.exception, answer.output)
    return json.loads(answer.stdout)


@pytest.fixture
def put(install: Any, tmp_path: Path) -> Any:
    """Install a plugin that gives the name `dup` to a part of every kind."""
    photos = make_photos(tmp_path / "photos", count=10, size=32)
    return lambda name: install(name, f"PHOTOS = {str(photos)!r}\n{CODE}")


@pytest.fixture
def run(put: Any, tmp_path: Path) -> Path:
    """A run whose parts are those of zoo-ta, the only plugin that there was."""
    put(GIVEN_BY)
    done("finetune", *EVERYTHING, *SHORT, "--out", tmp_path / "run")
    return tmp_path / "run"


def remove(site: Path) -> None:
    for path in site.glob("zoo_ta*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_run_writes_down_the_plugin_of_each_part_and_no_address(run: Path) -> None:
    facts = read_facts(run)
    assert {name: [(one.name, one.distribution) for one in parts] for name, parts in facts.provided.items()} == {
        name: [("dup", GIVEN_BY)] for name in ("data", "metric", "track")
    }
    assert set(without_local_paths(facts).provided) == {"data", "metric"}


def test_a_run_is_resumed_with_its_own_parts_whatever_plugins_have_come(put: Any, run: Path) -> None:
    """Seen to fail: "Choose one: 'zoo-ta:dup' or 'zoo-tb:dup'", and zoo resume has no --backbone."""
    before = (run / "config.json").read_text()
    put("zoo-tb")
    assert "provided by zoo-ta and by zoo-tb" in str(zoo("finetune", "--backbone", "dup", "--data", "dup").exception)
    made = done("resume", run, "--epochs", "+1")
    assert made["trackers"][0]["place"] == "zoo_ta"
    assert (len(made["epochs"]), made["settings"]["backbone"]) == (2, "dup")
    assert json.loads((run / "config.json").read_text())["config"] == json.loads(before)["config"]


def test_a_run_is_measured_with_its_own_metric_on_its_own_data(put: Any, run: Path) -> None:
    """Seen to fail: the accuracy counted instead, and its data were those of nobody."""
    put("zoo-tb")
    measured = evaluate_run(run, device="cpu")
    assert (measured.note, measured.evaluation.shown.title) == (None, "the figure of zoo_ta")


@pytest.mark.parametrize("way", ["--from", "--config"])
def test_a_new_training_from_a_run_takes_its_parts(put: Any, run: Path, tmp_path: Path, way: str) -> None:
    """Seen to fail: "The backbone 'dup' is provided by zoo-ta and by zoo-tb", although the run knows."""
    put("zoo-tb")
    words = ["--config", run / "config.json"] if way == "--config" else ["--from", run, "--data", tmp_path / "photos"]
    done("finetune", *words, *SHORT, "--out", tmp_path / "new")
    facts = read_facts(tmp_path / "new")
    assert (facts.backbone.distribution, facts.head.distribution) == (GIVEN_BY, GIVEN_BY)
    assert (facts.config.backbone, facts.config.head) == ("zoo-ta:dup", "zoo-ta:dup")
    if way == "--config":
        assert (facts.config.augment, facts.config.track) == ("crop+flip+zoo-ta:dup:2", "zoo-ta:dup:size=2")
        assert (facts.config.metric, facts.config.data, facts.strategy.distribution) == (
            "zoo-ta:dup",
            "zoo-ta:dup",
            GIVEN_BY,
        )
    done("resume", tmp_path / "new", "--epochs", "+1")


def test_the_head_of_another_plugin_does_not_take_a_runs_rows(put: Any, run: Path, tmp_path: Path) -> None:
    """Seen to fail: the names were the same, and it took them."""
    put("zoo-tb")
    answer = zoo("finetune", "--from", run, "--data", tmp_path / "photos", "--head", "zoo-tb:dup", *SHORT)
    assert isinstance(answer.exception, UsageError)
    assert "has the head 'dup' of zoo-ta, and --head is 'dup' of zoo-tb. Leave out --head" in str(answer.exception)


def test_without_its_plugin_a_run_names_it_as_predict_does(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: "No backbone 'dup'. `zoo list backbones` shows all."."""
    ways = {
        "predict": ["predict", run, tmp_path / "photos"],
        "resume": ["resume", run, "--epochs", "+1"],
        "finetune": ["finetune", "--resume", run, "--epochs", "+1"],
        "from": ["finetune", "--from", run, "--data", tmp_path / "photos"],
        "plan": ["plan", "--from", run],
        "config": ["finetune", "--config", run],
    }
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", GIVEN_BY)
    for way, words in ways.items():
        told = str(zoo(*words).exception)
        assert "the run needs 'dup' from zoo-ta, which was skipped: disabled" in told, (way, told)
    monkeypatch.delenv("ZOO_DISABLE_PLUGINS")
    for way, words in ways.items():
        told = str(zoo("--no-plugins", *words).exception)
        assert "from zoo-ta, which is installed and not in this catalog" in told, (way, told)
    remove(tmp_path / "site")
    for way, words in ways.items():
        told = str(zoo(*words).exception)
        assert "from zoo-ta, which is not installed. If you trust that package" in told, (way, told)


def test_parts_that_somebody_chose_anew_are_not_asked_for(put: Any, run: Path, tmp_path: Path) -> None:
    """A tracker that has gone keeps no run from going on without it."""
    put("zoo-tb")
    facts = json.loads((run / "config.json").read_text())
    facts["provided"]["track"][0]["distribution"] = "zoo-gone"
    (run / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ZooError, match="needs 'dup' from zoo-gone, which is not installed"):
        zoo_core.resume(run, more_epochs=1)
    assert zoo_core.resume(run, more_epochs=1, track="none").trackers == ()
    facts["config"]["backbone"] = "lenet5"
    (tmp_path / "mine.json").write_text(json.dumps(facts))
    config = ["--config", tmp_path / "mine.json", "--track", "none", "--head", "zoo-tb:dup"]
    done("finetune", *config, *SHORT, "--out", tmp_path / "mine")
    made = read_facts(tmp_path / "mine")
    assert (made.backbone.name, made.head.distribution, made.strategy.distribution) == ("lenet5", "zoo-tb", GIVEN_BY)


def test_a_run_of_an_earlier_zoo_goes_on(run: Path) -> None:
    """It names the plugins of backbone, head and strategy alone."""
    facts = json.loads((run / "config.json").read_text())
    del facts["provided"]
    (run / "config.json").write_text(json.dumps(facts))
    assert len(done("resume", run, "--epochs", "+1")["epochs"]) == 2
    assert evaluate_run(run, device="cpu").evaluation.shown.title == "the figure of zoo_ta"
