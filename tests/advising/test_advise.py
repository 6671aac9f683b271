"""`zoo advise` from end to end, on tiny photos."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest

from helpers import make_table
from zoo_core.advising import frozen_case
from zoo_core.choosing import one_cell
from zoo_core.cli.main import zoo
from zoo_core.errors import UsageError
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.split import SplitPoint
from zoo_core.training.result import Result
from zoo_core.training.stopping import Interrupted

JSON = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
TWO = ("--backbone", "lenet5,efficientnet_lite0", "--image-size", 32)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a folder of this test's own, and no pictures of runs, which take most of a tiny training's time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("zoo_core.runs.plots.plot_curves", lambda *arguments: None)
    monkeypatch.setattr("zoo_core.tasks.classification.Classification.draw", lambda *arguments: None)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The images of every group that passes a frozen network from its first stage on."""
    counts: list[int] = []
    real = FeatureCache._start_prefix

    def counted(cache: FeatureCache, prefix: Any, start: SplitPoint, inputs: Any) -> Any:
        if start == SplitPoint(0):
            counts.append(sum(len(tensor) for _, tensor in inputs))
        return real(cache, prefix, start, inputs)

    monkeypatch.setattr(FeatureCache, "_start_prefix", counted)
    return counts


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all trainings from now on."""
    done: list[str] = []
    finetune = one_cell.finetune

    def counted(config: Any, *others: Any) -> Result:
        if "stop" in done:
            raise KeyboardInterrupt
        done.append(Path(config.out).name)
        return finetune(config, *others)

    monkeypatch.setattr(one_cell, "finetune", counted)
    return done


def call(*arguments: object) -> int | None:
    """The exit code, None where all went well."""
    code: int | None = zoo.main(["advise", *map(str, arguments)], standalone_mode=False)
    return code


def documented() -> set[str]:
    row = re.search(r"^\| `zoo advise` \| (.*) \|$", JSON, re.MULTILINE)
    assert row is not None
    return {word for code in re.findall(r"`([^`]*)`", row[1]) for word in code.split()}


def keys_of(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    return set(value) | set().union(*map(keys_of, value.values())) if isinstance(value, dict) else set()


def test_each_image_passes_each_network_once_and_nothing_is_computed_twice(
    photos: Path,
    passes: list[int],
    trained: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("zoo_core.advising.strategies.FOLDS", 2)
    command = (*TWO, "--strategy", "head-only,last:2,full", "--budget", "1h", "--data", "photos")
    trained.append("stop")
    with pytest.raises(Interrupted, match="interrupted; all that was done is kept"):
        call(*command)
    assert sum(passes) == 2 * 20, "the frozen case has both networks and all images"
    assert "Recommended:" in capsys.readouterr().out
    trained.clear()
    call(*command, "--json")
    told = json.loads(capsys.readouterr().out)
    assert sum(passes) == 2 * 20, "trials read the features that the frozen case cached"
    assert len(trained) == len(set(trained)) == len(list(Path("runs/advise-photos").glob("*/model.safetensors")))
    assert told == {"version": 2, **json.loads(Path("runs/advise-photos/advise.json").read_text())}
    assert told["asked"].pop("settings") == {"data": str(photos), "size": 32}
    assert keys_of(told) - {"version"} <= documented()
    assert documented() <= keys_of(told) | {"settings", "first", "second", "p", "difference", "title", "reason"}
    assert [len(one["boundaries"]) for one in told["networks"]] == [3, 9]
    assert told["chosen"] == told["near"][0]
    assert {one["strategy"] for one in told["strategies"]} == {"head-only", "last:2", "full"}
    assert max(one["folds"] for one in told["strategies"]) == 2
    count = len(trained)
    call(*command)
    assert (sum(passes), len(trained)) == (40, count)
    shown = capsys.readouterr().out
    for words in (
        "its rank",
        "How much data: 10 images a class",
        "How similar",
        "an epoch:",
        "Strategies, in short trainings",
    ):
        assert words in shown
    assert Path("runs/advise-photos/advise.png").is_file()
    (best,) = re.findall(r"Recommended: `zoo (finetune .*)`", shown)
    for line in [best, *re.findall(r"`zoo (compare .*)`", shown)]:
        name, *words = line.split()
        assert zoo.get_command(None, name).make_context(name, words)  # type: ignore[arg-type,union-attr]


class Counting(Executor):
    """Calls at once, and counts."""

    calls = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


def test_trials_are_trained_by_the_runner_that_is_asked_for(
    photos: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen to fail: the lines of trials had the title of the last network."""
    executor = Counting()
    monkeypatch.setattr("zoo_core.cli.advise.executor_for", lambda *arguments, **named: nullcontext(executor))
    monkeypatch.setattr("zoo_core.advising.strategies.FOLDS", 1)
    call("--backbone", "lenet5", "--strategy", "head-only,last:1", "--budget", "1h", "--data", "photos")
    assert executor.calls == len(trained) >= 2
    lines = re.findall(r"^(\S.*): \d.* s\)$", capsys.readouterr().err, re.MULTILINE)
    assert lines == ["trial  head-only, fold 1 of 5", "trial  last:1, 10 epochs, fold 1 of 5"]


def test_a_tiny_budget_has_the_frozen_part_alone_and_a_network_that_fails_does_not_end_the_rest(
    photos: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = frozen_case.open_embedder

    def failing(name: str, *others: Any) -> Any:
        if name == "lenet5":
            raise RuntimeError("no such thing")
        return real(name, *others)

    monkeypatch.setattr(frozen_case, "open_embedder", failing)
    assert call(*TWO, "--strategy", "head-only,full", "--budget", "0s", "--data", photos) == 1
    shown = capsys.readouterr()
    assert re.search(
        r"No strategy was tried: .* are too short for a training of .*full.* --budget \d+m tries all", shown.out
    )
    assert "failed: lenet5: RuntimeError: no such thing" in shown.err
    assert "Recommended: `zoo finetune --backbone efficientnet_lite0" in shown.out
    assert not trained


def test_a_base_that_ends_earlier_reads_what_the_advice_has_cached(photos: Path, passes: list[int]) -> None:
    assert call("--backbone", "efficientnet_lite0", "--image-size", 32, "--budget", "0s", "--data", photos) is None
    assert sum(passes) == 20
    for base in ("efficientnet_lite0", "efficientnet_lite0:upto=blocks5"):
        asked = ("--backbone", base, "--image-size", "32", "--head", "logreg", "--data", str(photos))
        zoo.main(["finetune", *asked, "--strategy", "head-only"], standalone_mode=False)
    assert sum(passes) == 20


def test_ctrl_c_shows_the_networks_that_are_there(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, names = frozen_case._measure, []

    def interrupted(network: Any, *others: Any) -> Any:
        names.append(network.name)
        if len(names) > 1:
            raise KeyboardInterrupt
        return real(network, *others)

    monkeypatch.setattr(frozen_case, "_measure", interrupted)
    with pytest.raises(Interrupted) as stopped:
        call(*TWO, "--data", photos)
    assert stopped.value.exit_code == 130
    assert re.search(r"The network: lenet5.*, the only one that was measured", capsys.readouterr().out)


def test_requests_that_have_no_advice_are_refused_with_a_next_step(tmp_path: Path, photos: Path) -> None:
    table = make_table(tmp_path / "table", "path,warmth", lambda kind, number: f"{number}.5", count=4)
    for arguments, message in (
        (("--data", table), "for images with one class each.*for regression.*zoo compare"),
        (("--data", photos, "--backbone", "zfnet"), "'zfnet' has no trained weights.*zoo compare"),
        (("--data", photos, "--strategy", "lats:1"), "Did you mean 'last'"),
        (("--data", photos, "--all"), "Add --yes, or leave out --all"),
    ):
        with pytest.raises(UsageError, match=message):
            call(*arguments)
    with pytest.raises(click.UsageError, match="no length of time like 90s"):
        call("--data", photos, "--budget", "soon")
