"""Copies of an image stay on one side of zoo's own split: no training sees an image that it is measured on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo_core
from zoo_core.catalog import Catalog
from zoo_core.data.findings import findings
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import Part, Source
from zoo_core.data.tables import read_table


def noise(folder: Path, contents: int, copies: int = 1, *, seed: int = 0) -> None:
    """Images of noise, each so many times under other names."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(contents):
        pixels = generator.integers(0, 256, (12, 12, 3), np.uint8)
        for copy in range(copies):
            Image.fromarray(pixels).save(folder / f"{number}-{copy}.png")


def contents(part: Part) -> set[bytes]:
    return {part.images.digest(index) for index in range(len(part))}


def is_apart(source: Source) -> bool:
    return not contents(source.parts["train"]) & contents(source.parts["val"])


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_on_one_side(seed: int, tmp_path: Path) -> None:
    """Seen to fail: 24 of 24 images to validate with were trained on, and a network told noise apart."""
    for number, name in enumerate("ab"):
        noise(tmp_path / name, 20, 3, seed=number)
    source = scan_images(read_folders(tmp_path))
    split = source.with_validation(share=0.2, seed=seed)
    assert is_apart(split)
    assert 12 <= len(split.parts["val"]) <= 36
    assert split.split["kind"] == "stratified, copies together"
    assert findings(split) == ()
    again = source.with_validation(share=0.2, seed=seed, kind="stratified, copies together")
    assert again.parts["val"].digest() == split.parts["val"].digest()


def test_an_earlier_split_is_repeated_as_it_was(tmp_path: Path) -> None:
    noise(tmp_path / "a", 20, 2)
    noise(tmp_path / "b", 20, seed=1)
    source = scan_images(read_folders(tmp_path))
    earlier = source.with_validation(share=0.2, seed=0, kind="stratified")
    assert not is_apart(earlier)
    assert len(earlier.parts["val"]) == 12
    assert earlier.split["kind"] == "stratified"


def test_a_split_without_copies_is_what_it_was(tmp_path: Path) -> None:
    noise(tmp_path / "a", 20)
    noise(tmp_path / "b", 20, seed=1)
    source = scan_images(read_folders(tmp_path))
    split, earlier = (source.with_validation(share=0.2, seed=3, kind=kind) for kind in (None, "stratified"))
    assert split.split == earlier.split
    assert split.parts["val"].digest() == earlier.parts["val"].digest()


@pytest.mark.parametrize("seed", range(5))
def test_no_class_is_left_without_a_training_image(seed: int, tmp_path: Path) -> None:
    """The images of b are copies of some of a, and may all be held out beside these."""
    noise(tmp_path / "a", 4)
    (tmp_path / "b").mkdir()
    for name in ("0-0.png", "1-0.png"):
        shutil.copyfile(tmp_path / "a" / name, tmp_path / "b" / name)
    split = scan_images(read_folders(tmp_path)).with_validation(share=0.5, seed=seed)
    assert set(split.parts["train"].targets.tolist()) == {0, 1}
    assert len(split.parts["val"]) > 0


def test_images_that_are_all_copies_are_split_and_told_to_leak(tmp_path: Path) -> None:
    noise(tmp_path / "a", 1, 4)
    noise(tmp_path / "b", 1, 4, seed=1)
    split = scan_images(read_folders(tmp_path)).with_validation(share=0.5, seed=0)
    assert len(split.parts["val"]) > 0
    assert set(split.parts["train"].targets.tolist()) == {0, 1}


@pytest.mark.parametrize("columns", ["path,red,blue", "path,age"])
def test_copies_of_images_with_labels_or_numbers_are_on_one_side(columns: str, tmp_path: Path) -> None:
    noise(tmp_path / "img", 20, 2)
    rows = [
        f"img/{number}-{copy}.png," + (f"{number % 2},{number % 3 // 2}" if "red" in columns else f"{number}.5")
        for number in range(20)
        for copy in range(2)
    ]
    (tmp_path / "table.csv").write_text("\n".join([columns, *rows]))
    split = scan_images(read_table(tmp_path / "table.csv")).with_validation(share=0.3, seed=0)
    assert is_apart(split)
    assert str(split.split["kind"]).endswith(", copies together")


def test_a_run_on_copies_is_measured_again_on_its_own_images(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate("ab"):
        noise(tmp_path / "photos" / name, 10, 3, seed=number)
    config = zoo_core.FinetuneConfig(
        backbone="lenet5", data=str(tmp_path / "photos"), weights="none", epochs=1, out=str(tmp_path / "run")
    )
    result = zoo_core.finetune(config, catalog=catalog, callback=zoo_core.NullCallback())
    again = zoo_core.evaluate_run(tmp_path / "run", device="cpu", catalog=catalog)
    assert again.evaluation.score == result.evaluation.score
