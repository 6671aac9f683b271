"""`zoo runs`: nothing that lies below the folder is left out without a word, and only like is compared with like."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from zoo_core.cli.main import zoo as command
from zoo_core.errors import UsageError
from zoo_core.runs.summary import best_runs, differences_of, find_runs, is_on

OLD_RUNS = Path(__file__).parents[1] / "golden" / "fixtures" / "runs"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Four finished runs of three tasks, one of them twice with another seed and a lower score."""
    target = tmp_path / "runs"
    for name in ("classification", "multilabel", "regression"):
        shutil.copytree(OLD_RUNS / name, target / "some" / name)
    again = shutil.copytree(OLD_RUNS / "classification", target / "again")
    edit(again / "config.json", lambda facts: facts["config"].update(seed=7))
    lines = [json.loads(line) for line in (again / "metrics.jsonl").read_text().splitlines()]
    lines[-1]["score"] = lines[-1]["accuracy"] = 0.25
    (again / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return target


def edit(path: Path, change: object) -> None:
    facts = json.loads(path.read_text())
    change(facts)  # type: ignore[operator]
    path.write_text(json.dumps(facts))


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    command.main(["runs", *map(str, arguments)], standalone_mode=False)
    told = capsys.readouterr()
    return told.out, told.err


def test_every_run_below_a_folder_is_found(runs: Path) -> None:
    found, damaged = find_runs(runs)
    assert {Path(run.directory).name for run in found} == {"classification", "multilabel", "regression", "again"}
    assert damaged == []
    assert all(run.finished and run.images for run in found)
    by_name = {Path(run.directory).name: run for run in found}
    assert (by_name["again"].seed, by_name["again"].score) == (7, 0.25)
    assert by_name["again"].data_digests == by_name["classification"].data_digests
    assert by_name["again"].data_digests != by_name["regression"].data_digests


def test_a_run_inside_a_run_is_no_run_of_its_own(runs: Path) -> None:
    shutil.copytree(OLD_RUNS / "regression", runs / "again" / "inside")
    assert len(find_runs(runs)[0]) == 4


def test_a_damaged_run_is_named_and_an_unfinished_one_says_how_far_it_is(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs / "again" / "model.safetensors").unlink()
    (runs / "some" / "multilabel" / "metrics.jsonl").write_text("{")
    monkeypatch.chdir(runs.parent)
    out, err = printed(capsys)
    (line,) = (line for line in out.splitlines() if "again" in line)
    assert "epoch 4 of 4" in line
    assert "multilabel/metrics.jsonl" in err


def test_a_damaged_config_hides_no_other_run(runs: Path, tmp_path: Path) -> None:
    """Seen to fail: a broken config.json anywhere below the folder ended the whole listing."""
    (runs / "again" / "config.json").write_text("{")
    (runs / "stray").mkdir()
    (runs / "stray" / "config.json").symlink_to(tmp_path / "elsewhere.json")
    found, damaged = find_runs(runs)
    assert len(found) == 3
    assert sorted(Path(line.partition(" ")[0]).parent.name for line in damaged) == ["again", "stray"]


def test_a_folder_that_only_looks_like_a_run_is_none(runs: Path) -> None:
    (runs / "else").mkdir()
    (runs / "else" / "config.json").write_text('{"format": "another program"}')
    (runs / "loop").symlink_to(runs)
    assert len(find_runs(runs)[0]) == 4


def test_the_best_of_the_same_data_come_first(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = find_runs(runs / "again")[0][0].data
    out, _ = printed(capsys, runs, "--data", data, "--best", 2, "--json")
    scores = [run["score"] for run in json.loads(out)["runs"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 2


def test_data_are_the_same_by_their_place_and_by_their_name_only_where_it_is_gone(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: a run was found from the folder in which it was started alone, and for any folder of that name."""
    own, other = tmp_path / "mine" / "photos", tmp_path / "others" / "photos"
    own.mkdir(parents=True)
    other.mkdir(parents=True)
    edit(runs / "again" / "config.json", lambda facts: facts["config"].update(data=str(own)))
    edit(runs / "again" / "config.json", lambda facts: facts["data"].update(title="photos"))
    (run,) = find_runs(runs / "again")[0]
    assert is_on(run, str(own))
    assert not is_on(run, str(other))
    monkeypatch.chdir(other.parent)
    assert is_on(run, "../mine/photos/")
    assert not is_on(run, "photos/")
    own.rmdir()
    assert is_on(run, "photos/")
    assert is_on(run, str(own))
    assert not is_on(run, "hotos")


def test_scores_of_different_kinds_or_images_are_said_to_be(runs: Path) -> None:
    found, _ = find_runs(runs)
    kinds, images = best_runs(found, 4)[1]
    assert "different kinds: accuracy, " in kinds
    assert "different images; --data PATH" in images, "seen to fail: other kinds hid the other images"
    alike = [run for run in found if run.metric == "accuracy"]
    assert best_runs(alike, 4)[1] == []
    edit(runs / "again" / "config.json", lambda facts: facts["data"]["digests"].update(train="0" * 64))
    alike = [run for run in find_runs(runs)[0] if run.metric == "accuracy"]
    assert best_runs(alike, 4)[1] == [], "another share of the training images, the same images measured"
    edit(runs / "again" / "config.json", lambda facts: facts["data"]["digests"].update(val="0" * 64, test="0" * 64))
    alike = [run for run in find_runs(runs)[0] if run.metric == "accuracy"]
    assert "different images; --data PATH" in best_runs(alike, 4)[1][0]
    assert "--data" not in best_runs(alike, 4, of_one_place=True)[1][0]


def test_csv_holds_every_field(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(printed(capsys, runs, "--csv")[0].splitlines()))
    assert {row["directory"] for row in rows} == {run.directory for run in find_runs(runs)[0]}
    intervals = {(row["interval_low"], row["interval_high"]) for row in rows}
    assert intervals == {tuple(map(str, run.interval or ("", ""))) for run in find_runs(runs)[0]}
    assert {row["score"] for row in rows} == {str(run.score) for run in find_runs(runs)[0]}


def test_two_runs_differ_in_what_was_changed_alone(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts, results = differences_of(runs / "some" / "classification", runs / "again")
    assert [(one.name, one.second) for one in facts] == [("config.seed", 7)]
    assert {one.name for one in results} == {"score", "accuracy"}
    out, _ = printed(capsys, "diff", runs / "some" / "classification", runs / "again")
    assert "config.seed" in out
    same, _ = printed(capsys, "diff", runs / "again", runs / "again")
    assert "differ in nothing" in same


def test_no_runs_is_an_answer_with_a_next_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "`zoo finetune` makes one" in printed(capsys, tmp_path)[1]
    with pytest.raises(UsageError, match="there is no folder nowhere"):
        find_runs(Path("nowhere"))
