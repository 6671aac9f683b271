"""Folders of classes as people have them (rows 27 to 29 of docs/reliability.md).

Seen to fail without their guards: without _is_system '.git' was a class; without check_classes twins were two classes
and names with line breaks and escape codes reached the screen; without the check of kinds the pipe hung the scan;
without the refusal of a link that leads back, all images stood under two classes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers import make_photos
from zoo_core.data.bundled import fashion_small
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import scan_images
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
    assert len(source.parts["train"]) == 20
    assert source.ignored == {"folder .git": 1, "folder __MACOSX": 1, "._*": 1, "*.txt": 1}


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


def test_everything_that_is_passed_over_is_counted_by_kind(photos: Path) -> None:
    for name in (".git/objects", "red/.cache", "__MACOSX/red"):
        (photos / name).mkdir(parents=True)
    for name in (
        "Thumbs.db",
        "red/Thumbs.db",
        "red/.DS_Store",
        "labels.csv",
        "red/a.TXT",
        "red/LICENSE",
        "red/._1.png",
    ):
        (photos / name).write_bytes(b"x")
    os.mkfifo(photos / "red" / "pipe.png")
    assert read_folders(photos).ignored == {
        "folder .git": 1,
        "folder .cache": 1,
        "folder __MACOSX": 1,
        "Thumbs.db": 2,
        ".DS_Store": 1,
        "*.csv": 1,
        "*.txt": 1,
        "without an ending": 1,
        "._*": 1,
        "special file": 1,
    }


def test_a_folder_beside_the_parts_is_passed_over_and_told(tmp_path: Path) -> None:
    for part in ("train", "vall"):
        make_photos(tmp_path / part, count=2)
    source = read_folders(tmp_path)
    assert (set(source.parts), source.ignored) == ({"train"}, {"folder vall": 1})


def test_parts_may_be_written_large_but_not_twice(tmp_path: Path) -> None:
    for part in ("Train", "VAL"):
        make_photos(tmp_path / part, count=2)
    assert set(read_folders(tmp_path).parts) == {"train", "val"}
    make_photos(tmp_path / "valid", count=2)
    with pytest.raises(DataError, match="has 'VAL' and 'valid', which are one part. Merge them."):
        read_folders(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\nb", "the class 'a\\nb', whose name holds a control character or a line break. Rename it."),
        ("a\x1b[31mb", "'a\\x1b[31mb', whose name holds a control character"),
        ("a\u2028b", "'a\\u2028b', whose name holds a control character or a line break"),
        ("abc\u202etxt", "'abc\\u202etxt', whose name holds characters that turn the direction of writing"),
        (" a", "' a', whose name begins or ends with a space"),
        ("a\u00a0", "'a\\xa0', whose name begins or ends with a space"),
        (" ", "' ', whose name is empty"),
        ("a" * 201, "whose name has more than 200 characters"),
        (os.fsdecode(b"caf\xe9"), "'caf\\udce9', whose name is not valid UTF-8"),
    ],
)
def test_a_name_that_can_be_no_class_is_refused_and_shown_escaped(tmp_path: Path, name: str, message: str) -> None:
    make_photos(tmp_path / "data", classes=("good", name), count=1)
    with pytest.raises(DataError) as caught:
        read_folders(tmp_path / "data")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name",
    ["a..", "a\\..\\b", "~", "-rf", "$HOME", "`id`", "a;b", "猫", "👩‍🚀", "שלום", "a b", "[red]", "{{x}}", "*"],
)
def test_a_name_that_is_only_odd_is_a_class(tmp_path: Path, name: str) -> None:
    make_photos(tmp_path, classes=("good", name), count=1)
    assert set(read_folders(tmp_path).classes) == {"good", name}


@pytest.mark.parametrize("twins", [("ﬀ", "FF"), ("straße", "STRASSE"), ("Å", "A\u030a"), ("é", "E\u0301")])
def test_names_that_read_the_same_are_twins(tmp_path: Path, twins: tuple[str, str]) -> None:
    make_photos(tmp_path, classes=twins, count=1)
    with pytest.raises(DataError, match="which read the same. Rename or merge one."):
        read_folders(tmp_path)


def test_a_link_to_an_image_or_a_class_is_followed_wherever_it_leads(tmp_path: Path) -> None:
    store = make_photos(tmp_path / "store", count=4)
    (tmp_path / "data" / "red").mkdir(parents=True)
    (tmp_path / "data" / "red" / "a.png").symlink_to(store / "red" / "1.png")
    (tmp_path / "data" / "blue").symlink_to(store / "blue")
    source = scan_images(read_folders(tmp_path / "data"))
    assert (source.classes, len(source.parts["train"]), source.ignored) == (("blue", "red"), 5, {})


def test_a_link_to_a_folder_below_a_class_is_passed_over_so_nothing_goes_in_circles(photos: Path) -> None:
    (photos / "red" / "again").symlink_to(photos / "red")
    (photos / "red" / "self").symlink_to("self")
    (photos / "self").symlink_to("self")
    source = read_folders(photos)
    assert len(source.parts["train"]) == 20
    assert source.ignored == {"link to a folder": 1, "without an ending": 2}


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_class_that_is_a_link_back_to_its_own_data_is_refused(photos: Path, target: str) -> None:
    (photos / "loop").symlink_to(target)
    with pytest.raises(DataError, match="the class 'loop' is a link that leads back to"):
        read_folders(photos)


def test_file_names_that_are_no_text_are_read(photos: Path) -> None:
    (photos / "red" / "1.png").rename(os.fsdecode(bytes(photos / "red") + b"/caf\xe9\n.png"))
    split = scan_images(read_folders(photos)).with_validation(share=0.3, seed=0)
    assert sum(len(part) for part in split.parts.values()) == 20


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
