"""Folders of classes as people have them (rows 27 to 29 of docs/reliability.md).

Seen to fail without their guards: without _is_system '.git' was a class; without check_classes twins were two classes
and names with line breaks and escape codes reached the screen; without the check of kinds the pipe hung the scan;
without the refusal of a link that leads back, all images stood under two classes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from helpers import make_photos
from zoo_core.data import classes as class_rules
from zoo_core.data import folders
from zoo_core.data.bundled import fashion_small
from zoo_core.data.findings import findings
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import scan_images
from zoo_core.errors import DataError, UsageError
from zoo_core.installing import install_hint


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


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("TrainData", "TestData"),
        ("train-images", "test-images"),
        ("train2017", "test2017"),
        ("trainset", "testset"),
        ("archive/Train", "archive/Test"),
    ],
)
def test_parts_under_other_names_are_parts(tmp_path: Path, train: str, test: str) -> None:
    """Seen to fail: two classes, Training and Testing, were trained without a word."""
    for part, count in ((train, 4), (test, 2)):
        make_photos(tmp_path / part, count=count)
    source = read_folders(tmp_path)
    assert source.classes == ("blue", "red")
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 8, "test": 4}
    assert source.notes == ()


@pytest.mark.parametrize(
    ("folder", "part"),
    [("dev", "val"), ("eval", "val"), ("valid_set", "val"), ("testing", "test"), ("Test Images", "test")],
)
def test_parts_beside_train_may_have_other_names(tmp_path: Path, folder: str, part: str) -> None:
    make_photos(tmp_path / "train", count=3)
    make_photos(tmp_path / folder, count=2)
    assert {name: len(one) for name, one in read_folders(tmp_path).parts.items()} == {"train": 6, part: 4}


def test_held_out_parts_without_a_train_folder_can_be_measured_on_but_not_trained_on(tmp_path: Path) -> None:
    """Seen to fail: val and test were two classes."""
    for part in ("val", "test"):
        make_photos(tmp_path / part, count=2)
    source = read_folders(tmp_path)
    assert (source.classes, set(source.parts)) == (("blue", "red"), {"val", "test"})
    with pytest.raises(DataError, match="has no training images, only val and test"):
        source.with_validation(share=0.5, seed=0)


def test_folders_that_hold_the_same_folders_are_noted(tmp_path: Path) -> None:
    for part in ("first", "second"):
        make_photos(tmp_path / part, count=2)
    source = read_folders(tmp_path)
    assert source.classes == ("first", "second")
    (note,) = source.notes
    assert note.startswith("Layout: the classes 'first', 'second' hold the same folders, 'blue', 'red'.")
    split = scan_images(source).with_validation(share=0.5, seed=0)
    assert findings(split)[0] == note


def test_a_class_of_trains_is_a_class(tmp_path: Path) -> None:
    """Seen to fail: "train has no class folder"."""
    assert read_folders(make_photos(tmp_path, classes=("bus", "train"), count=2)).classes == ("bus", "train")


@pytest.mark.parametrize("folder", ["cats/more", "cats"])
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Seen to fail: its images were missing without a word. Whoever is root may read everything, so os.scandir fails
    as it does for others."""
    make_photos(tmp_path, classes=("cats", "dogs"), count=3)
    make_photos(tmp_path / "cats", classes=("more",), count=3)
    scandir = os.scandir

    def refusing(path: Path | str | int) -> object:
        if not isinstance(path, int) and Path(path) == tmp_path / folder:  # a number: the folder is removed
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=f"the folder .*{folder} cannot be read: Permission denied. Make it readable"):
        read_folders(tmp_path)


def test_a_flat_test_folder_is_passed_over_and_counted(tmp_path: Path) -> None:
    """Seen to fail: the whole training was refused."""
    make_photos(tmp_path / "train", count=4)
    make_photos(tmp_path, classes=("test",), count=3)
    source = read_folders(tmp_path)
    assert set(source.parts) == {"train"}
    assert source.ignored == {"images in test, which has no class folders": 3}


def test_a_held_out_part_may_lack_classes(tmp_path: Path) -> None:
    """Seen to fail: a val folder with one of two classes was refused."""
    make_photos(tmp_path / "train", count=4)
    make_photos(tmp_path / "val", classes=("red",), count=3)
    source = read_folders(tmp_path)
    assert source.classes == ("blue", "red")
    assert source.parts["val"].targets.tolist() == [1, 1, 1]


def test_one_class_can_be_measured_on_but_not_trained_on(tmp_path: Path) -> None:
    source = read_folders(make_photos(tmp_path, classes=("one",)))
    assert source.classes == ("one",)
    with pytest.raises(DataError, match="has only the class 'one'. A training needs at least two."):
        source.with_validation(share=0.2, seed=0)


def test_a_class_of_files_that_are_not_read_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: the class of three photos was called empty."""
    monkeypatch.setattr(folders, "IMAGE_ENDINGS", folders.IMAGE_ENDINGS - {".heic"})
    make_photos(tmp_path, classes=("cats", "dogs"), count=3)
    for path in (tmp_path / "cats").iterdir():
        path.rename(path.with_suffix(".HEIC"))
    with pytest.raises(DataError) as caught:
        read_folders(tmp_path)
    assert "the class 'cats' has no images" in str(caught.value)
    heic = install_hint("zoo-core", extra="heic")
    assert f"it holds 3 *.heic, which need {heic}. Add images or remove the folder." in str(caught.value)


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".JPG", ".avif"])
def test_more_endings_are_images(tmp_path: Path, ending: str) -> None:
    make_photos(tmp_path, count=4)
    kind = "AVIF" if ending == ".avif" else "JPEG"
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red" / f"more{ending}", kind)
    source = scan_images(read_folders(tmp_path))
    assert (len(source.parts["train"]), source.ignored) == (9, {})


def test_names_that_were_unpacked_with_a_wrong_encoding_are_told(tmp_path: Path) -> None:
    name = "K\u00fcche".encode().decode("cp437")
    source = read_folders(make_photos(tmp_path, classes=(name, "B\u00e4der"), count=3))
    (note,) = source.notes
    assert note.startswith(f"Names: '{name}' is 'K\u00fcche' in the archive")


def test_names_of_an_archive_from_windows_are_named_with_a_way_out(tmp_path: Path) -> None:
    """Seen to fail: "has no class folder", and no word of the twelve images."""
    photos = make_photos(tmp_path / "photos", count=3)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photos.rglob("*.*"):
        path.rename(flat / f"photos\\{path.parent.name}\\{path.name}")
    with pytest.raises(DataError, match="has no class folder; it holds 6 names with a backslash. .* with `unzip`"):
        read_folders(flat)


def test_more_classes_than_a_model_may_have_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_rules, "MAX_OUTPUTS", 1)
    with pytest.raises(DataError, match="has 2 classes; zoo takes 1 at most"):
        read_folders(make_photos(tmp_path, count=1))


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
        (
            os.fsdecode(b"K\x81che"),
            "name is not valid UTF-8; if it comes from an archive of Windows, it is 'K\u00fcche'",
        ),
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
