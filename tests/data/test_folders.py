from __future__ import annotations

from pathlib import Path

import pytest

from helpers import make_photos
from zoo_core.data.bundled import fashion_small
from zoo_core.data.folders import read_folders
from zoo_core.errors import DataError, UsageError


def test_one_folder_of_classes_is_split_by_class_and_seed(photos: Path) -> None:
    source = read_folders(photos)
    split = source.with_validation(share=0.3, seed=0)
    assert (source.classes, len(source.parts["train"])) == (("blue", "red"), 20)
    assert [(split.parts[name].targets == 0).sum() for name in ("train", "val")] == [7, 3]
    assert [(split.parts[name].targets == 1).sum() for name in ("train", "val")] == [7, 3]
    names = {
        part: {split.parts[part].images.name(i) for i in range(len(split.parts[part]))} for part in ("train", "val")
    }
    assert not names["train"] & names["val"]
    again, other = (source.with_validation(share=0.3, seed=seed).parts["val"].digest() for seed in (0, 1))
    assert split.parts["val"].digest() == again != other


def test_train_val_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("valid", 2), ("test", 3)):
        make_photos(tmp_path / part, count=count)
    source = read_folders(tmp_path).with_validation(share=0.5, seed=0)
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 8, "val": 4, "test": 6}
    assert source.split == {"kind": "given"}


def test_files_of_the_system_are_ignored_and_counted(photos: Path) -> None:
    for folder in (".git", "__MACOSX"):
        make_photos(photos / folder, count=1)
    (photos / "red" / "._1.png").write_bytes(b"x")
    (photos / "red" / "notes.txt").write_text("x")
    source = read_folders(photos)
    assert source.classes == ("blue", "red")
    assert (len(source.parts["train"]), source.ignored) == (20, 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda root: None, UsageError, "does not exist"),
        (lambda root: root.write_text("x"), UsageError, "is a file"),
        (lambda root: root.mkdir(), DataError, "no class folder"),
        (lambda root: make_photos(root, classes=("one",)), DataError, "only the class 'one'"),
        (lambda root: (make_photos(root) / "green").mkdir(), DataError, "the class 'green' has no images"),
        (lambda root: make_photos(root, classes=("cat", "Cat")), DataError, "'cat', which read the same"),
        (lambda root: make_photos(root, classes=("café", "cafe\u0301")), DataError, "which read the same"),
    ],
)
def test_a_folder_that_makes_no_sense_is_answered_clearly(tmp_path: Path, make, error: type, message: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(error) as caught:
        read_folders(tmp_path / "data")
    assert message in str(caught.value)
    assert str(tmp_path / "data") in str(caught.value)


def test_a_class_only_in_the_validation_part_is_refused(tmp_path: Path) -> None:
    make_photos(tmp_path / "train")
    make_photos(tmp_path / "val", classes=("blue", "green"))
    with pytest.raises(DataError, match="the class 'green', which the training images do not have"):
        read_folders(tmp_path)


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    source = read_folders(make_photos(tmp_path / "data", count=1))
    with pytest.raises(DataError, match="the class 'blue' has 1 image"):
        source.with_validation(share=0.2, seed=0)


def test_the_bundled_images_are_what_they_say() -> None:
    source = fashion_small()
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 1000, "val": 500}
    assert {(source.parts["train"].targets == label).sum() for label in range(10)} == {100}
    assert source.parts["val"].images.read(0).size == (28, 28)
