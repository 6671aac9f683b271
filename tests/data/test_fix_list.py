"""A fix list: written for a person to decide on, and followed by a training."""

from __future__ import annotations

import codecs
import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import zoo_core
from helpers import make_table
from zoo_core.catalog import Catalog
from zoo_core.data.bundled import fashion_small
from zoo_core.data.fix_list import FixRow, check_fix_list_target, with_fix_list, write_fix_list
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import Source
from zoo_core.data.tables import read_table
from zoo_core.errors import DataError, UsageError, ZooError
from zoo_core.run_images import training_images
from zoo_core.runs.directory import read_facts
from zoo_core.settings import FinetuneConfig


def decide(file: Path, decisions: dict[str, str]) -> str:
    """Write a fix list by hand, and return its place."""
    rows = [["path", "class", "finding", "other", "suggestion", "decision"]]
    rows += [[image, "", "label", "", "", decision] for image, decision in decisions.items()]
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return str(file)


def answers(source: Source) -> dict[str, str]:
    return {
        part.images.name(index): source.classes[target]
        for part in source.parts.values()
        for index, target in enumerate(part.targets)
    }


def test_decisions_leave_images_out_and_give_them_another_class(photos: Path, tmp_path: Path) -> None:
    file = decide(
        tmp_path / "fix.csv", {"red/0.jpg": "drop", "./red/1.png": "class:blue", "blue/2.jpg": "keep", "blue/3.png": ""}
    )
    before, after = answers(read_folders(photos)), with_fix_list(read_folders(photos), file)
    del before["red/0.jpg"]
    assert answers(after) == before | {"red/1.png": "blue"}
    assert after.notes == ("Fix list: 1 image left out, 1 with another class.",)
    scanned = scan_images(after)
    assert answers(scanned) == answers(after)
    assert scanned.parts["train"].images.read(0).size == (40, 40)


def test_a_broken_image_that_is_dropped_stops_no_training(photos: Path, tmp_path: Path) -> None:
    (photos / "red" / "0.jpg").write_bytes(b"no image")
    source = with_fix_list(read_folders(photos), decide(tmp_path / "fix.csv", {"red/0.jpg": "drop"}))
    assert len(scan_images(source).parts["train"]) == 19


def test_a_list_that_was_written_is_read_back_whatever_the_names(photos: Path, tmp_path: Path) -> None:
    """Seen to fail with a carriage return in a name."""
    names = ["=cmd('x').jpg", "-1.jpg", 'a,"b".jpg', "ä\nb.jpg", "a\rb.jpg", os.fsdecode(b"\xff.jpg")]
    for name in names:
        (photos / "red" / "0.jpg").with_name(name).write_bytes((photos / "red" / "0.jpg").read_bytes())
        (photos / name).write_bytes(b"")
    source = read_folders(photos)
    images = [name for name in answers(source) if Path(name).name in names]
    file = tmp_path / "fix.csv"
    write_fix_list(file, [FixRow(image, "red", "duplicate", "=other.jpg", "drop") for image in images])
    content = file.read_bytes()
    assert content.startswith(codecs.BOM_UTF8), "else Excel takes it for Latin-1: seen to fail"
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["other"], row["suggestion"], row["decision"]) for row in rows] == [("./=other.jpg", "drop", "")] * 6
    assert len(answers(with_fix_list(source, str(file)))) == 26, "nothing is decided yet"
    file.write_bytes(content.replace(b",drop,", b",drop,drop"))
    assert len(answers(with_fix_list(source, str(file)))) == 20


def test_images_in_arrays_and_tables_are_decided_on_by_their_names(tmp_path: Path) -> None:
    file = decide(tmp_path / "fix.csv", {"train/7": "drop", "val/3": "class:Bag"})
    source = with_fix_list(fashion_small(), file)
    assert [len(part) for part in source.parts.values()] == [999, 500]
    assert answers(source)["val/3"] == "Bag"
    assert "train/7" not in answers(source)
    table = make_table(tmp_path / "photos", "path,tags", lambda kind, number: f"{kind}|any", count=3)
    labelled = with_fix_list(read_table(table), decide(tmp_path / "tags.csv", {"blue/0.jpg": "drop"}))
    assert labelled.parts["train"].targets.shape[0] == 5
    with pytest.raises(DataError, match="line 2: the images have no classes .multilabel.; a decision is keep or drop"):
        with_fix_list(read_table(table), decide(tmp_path / "wrong.csv", {"blue/0.jpg": "class:blue"}))


@pytest.mark.parametrize(
    ("decisions", "reason"),
    [
        (
            {"red/0.jpg": "blue"},
            "line 2: a decision is keep, drop or class:NAME, got 'blue'. For the class: class:blue",
        ),
        ({"red/0.jpg": "class:bleu"}, "line 2: there is no class 'bleu' in .*. Did you mean 'blue'"),
        ({"red/99.jpg": "drop"}, "there is no image 'red/99.jpg' in .*: the list is of other data"),
        ({"red/0.jpg": "drop", "red/../red/0.jpg": "keep"}, "line 3: .* is also decided as 'drop' further up"),
        ({f"red/{n}.{'png' if n % 2 else 'jpg'}": "drop" for n in range(10)}, "leaves no image of the class 'red'"),
    ],
)
def test_a_decision_that_cannot_be_followed_is_named_with_its_line(
    photos: Path, tmp_path: Path, decisions: dict[str, str], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        with_fix_list(read_folders(photos), decide(tmp_path / "fix.csv", decisions))


def test_a_file_that_is_no_fix_list_is_refused(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("path,kind\na.jpg,red\n")
    with pytest.raises(DataError, match="other.csv has no column 'decision'. `zoo check DATA --fix-list FILE`"):
        with_fix_list(read_folders(photos), str(tmp_path / "other.csv"))
    with pytest.raises(
        UsageError, match="there is no file '?absent.csv'?. `zoo check DATA --fix-list FILE` writes a fix"
    ):
        with_fix_list(read_folders(photos), "absent.csv")
    with pytest.raises(UsageError, match="other.csv exists already. Give another --fix-list, or remove it"):
        check_fix_list_target(tmp_path / "other.csv")
    with pytest.raises(UsageError, match="'list.txt' does not end in .csv"):
        check_fix_list_target(tmp_path / "list.txt")


def test_a_training_follows_the_list_and_is_measured_as_it_was(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    decide(Path("fix.csv"), {"red/0.jpg": "drop", "red/1.png": "class:blue"})
    config = FinetuneConfig(backbone="lenet5", data="photos", fix_list="fix.csv", epochs=1, out="run", device="cpu")
    result = zoo_core.finetune(config, catalog=catalog)
    facts = read_facts(Path("run"))
    assert (sum(facts.data.images.values()), facts.config.fix_list) == (19, str(tmp_path / "fix.csv"))
    assert "Fix list: 1 image left out, 1 with another class." in facts.data.findings
    monkeypatch.chdir(photos)
    assert zoo_core.evaluate_run(result.directory.name and tmp_path / "run", catalog=catalog).evaluation.images == 4
    other = replace(config, fix_list="none", out=str(tmp_path / "other"), data=str(photos))
    assert sum(read_facts(zoo_core.finetune(other, catalog=catalog).directory).data.images.values()) == 20


@pytest.fixture
def trained(photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of 19 photos and one that cannot be read, which its fix list leaves out beside another."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (photos / "red" / "0.jpg").write_bytes(b"no image")
    decide(Path("fix.csv"), {"red/0.jpg": "drop", "red/1.png": "drop"})
    config = FinetuneConfig(backbone="lenet5", data="photos", fix_list="fix.csv", epochs=1, out="run", device="cpu")
    return zoo_core.finetune(config, catalog=catalog).directory


def test_after_other_decisions_the_fix_list_is_named(trained: Path, tmp_path: Path, catalog: Catalog) -> None:
    """Seen to fail: the images were blamed alone, and the next step ended in an error."""
    decide(Path("fix.csv"), {"red/0.jpg": "drop", "red/1.png": "class:blue", "blue/0.jpg": "drop"})
    changed = f"files, classes or the decisions in {tmp_path / 'fix.csv'} have changed"
    again = f"`zoo evaluate {trained} --data {tmp_path / 'photos'} --bad-images skip`"
    with pytest.raises(DataError) as caught:
        zoo_core.evaluate_run(trained, catalog=catalog)
    assert (
        f"{changed} since. Put the decisions back as they were, or measure all that can be read with {again},"
        in str(caught.value)
    )
    assert (
        zoo_core.evaluate_run(trained, data=tmp_path / "photos", bad_images="skip", catalog=catalog).evaluation.images
        == 19
    )
    with pytest.raises(DataError, match=re.escape(f"the run was trained on: {changed} since.")):
        training_images(trained, read_facts(trained), catalog)
    with pytest.raises(ZooError, match=re.escape(f"  so {changed}\nPut them back")):
        zoo_core.resume(trained, more_epochs=1, catalog=catalog)
    decide(Path("fix.csv"), {"red/0.jpg": "drop", "red/1.png": "drop"})
    assert zoo_core.evaluate_run(trained, catalog=catalog).evaluation.images == 4


def test_a_run_without_its_fix_list_asks_for_it(trained: Path, catalog: Catalog) -> None:
    Path("fix.csv").unlink()
    with pytest.raises(
        UsageError, match="there is no file .*fix.csv.* A run that followed one needs it back in its place"
    ):
        zoo_core.evaluate_run(trained, catalog=catalog)


def test_a_run_that_left_images_out_is_measured_by_the_step_that_an_error_suggests(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: the suggested step stopped at the image that the run had left out."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (photos / "red" / "0.jpg").write_bytes(b"no image")
    config = FinetuneConfig(
        backbone="lenet5", data=str(photos), bad_images="skip", epochs=1, out=str(tmp_path / "run"), device="cpu"
    )
    run = zoo_core.finetune(config, catalog=catalog).directory
    (photos / "red" / "1.png").unlink()
    with pytest.raises(
        DataError, match=f"Measure all that can be read with `(zoo evaluate {run} --data {photos} .*)`"
    ) as caught:
        zoo_core.evaluate_run(run, catalog=catalog)
    arguments = str(caught.value).split("`")[1].split()[2:]
    assert arguments == [str(run), "--data", str(photos), "--bad-images", "skip"]
    assert zoo_core.evaluate_run(run, data=photos, bad_images="skip", catalog=catalog).evaluation.images == 18
