"""Folds and shares of the training images: each image once, copies together, small shares within larger ones."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from helpers import make_photos, make_table
from zoo_core.data.arrange import arranged, fold_numbers, parse_fold
from zoo_core.data.bundled import fashion_small
from zoo_core.data.folders import read_folders
from zoo_core.data.sources import Part, Source
from zoo_core.data.tables import read_table
from zoo_core.errors import DataError, UsageError
from zoo_core.settings import FinetuneConfig


def names(part: Part) -> set[str]:
    return {part.images.name(index) for index in range(len(part))}


def in_fold(source: Source, fold: str, **settings: object) -> Source:
    return arranged(source, FinetuneConfig(backbone="x", fold=fold, **settings))  # type: ignore[arg-type]


def test_folds_hold_every_image_out_once_and_as_many_of_each_class(tmp_path: Path) -> None:
    source = read_folders(make_photos(tmp_path / "photos", count=11))
    folds = [in_fold(source, f"{number}/3") for number in (1, 2, 3)]
    held_out = [names(fold.parts["test"]) for fold in folds]
    assert set.union(*held_out) == names(source.parts["train"])
    assert sorted(map(len, held_out)) == [7, 7, 8]
    for fold in folds:
        assert not names(fold.parts["test"]) & (names(fold.parts["train"]) | names(fold.parts["val"]))
        assert all(count in (3, 4) for count in Counter(fold.parts["test"].targets.tolist()).values())
    assert names(in_fold(source, "1/3", seed=1).parts["test"]) != held_out[0]


def test_the_validation_part_joins_the_folds_and_the_test_part_stays_apart(tmp_path: Path) -> None:
    for name in ("train", "val", "test"):
        make_photos(tmp_path / name, count=6)
    source = read_folders(tmp_path)
    folds = [in_fold(source, f"{number}/4", val_share=0.3) for number in range(1, 5)]
    measured = set.union(*(names(fold.parts["test"]) for fold in folds))
    assert measured == names(source.parts["train"]) | names(source.parts["val"])
    pixels = [fold.parts["test"].images.read(0).size for fold in folds]
    assert pixels == [(40, 40)] * 4


def test_copies_of_an_image_are_in_one_fold(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", count=8)
    for number in range(8):
        shutil.copy(photos / "red" / f"{number}.{'png' if number % 2 else 'jpg'}", photos / "red" / f"again-{number}")
        (photos / "red" / f"again-{number}").rename(photos / "red" / f"again-{number}.{'png' if number % 2 else 'jpg'}")
    part = read_folders(photos).parts["train"]
    folds = fold_numbers(part, 4, 0, by_class=True)
    by_digest: dict[bytes, set[int]] = {}
    for index, fold in enumerate(folds.tolist()):
        by_digest.setdefault(part.images.digest(index), set()).add(fold)
    assert len(by_digest) == 16
    assert all(len(of_content) == 1 for of_content in by_digest.values())


def test_a_smaller_share_is_part_of_a_larger_one_and_holds_every_class() -> None:
    config = {"backbone": "x", "seed": 3}
    shares = [
        arranged(fashion_small(), FinetuneConfig(**config, train_share=share)) for share in (0.001, 0.05, 0.2, 1.0)
    ]
    parts = [source.parts["train"] for source in shares]
    assert [len(part) for part in parts] == [10, 50, 200, 1000]
    for smaller, larger in pairwise(parts):
        assert names(smaller) < names(larger)
        assert set(np.bincount(smaller.targets)) == {len(smaller) // 10}
    assert len({source.parts["val"].digest() for source in shares}) == 1
    other = arranged(fashion_small(), FinetuneConfig(backbone="x", seed=4, train_share=0.05))
    assert names(other.parts["train"]) != names(parts[1])


def test_numbers_have_folds_and_shares_too(tmp_path: Path) -> None:
    source = read_table(make_table(tmp_path / "photos", "path,age", lambda kind, number: f"{number}.5"))
    fold = in_fold(source, "2/4", train_share=0.5)
    assert (len(fold.parts["test"]), len(fold.parts["val"]), len(fold.parts["train"])) == (6, 4, 7)


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "a/b", "5", "", "1/5/2", "-1/5"])
def test_a_text_that_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--fold is a fold and their number, such as 2/5"):
        parse_fold(text)


def test_more_folds_than_images_are_refused(tmp_path: Path) -> None:
    source = read_folders(make_photos(tmp_path / "photos", count=3))
    with pytest.raises(DataError, match="6 different images are too few for 7 folds"):
        in_fold(source, "1/7")
