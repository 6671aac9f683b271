"""`zoo compare` from end to end, with tiny networks on tiny photos."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from helpers import make_table
from zoo_core.choosing import one_cell
from zoo_core.choosing.statistics import mcnemar
from zoo_core.cli.cells import CellBar
from zoo_core.cli.comparing import _chosen
from zoo_core.cli.main import zoo
from zoo_core.errors import ZooError
from zoo_core.frozen.computing_alone import WAITING
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.split import SplitPoint
from zoo_core.runs.answers import read_answers
from zoo_core.runs.directory import CONFIG, MODEL, read_facts
from zoo_core.training.run import CannotResume, Result
from zoo_core.training.stopping import Interrupted

QUICK = ("--backbone", "lenet5", "--strategy", "head-only", "--epochs", 1, "--augment", "none")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """The results of all trainings from now on."""
    done: list[Result] = []

    def counted(*arguments: Any) -> Result:
        done.append(finetune(*arguments))
        return done[-1]

    finetune = one_cell.finetune
    monkeypatch.setattr(one_cell, "finetune", counted)
    return done


@pytest.fixture(autouse=True)
def without_pictures_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of a tiny training's time."""
    monkeypatch.setattr("zoo_core.runs.plots.plot_curves", lambda *arguments: None)
    monkeypatch.setattr("zoo_core.tasks.classification.Classification.draw", lambda *arguments: None)


def call(*arguments: object) -> None:
    zoo.main(["compare", *map(str, arguments)], standalone_mode=False)


def test_folds_give_every_image_one_answer_and_the_frozen_part_is_computed_once(
    photos: Path,
    tmp_path: Path,
    trained: list[Result],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    command = (*QUICK, "--head", "linear,logreg", "--folds", 4, "--data", "photos")
    call(*command, "--json")
    told = json.loads(capsys.readouterr().out)
    assert len(trained) == told["trainings"] == 8
    assert sum(result.num_computed for result in trained) == 20, "one forward for each of the 20 images"
    right: dict[str, dict[str, bool]] = {}
    for head in ("linear", "logreg"):
        runs = [tmp_path / "runs" / "compare-photos" / f"{head}-fold-{fold}-of-4" for fold in (1, 2, 3, 4)]
        answers = [answer for run in runs for answer in read_answers(run) or ()]
        assert set(Counter(answer.image for answer in answers).values()) == {1}
        assert {answer.image for answer in answers} == {str(path.relative_to(photos)) for path in photos.rglob("*.*g")}
        right[head] = {answer.image: answer.is_right for answer in answers}
    scores = {row["head"]: row["score"] for row in told["results"]}
    assert scores == pytest.approx({head: sum(own.values()) / 20 for head, own in right.items()})
    only = [
        sum(right[one][image] > right[other][image] for image in right[one])
        for one, other in (("linear", "logreg"), ("logreg", "linear"))
    ]
    assert told["difference"]["p"] == mcnemar(*only)
    assert told == {"version": 2, **json.loads(Path("runs/compare-photos/compare.json").read_text())}

    call(*command)
    assert len(trained) == 8, "finished trainings are not repeated"
    shown = capsys.readouterr().out
    assert re.search(r"^head\s+accuracy\s+95 % interval\s+images\s+seconds\s+trained\s+size", shown, re.MULTILINE)
    assert Path("runs/compare-photos/compare.png").is_file()
    (best,) = re.findall(r"without a fold: `zoo (finetune .*)`", shown)
    assert "--fold" not in best
    assert zoo.get_command(None, "finetune").make_context("finetune", best.split()[1:])  # type: ignore[arg-type,union-attr]


@pytest.mark.parametrize(("target", "values"), [("kind", ("red", "blue")), ("age", ("1.5", "2.5"))])
def test_intervals_and_the_test_go_by_groups(
    target: str,
    values: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """40 photos of 20 patients with two photos each, and the same photos without patients."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    make_table(
        tmp_path / "photos",
        f"path,{target},group",
        lambda kind, number: f"{values[kind == 'red']},patient {number // 2} {kind}",
        count=20,
    )
    told = {}
    for group_by in ("column", "none"):
        command = (*QUICK, "--seeds", 2, "--folds", 2, "--data", "photos/photos.csv", "--group-by", group_by)
        call("--head", "linear,mlp", *command, "--out", tmp_path / group_by, "--json")
        told[group_by] = json.loads(capsys.readouterr().out)
    grouped, alone = (told[name]["difference"] for name in ("column", "none"))
    assert (grouped["groups"], alone["groups"]) == (20, None)
    assert grouped["images"] == alone["images"] == 40
    directory = next(iter((tmp_path / "column").glob("*/answers.csv"))).parent
    result = json.loads((directory / "metrics.jsonl").read_text().splitlines()[-1])
    assert result["groups"] == 10


def test_each_image_passes_once_whatever_the_order_of_strategies(
    photos: Path, tmp_path: Path, trained: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: with the later split point first, the images were computed from their pixels for the earlier one too."""
    passed: Counter[bytes] = Counter()
    load = FeatureCache._load

    def counted(cache: FeatureCache, start: SplitPoint, group: Any) -> Any:
        passed.update(cache.key(*item) for item in group if not start.stages)
        return load(cache, start, group)

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(FeatureCache, "_load", counted)
    grid = ("--strategy", "head-only,last:1", "--seeds", 2, "--fractions", "0.5,1")
    call("--backbone", "lenet5", *grid, "--epochs", 1, "--augment", "none", "--data", photos, "--out", tmp_path / "c")
    assert len(trained) == 8
    assert set(passed.values()) == {1}
    assert len(passed) == 20, "one forward for each of the 20 images"


def test_learning_curves_share_their_test_images_and_a_run_of_them_can_be_evaluated(
    photos: Path, tmp_path: Path, trained: list[Result], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        *QUICK,
        "--weights",
        "pretrained,none",
        "--fractions",
        "0.25,1",
        "--data",
        photos,
        "--out",
        tmp_path / "c",
    )
    call(*arguments)
    shown = capsys.readouterr()
    assert "Accuracy by the number of training images:" in shown.out
    assert "Without pretraining (from scratch) you would need, to be as good as pretrained" in shown.out
    assert "also chose the best epoch" in shown.err
    assert "remove" not in shown.err
    facts = [read_facts(result.directory) for result in trained]
    assert [one.data.images["train"] for one in facts] == [4, 4, 16, 16]
    assert len({one.data.digests["val"] for one in facts}) == 1
    zoo.main(["evaluate", str(trained[0].directory), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["images"] == 4

    next(photos.rglob("*.*g")).unlink()
    call(*arguments)
    assert len(trained) == 4
    named = " ".join(str(result.directory) for result in trained)
    assert f"trained on other images than today's: remove {named} and give" in capsys.readouterr().err


def test_a_stop_shows_what_is_there_and_a_failure_the_rest(
    photos: Path,
    tmp_path: Path,
    trained: list[Result],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finetune = one_cell.finetune

    def stopping(config: Any, *others: Any) -> Result:
        if config.head == "mlp:hidden=4" and config.seed == 0:
            raise RuntimeError("no such thing")
        if config.seed == 1:
            raise Interrupted("interrupted", 2)
        return finetune(config, *others)

    def undrawable(*_: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(one_cell, "finetune", stopping)
    monkeypatch.setattr("zoo_core.choosing.picture.draw", undrawable)
    heads = ("--head", "mlp:hidden=4,linear,cosine", "--seeds", 2)
    with pytest.raises(
        Interrupted, match="interrupted; all that was done is kept. Go on: give the same command again."
    ):
        call(*QUICK, *heads, "--data", photos, "--out", tmp_path / "c")
    shown = capsys.readouterr()
    assert "1/6  mlp:hidden=4, seed 0: failed: RuntimeError: no such thing" in shown.err
    assert len(re.findall(r"1 of 2", shown.out)) == 2
    assert "the same 4 images" in shown.out
    assert "compare.png could not be drawn" in shown.err
    assert "compare.png" not in shown.out
    assert len(json.loads((tmp_path / "c" / "compare.json").read_text())["failed"]) == 1

    monkeypatch.setattr(one_cell, "finetune", lambda config, *others: finetune(replace(config, batch_size=2), *others))
    call(*QUICK, *heads, "--data", photos, "--out", tmp_path / "c")
    assert len(trained) == 6
    assert capsys.readouterr().err.count("finished before") == 1


def test_pretrained_weights_that_a_backbone_lacks_fail_its_cells_alone(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--backbone", "zfnet", "--weights", "pretrained", "--seeds", 2, "--data", photos, "--size", 8)
    with pytest.raises(
        Exception, match="no training was finished. The first failed: 'zfnet' has no pretrained weights"
    ):
        call(*arguments, "--epochs", 1, "--out", tmp_path / "c")


def test_a_signal_that_comes_while_a_training_ends_stops_the_comparison(
    photos: Path, tmp_path: Path, trained: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "zoo_core.tasks.classification.Classification.draw", lambda *arguments: signal.raise_signal(signal.SIGINT)
    )
    with pytest.raises(Interrupted, match="Go on: give the same command again"):
        call(*QUICK, "--head", "linear,cosine", "--data", photos, "--out", tmp_path / "c")
    assert [result.stopped_by for result in trained] == [signal.SIGINT]


def test_a_stop_between_two_trainings_and_what_may_change_in_a_resumed_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Ctrl-C there ends with "Go on", and a begun training takes another --workers."""

    def begun(config: Any, *_: Any) -> Result:
        Path(config.out).mkdir()
        (Path(config.out) / CONFIG).touch()
        raise ZooError("killed")

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(one_cell, "finetune", begun)
    arguments = (*QUICK, "--head", "linear,cosine", "--data", photos, "--out", tmp_path / "c")
    with monkeypatch.context() as patch:
        patch.setattr("zoo_core.cli.cells.CellsScreen.end", stopped)
        with pytest.raises(Interrupted, match="Go on: give the same command again"):
            call(*arguments)

    asked: list[Any] = []
    monkeypatch.setattr(one_cell, "read_facts", lambda directory: None)
    monkeypatch.setattr(one_cell, "resume", lambda *_, per_machine: asked.append(per_machine))
    with pytest.raises(ZooError, match="no training was finished"):
        call(*arguments, "--workers", 1)
    assert asked == [{"workers": 1}]


def test_a_training_that_waits_for_another_run_says_so_and_keeps_its_notes_for_the_end() -> None:
    """Seen to fail: while another process computed the same features nothing was said."""
    bar = CellBar(Console(file=StringIO(), width=80), "linear")
    for text in (WAITING, "a note"):
        bar.message(text)
    assert bar.screen.file.getvalue() == f"{WAITING}\n"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("file", "readable", "told"),
    [
        (MODEL, False, r"linear is not a run directory: .* Remove .*/c/linear to train it anew"),
        (
            CONFIG,
            False,
            r"config.json cannot be read: .* To train it anew, remove .*/c/linear and give the same command again",
        ),
        (
            CONFIG,
            True,
            r"lr was 1 and is 2\nPut them back as they were, or remove .*/c/linear and give the same command again",
        ),
    ],
)
def test_runs_that_are_damaged_or_cannot_go_on_are_named_with_a_next_step(
    file: str, readable: bool, told: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(config: Any, *others: Any) -> Result:
        Path(config.out).mkdir()
        (Path(config.out) / file).touch()
        raise RuntimeError("killed")

    def refused(directory: Path, *others: Any, **settings: Any) -> Result:
        raise CannotResume(directory, "lr was 1 and is 2")

    monkeypatch.setattr(one_cell, "finetune", killed)
    monkeypatch.setattr(one_cell, "resume", refused)
    if readable:
        monkeypatch.setattr(one_cell, "read_facts", lambda directory: None)
    command = (*QUICK, "--head", "linear,cosine", "--data", photos, "--out", tmp_path / "c")
    with pytest.raises(ZooError, match="The first failed: RuntimeError: killed"):
        call(*command)
    with pytest.raises(ZooError, match=told):
        call(*command)


@pytest.mark.parametrize(("cache_dtype", "told"), [("float32", 1), ("bfloat16", 2)])
def test_no_note_speaks_of_a_setting_that_the_comparison_chose(cache_dtype: str, told: int) -> None:
    notes = ("--cache-dtype has no effect: no features are cached.", "--mixup has no effect.")
    job: Any = SimpleNamespace(
        notes=notes, config=SimpleNamespace(cache_dtype=cache_dtype), caching=SimpleNamespace(warning=None)
    )
    assert one_cell.notes_of(job) == notes[2 - told :]


def test_of_two_that_cannot_be_told_apart_the_cheaper_one_is_suggested() -> None:
    """Seen to fail: it said "Take the cheaper one", and printed the command of the other."""
    first, second = (
        SimpleNamespace(candidate=name, model_bytes=8, trainable_parameters=count, seconds=1.0)
        for name, count in (("last:2", 20), ("last:1", 10))
    )
    results = SimpleNamespace(largest=[first, second])
    for differ, chosen in ((False, ("last:1", "The cheaper one")), (True, ("last:2", "The best"))):
        difference = SimpleNamespace(first="last:2", second="last:1", differ=differ)
        assert _chosen(SimpleNamespace(results=results, difference=difference)) == chosen  # type: ignore[arg-type,comparison-overlap]
