"""Groups of images: no group is in two parts, whoever deals them, and each class stays as even as they allow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import zoo_core
from helpers import make_photos, make_table
from zoo_core.catalog import Catalog
from zoo_core.checking.check import _pair_suspects
from zoo_core.checking.duplicates import Pair
from zoo_core.checking.images import ImageList
from zoo_core.checking.labels import grouped_folds
from zoo_core.checking.report import GROUP_LEAK, NEAR_DUPLICATE, TWO_GROUPS
from zoo_core.cli.main import zoo as command
from zoo_core.data.arrange import arranged, fold_numbers
from zoo_core.data.dealing import Groups
from zoo_core.data.findings import findings
from zoo_core.data.folders import read_folders
from zoo_core.data.groups import with_groups
from zoo_core.data.parts import EarlierSplit
from zoo_core.data.sources import Part, Source
from zoo_core.data.tables import read_table
from zoo_core.errors import DataError, UsageError
from zoo_core.model.solvers import stratified_folds
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import read_facts, read_result, read_run
from zoo_core.settings import FinetuneConfig
from zoo_core.training.lr_trials import _held_out
from zoo_core.training.planning import plan_for_images

PATIENTS = np.array([0] * 30 + [1] * 20 + list(range(2, 27)) * 4)  # two large ones, and 25 of four images
CLASSES = np.random.default_rng(1).integers(0, 3, len(PATIENTS))


def table(folder: Path, *, part: Callable[[int], str] = lambda number: "train", target: str = "kind") -> Source:
    """24 photos of two classes, of 8 patients: each has photos of both."""
    value = {"kind": lambda kind: kind, "age": lambda kind: "1.5" if kind == "red" else "2.5"}[target]
    return read_table(
        make_table(
            folder,
            f"path,{target},part,group",
            lambda kind, number: f"{value(kind)},{part(number)},patient {number % 8}",
        )
    )


def settings(**given: object) -> FinetuneConfig:
    return FinetuneConfig(backbone="x", **given)  # type: ignore[arg-type]


def names(part: Part) -> set[str]:
    return {part.images.name(index) for index in range(len(part))}


def assert_apart(source: Source) -> None:
    groups = [set(part.groups or ()) for part in source.parts.values()]
    assert all(groups)
    assert len(set.union(*groups)) == sum(map(len, groups)), groups


def _folds(numbers: np.ndarray) -> list[np.ndarray]:
    return [numbers == number for number in np.unique(numbers)]


DEALERS: dict[str, Callable[[int], list[np.ndarray]]] = {
    "a validation share": lambda seed: [
        ~_patients().held_out(0.25, seed)[PATIENTS],
        _patients().held_out(0.25, seed)[PATIENTS],
    ],
    "folds": lambda seed: _folds(_patients().dealt([1 / 4] * 4, seed)[PATIENTS]),
    "a share of the images": lambda seed: [
        _patients().share(0.25, seed)[PATIENTS],
        ~_patients().share(0.25, seed)[PATIENTS],
    ],
    "trials of rates": lambda seed: [
        np.isin(np.arange(len(PATIENTS)), own) for own in _held_out(len(PATIENTS), seed, list(map(str, PATIENTS)))
    ],
    "a penalty": lambda seed: _folds(stratified_folds(torch.from_numpy(CLASSES), 3, seed, PATIENTS).numpy()),
    "doubtful labels": lambda seed: _folds(grouped_folds(CLASSES, PATIENTS, 3)),
}


def _patients() -> Groups:
    return Groups(PATIENTS, [(label,) for label in CLASSES.tolist()])


@pytest.mark.parametrize("dealer", DEALERS)
def test_no_group_is_parted_whoever_deals(dealer: str) -> None:
    parts = DEALERS[dealer](0)
    groups = [set(PATIENTS[part].tolist()) for part in parts]
    assert len(groups) > 1
    assert sum(map(len, groups)) == len(set.union(*groups)) == 27
    again, other = DEALERS[dealer](0), DEALERS[dealer](1)
    assert all(np.array_equal(one, two) for one, two in zip(parts, again, strict=True))
    assert dealer == "doubtful labels" or not np.array_equal(parts[0], other[0])


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_as_even_as_groups_allow(seed: int) -> None:
    held = _patients().held_out(0.2, seed)[PATIENTS]
    of_class = np.bincount(CLASSES[held], minlength=3) / np.bincount(CLASSES)
    assert np.abs(of_class - 0.2).max() < 0.05, of_class
    folds = _patients().dealt([1 / 5] * 5, seed)[PATIENTS]
    for fold in range(5):
        shares = np.bincount(CLASSES[folds == fold], minlength=3) / np.bincount(CLASSES)
        assert np.abs(shares - 0.2).max() < 0.09, (fold, shares)


def test_a_class_in_few_groups_is_trained_first_and_measured_where_it_can_be() -> None:
    classes = [(0,)] * 20 + [(1,), (1,), (2,)]
    groups = Groups(np.array([*range(10), *range(10), 10, 11, 12]), classes)
    for seed in range(10):
        held = groups.held_out(0.1, seed)
        assert sorted(held[[10, 11]]) == [False, True]  # of two groups one trains and one measures
        assert not held[12]


def test_a_smaller_share_of_the_groups_is_part_of_a_larger_one_and_has_every_class() -> None:
    for seed in range(5):
        shares = [_patients().share(share, seed) for share in (0.001, 0.1, 0.3, 0.7)]
        for smaller, larger in pairwise(shares):
            assert (smaller <= larger).all()
            assert smaller.sum() < larger.sum()
        assert set(CLASSES[shares[0][PATIENTS]]) == {0, 1, 2}
        assert 0.2 < shares[2][PATIENTS].mean() < 0.5


@pytest.mark.parametrize("target", ["kind", "age"])
@pytest.mark.parametrize("asked", [{}, {"fold": "2/3"}, {"train_share": 0.4}, {"fold": "1/4", "train_share": 0.5}])
def test_the_parts_of_a_run_hold_whole_groups(tmp_path: Path, target: str, asked: dict[str, object]) -> None:
    source = table(tmp_path / "photos", target=target)
    assert source.classes == (("blue", "red") if target == "kind" else ("age",))
    parted = arranged(source, settings(**asked))
    assert_apart(parted)
    assert parted.split["kind"] == "grouped"
    assert arranged(source, settings(**asked)).parts["val"].digest() == parted.parts["val"].digest()
    splits = {arranged(source, settings(seed=seed, **asked)).parts["val"].digest() for seed in range(8)}
    assert len(splits) > 1


def test_copies_in_two_groups_make_them_one(tmp_path: Path) -> None:
    source = table(tmp_path / "photos")
    twin = tmp_path / "photos" / "red"
    (twin / "3.png").write_bytes((twin / "5.png").read_bytes())
    part = read_table(tmp_path / "photos" / "photos.csv").parts["train"]
    for seed in range(6):
        folds = fold_numbers(part, 4, seed, by_class=True)
        assert len({int(fold) for fold, group in zip(folds, part.groups or (), strict=True) if group[-1] in "35"}) == 1
    assert len(set(fold_numbers(source.parts["train"], 7, 0, by_class=True).tolist())) == 7
    with pytest.raises(DataError, match="7 groups are too few for 8 folds"):
        fold_numbers(part, 8, 0, by_class=True)


def test_a_given_split_that_parts_a_group_is_refused_with_the_groups(tmp_path: Path) -> None:
    source = table(tmp_path / "photos", part=lambda number: "val" if number > 9 else "train")
    with pytest.raises(
        DataError, match=r"2 groups are in two parts.*'patient 2' has 2 train and 2 val images.*--group-by none"
    ):
        arranged(source, settings())
    assert arranged(with_groups(source, "none"), settings(group_by="none")).split == {"kind": "given"}
    assert_apart(arranged(source, settings(fold="1/4")))  # its own parts are pooled first


def test_a_run_that_knew_no_groups_is_split_as_it_was(tmp_path: Path) -> None:
    source = table(tmp_path / "photos")
    before = arranged(with_groups(source, "none"), settings())
    again = arranged(source, settings(), EarlierSplit("stratified", is_grouped=False))
    assert [part.digest() for part in again.parts.values()] == [part.digest() for part in before.parts.values()]


def test_paths_name_groups_by_an_expression_or_by_their_folder(tmp_path: Path) -> None:
    for film in range(5):  # of a size each: equal photos would be one group
        made = make_photos(tmp_path / f"made {film}", count=2, size=24 + film)
        for kind in ("blue", "red"):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            (made / kind).rename(tmp_path / "data" / kind / f"film_{film}")
    source = read_folders(tmp_path / "data")
    for group_by, example in (("parent-folder", "film_0"), (r"film_(\d)", "0"), (r"film_\d", "film_0")):
        grouped = with_groups(source, group_by)
        assert Counter(grouped.parts["train"].groups or ())[example] == 4
        assert_apart(arranged(grouped, settings()))
    with pytest.raises(
        DataError, match=r"no group for 16 images.*blue/film_1/0.jpg.* and 13 more.*Every image needs a group"
    ):
        with_groups(source, "film_(0)")
    with pytest.raises(UsageError, match=r"regular expression, and 'film_\(' is none"):
        with_groups(source, "film_(")
    classes = with_groups(source, "(blue|red)")
    with pytest.raises(DataError, match=r"of 2 groups each has the only images of a class, for example 'blue'"):
        arranged(classes, settings())


def test_an_image_without_a_group_and_a_column_that_is_the_target_are_told_apart(tmp_path: Path) -> None:
    file = make_table(
        tmp_path / "photos", "path,kind,group", lambda kind, number: f"{kind},{'' if number == 3 else 'a'}"
    )
    holed = read_table(file)
    told = r"column 'group' \(--group-by none passes over it\) is empty for 2 images: blue/3.png, red/3.png"
    with pytest.raises(DataError, match=told):
        arranged(holed, settings())
    before = arranged(with_groups(holed, "none"), settings(group_by="none"))
    again = arranged(holed, settings(), EarlierSplit("stratified", is_grouped=False))  # a run of zoo 0.2
    assert [part.digest() for part in again.parts.values()] == [part.digest() for part in before.parts.values()]
    alone = read_table(make_table(tmp_path / "other", "path,group", lambda kind, number: kind))
    assert (alone.classes, alone.parts["train"].groups) == (("blue", "red"), None)
    person, label = (
        make_table(tmp_path / name, f"path,{name},group", lambda kind, number: f"{number % 2},{number // 6}")
        for name in ("person", "label")
    )
    labels = read_table(person)  # as zoo 0.2 read it
    assert (labels.task, labels.classes, labels.parts["train"].groups) == ("multilabel", ("person", "group"), None)
    classes = read_table(label, "classification")
    assert set(classes.parts["train"].groups or ()) == {"0", "1"}


def test_a_class_of_one_group_trains_and_the_run_says_that_it_is_not_measured(tmp_path: Path) -> None:
    file = make_table(
        tmp_path / "photos", "path,kind,group", lambda kind, number: f"{kind},{kind if kind == 'red' else number // 3}"
    )
    parted = arranged(read_table(file), settings())
    assert any("no val image has the class 'red'" in finding for finding in findings(parted))
    with pytest.raises(
        DataError, match="the class 'red' has no image to train on: all of them are held out.*--group-by"
    ):
        [arranged(read_table(file), settings(fold=f"{number}/5")) for number in range(1, 6)]


def test_the_same_photo_in_two_groups_is_found(tmp_path: Path) -> None:
    images = ImageList(table(tmp_path / "photos"))
    found = _pair_suspects(images, [Pair(0, 1, 0.9, False), Pair(0, 8, 0.9, False)])
    assert [one.detail for one in found[TWO_GROUPS]] == ["match 0.90 with blue/1.png (group 'patient 1')"]
    assert [one.other for one in found[NEAR_DUPLICATE]] == [8]


def test_a_run_says_its_groups_everywhere_and_check_finds_those_in_two_parts(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    table(tmp_path / "photos")
    file, run = tmp_path / "photos" / "photos.csv", tmp_path / "run"
    words = ["finetune", "--backbone", "lenet5", "--data", file, "--epochs", 1, "--out", run, "--json"]
    answer = CliRunner().invoke(command, list(map(str, words)))
    groups = json.loads(answer.stdout)["groups"]
    assert sum(groups.values()) == 8
    assert set(groups) == {"train", "val"}
    told = f"8 by the column 'group', none of them in two parts: {groups['train']} train"
    assert told in " ".join(answer.stderr.split())
    assert told in (run / "README.md").read_text()
    assert "Intervals and tests go by whole groups" in " ".join((run / "README.md").read_text().split())
    result = json.loads(answer.stdout)["result"]
    assert result["groups"] == groups["val"]
    assert " of 4 in 1 group; 95 % interval 0.0 to 100.0 %)" in " ".join(answer.stderr.split())
    assert result["interval"] == [0, 1]
    facts = read_facts(run)
    assert facts.data.groups == groups
    assert facts.config.group_by == "column"
    evaluated = zoo_core.evaluate_run(run, catalog=catalog)
    assert evaluated.part == "val"
    assert evaluated.evaluation.score_interval == pytest.approx(result["interval"])
    assert f"({result['correct']} of 4 images in 1 group; 95 % confidence" in (run / "README.md").read_text()
    before = {name: value for name, value in read_result(read_run(run)).items() if name != "groups"}
    assert "Its interval counts each image for itself" in " ".join(render_card(facts, before).split())
    by_number = FinetuneConfig(backbone="lenet5", data=str(file), group_by=r"/(\d+)")
    assert sum((plan_for_images(by_number, catalog).groups or {}).values()) == 12
    table(tmp_path / "parted", part=lambda number: "val" if number > 9 else "train")
    for group_by, details in (("column", ["group 'patient 2' has 2 train and 2 val images"]), ("none", [])):
        report = zoo_core.check_data(
            str(tmp_path / "parted" / "photos.csv"), backbone="none", group_by=group_by, catalog=catalog
        )
        found = [one.suspects for one in report.findings if one.kind is GROUP_LEAK]
        assert [suspects[0].detail for suspects in found] == details
        assert bool(report.count("error")) == bool(details)
