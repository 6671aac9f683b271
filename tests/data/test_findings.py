"""What is told of images that make a figure less than it seems. Each was seen to be silent without its finding."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers import make_photos
from zoo_core.data.bundled import fashion_small
from zoo_core.data.findings import findings, without_examples
from zoo_core.data.folders import read_folders


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Train and val folders; one generator seeded alike tints them, so the second gets noise of its own."""
    make_photos(tmp_path / "train", count=6)
    make_photos(tmp_path / "val", count=2, size=41)
    return tmp_path


def test_clean_images_are_not_spoken_of(parts: Path) -> None:
    assert findings(read_folders(parts)) == ()


def test_the_bundled_images_are_clean() -> None:
    assert findings(fashion_small()) == ()


def test_an_image_of_the_training_in_another_part_is_leakage(parts: Path) -> None:
    for number in range(3):
        shutil.copy(
            parts / "train" / "red" / f"{number}.{'png' if number % 2 else 'jpg'}",
            parts / "val" / "red" / f"x{number}.jpg",
        )
    (told,) = findings(read_folders(parts))
    assert told == (
        "Leakage: 3 of the 7 val images are also training images; the val accuracy is too good, "
        "for example val/red/x0.jpg is train/red/0.jpg and val/red/x1.jpg is train/red/1.png."
    )
    assert without_examples(told) == (
        "Leakage: 3 of the 7 val images are also training images; the val accuracy is too good."
    )


def test_a_test_image_that_chooses_the_best_epoch_is_leakage(parts: Path) -> None:
    make_photos(parts / "test", count=2, size=42)
    shutil.copy(parts / "val" / "red" / "0.jpg", parts / "test" / "red" / "x.jpg")
    (told,) = findings(read_folders(parts))
    assert told.startswith(
        "Leakage: 1 of the 5 test images are also validation images, which choose the best epoch; the test accuracy is"
    )


def test_a_copy_that_an_earlier_split_put_on_the_other_side_is_leakage_too(photos: Path) -> None:
    for path in list((photos / "red").iterdir()):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    (told,) = findings(read_folders(photos).with_validation(share=0.3, seed=0, kind="stratified"))
    assert told.startswith("Leakage: ")


def test_an_image_under_two_classes_is_a_contradiction(parts: Path) -> None:
    shutil.copy(parts / "train" / "red" / "1.png", parts / "train" / "blue" / "own.png")
    (told,) = findings(read_folders(parts))
    assert told == (
        "Contradiction: 1 training image stands under more than one class, "
        "for example train/blue/own.png is train/red/1.png."
    )


def test_a_copy_within_a_class_is_no_contradiction(parts: Path) -> None:
    shutil.copy(parts / "train" / "red" / "1.png", parts / "train" / "red" / "own.png")
    assert findings(read_folders(parts)) == ()


@pytest.mark.parametrize(("extra", "told"), [(14, False), (15, True)])
def test_classes_of_very_unequal_size_are_told_with_the_numbers(tmp_path: Path, extra: int, told: bool) -> None:
    make_photos(tmp_path / "train", count=2, size=8)
    make_photos(tmp_path / "more", classes=("red",), count=extra + 4, size=9)
    for path in (tmp_path / "more" / "red").iterdir():
        path.rename(tmp_path / "train" / "red" / f"more-{path.name}")
    make_photos(tmp_path / "val", count=1, size=10)
    shutil.rmtree(tmp_path / "more")
    found = findings(read_folders(tmp_path))
    assert found == (
        ("Imbalance: 'red' has 21 training images and 'blue' has 2. The accuracy says little of small classes; "
         "look at each one's share.",) if told else ()
    )  # fmt: skip


def test_names_in_a_finding_cannot_steer_a_terminal(parts: Path) -> None:
    shutil.copy(parts / "train" / "red" / "1.png", parts / "val" / "red" / "\x1b[2J\u202e.png")
    (told,) = findings(read_folders(parts))
    assert told.isprintable()
