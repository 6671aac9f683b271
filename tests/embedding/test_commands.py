"""`zoo embed` writes the features to a file, and `zoo similar` finds and draws the nearest images."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import zoo_core
from helpers import make_table
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo
from zoo_core.embedding import picture
from zoo_core.embedding.similar import cosines_with
from zoo_core.errors import ZooError
from zoo_core.frozen import feature_cache
from zoo_core.frozen.computing_alone import WAITING


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(zoo, [str(one) for one in arguments])


def printed(*arguments: object) -> dict[str, Any]:
    answer = call(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return dict(json.loads(answer.stdout))


def refusal(*arguments: object) -> str:
    return str(call(*arguments).exception)


@pytest.mark.parametrize(
    "words",
    [("embed", "lenet5", "--data"), ("similar", "lenet5", "photo.jpg", "--data"), ("check", "--backbone", "lenet5")],
    ids=lambda words: words[0],
)
def test_a_wait_for_another_run_is_said(photos: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """Seen to fail: the commands stood still without a word until the other run had computed the features."""

    @contextmanager
    def waiting(*given: Any) -> Iterator[bool]:
        given[-1](WAITING)
        yield False

    monkeypatch.setattr(feature_cache, "computing_alone", waiting)
    shutil.copy(photos / "red" / "0.jpg", "photo.jpg")
    assert WAITING in call(*words, photos).stderr.splitlines()


def test_every_kind_of_file_holds_the_same_table(photos: Path, catalog: Catalog) -> None:
    told = printed("embed", "lenet5", "--data", photos)
    assert (told["file"], told["shape"], told["computed"]) == ("features.npz", [20, 120], 20)
    assert (told["classes"], told["parts"]) == (["blue", "red"], [{"part": "train", "images": 20}])
    for kind in ("csv", "parquet"):
        assert printed("embed", "lenet5", "--data", photos, "-o", f"features.{kind}")["computed"] == 0
    with zoo_core.features("lenet5", photos, catalog=catalog) as table, np.load("features.npz") as arrays:
        expected = np.asarray(table)
        assert np.array_equal(arrays["features"], expected)
        assert np.array_equal(arrays["targets"], table.targets)
        for name in ("classes", "paths", "digests", "parts"):
            assert tuple(arrays[name]) == getattr(table, name)
        with Path("features.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        vectors = [[row[f"f{number}"] for number in range(120)] for row in rows]
        assert np.array_equal(np.array(vectors, np.float32), expected)
        facts = [(row["path"], row["digest"], row["part"], row["class"]) for row in rows]
        classes = [table.classes[target] for target in table.targets]
        assert facts == list(zip(table.paths, table.digests, table.parts, classes, strict=True))
        from pyarrow import parquet

        columns = parquet.read_table("features.parquet").to_pydict()
        assert np.array_equal(np.array(columns.pop("features"), np.float32), expected)
        assert list(zip(*columns.values(), strict=True)) == facts_in(columns, rows)


def facts_in(columns: dict[str, Any], rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in columns) for row in rows]


def test_maps_views_labels_and_numbers_are_written(tmp_path: Path) -> None:
    table = make_table(tmp_path / "photos", "path,sea,sun", lambda kind, number: f"{int(kind == 'blue')},1", count=2)
    printed("embed", "lenet5", "--data", table, "--at", "c3", "--views", 2, "-o", "maps.npz")
    with np.load("maps.npz") as arrays:
        assert arrays["features"].shape[:2] == (4, 2)
        assert arrays["features"].ndim == 5
        assert arrays["targets"].tolist() == [[1, 1], [1, 1], [0, 1], [0, 1]]
    answer = call("embed", "lenet5", "--data", table, "--views", 2, "-o", "views.csv")
    assert "4 x 2 x 120 numbers (pooled)" in answer.stdout
    assert "2 labels" in answer.stdout
    with Path("views.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["view"], row["target_sea"]) for row in rows] == [
        (view, sea) for sea in ("1.0", "1.0", "0.0", "0.0") for view in ("0", "1")
    ]


def test_a_file_that_cannot_be_written_is_refused_before_any_work(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("there.npz").write_bytes(b"mine")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for arguments, reason in (
        (("-o", "there.npz"), "there.npz exists already. Give another --out, or remove it."),
        (("-o", "there.npz/a.npz"), "there.npz/a.npz could not be written"),
        (("-o", "a.txt"), "'a.txt' names no kind of file. Give --out a name with .npz, .csv, .parquet."),
        (("-o", "a.csv", "--at", "c1"), "the features at c1 are maps or tokens. Give --out a name with .npz"),
        (("-o", "a.parquet"), "written by pyarrow, which is not installed: `pip install pyarrow`"),
    ):
        assert reason in refusal("embed", "lenet5", "--data", photos, *arguments)
    assert Path("there.npz").read_bytes() == b"mine"
    assert not Path("cache").exists()


def test_what_was_left_out_is_said(photos: Path) -> None:
    (photos / "red" / "0.jpg").write_bytes(b"no image")
    (photos / "red" / "notes.txt").write_text("-")
    answer = call("embed", "lenet5", "--data", photos, "--bad-images", "skip", "--augment", "flip")
    assert answer.exit_code == 0
    assert "19 x 120 numbers (pooled)" in answer.stdout
    assert "19 of 19 were computed, and are cached now." in answer.stdout
    for told in ("ignored: 1 *.txt", "1 image that cannot be read was left out", "--augment: no effect"):
        assert told in answer.stderr


def test_the_nearest_images_are_found_by_cosine_and_drawn(photos: Path, catalog: Catalog) -> None:
    photo = photos / "red" / "1.png"
    told = printed("similar", "lenet5", photo, "--data", photos, "--top", 7)
    assert (told["copies"], told["computed"], told["picture"]) == (["red/1.png"], 20, "similar.png")
    with zoo_core.features("lenet5", photos, catalog=catalog) as table:
        vectors = np.asarray(table).astype(np.float64)
    own = vectors[table.paths.index("red/1.png")]
    cosines = vectors @ own / np.linalg.norm(vectors, axis=1) / np.linalg.norm(own)
    expected = [index for index in np.argsort(-cosines) if table.paths[index] != "red/1.png"][:7]
    assert [one["image"] for one in told["neighbours"]] == [table.paths[index] for index in expected]
    assert [one["answer"] for one in told["neighbours"]] == [table.classes[table.targets[index]] for index in expected]
    assert [one["similarity"] for one in told["neighbours"]] == pytest.approx(cosines[expected])
    with Image.open("similar.png") as image:
        width = 2 * picture.MARGIN + picture.PHOTO + 5 * picture.TILE + 6 * picture.GAP
        height = 2 * picture.MARGIN + picture.HEADING + 2 * (picture.TILE + picture.CAPTION)
        assert image.size == pytest.approx((width * 110, height * 110), abs=1)
        assert len(image.convert("RGB").getcolors(10**6) or ()) > 100, "the images are in it"


def test_a_new_photo_is_computed_and_nothing_else(photos: Path, tmp_path: Path) -> None:
    call("embed", "lenet5", "--data", photos)
    (tmp_path / "new").mkdir()
    photo = Path(shutil.move(photos / "red" / "3.png", tmp_path / "new" / "photo.png"))
    (tmp_path / "flat").mkdir()
    for path in sorted(photos.rglob("*.*")):
        shutil.copy(path, tmp_path / "flat" / f"{path.parent.name}{path.name}")
    Image.new("RGB", (50, 30), "green").save(tmp_path / "green.png")
    answer = call("similar", "lenet5", "green.png", "--data", "flat", "--top", 2, "-o", "two.png")
    assert "1 of 20 were computed" in answer.stdout
    assert "class" not in answer.stdout
    assert Path("two.png").is_file()
    assert printed("similar", "lenet5", photo, "--data", "flat")["computed"] == 0
    assert "holds no image but" in refusal("similar", "lenet5", photo, "--data", "new")
    assert "absent.png is not there" in refusal("similar", "lenet5", "absent.png", "--data", "flat")


def test_a_picture_harms_no_file_and_no_data(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = shutil.copy(photos / "red" / "1.png", "photo.png")
    before = Path(photo).read_bytes()
    for arguments, reason in (
        (("-o", "photo.png"), "photo.png exists already. Give another --out"),
        (("-o", photos / "red" / "1.png"), "exists already"),
        (("-o", "new.jpg"), "the picture is a PNG file, and 'new.jpg' does not end in .png"),
    ):
        assert reason in refusal("similar", "lenet5", photo, "--data", photos, *arguments)
    shutil.copy(photo, "similar.png")  # a file of the user's
    assert "similar.png exists already" in refusal("similar", "lenet5", photo, "--data", photos)
    assert Path(photo).read_bytes() == Path("similar.png").read_bytes() == before
    Path("similar.png").unlink()
    for _ in range(2):  # its own picture is replaced
        assert call("similar", "lenet5", photo, "--data", photos).exit_code == 0
    assert "similar.png exists" in refusal("similar", "lenet5", "similar.png", "--data", photos)
    monkeypatch.chdir(photos / "red")
    for data in ("..", "."):
        assert "similar.png would be one of the images of" in refusal("similar", "lenet5", "1.png", "--data", data)


def test_all_neighbours_are_listed_before_the_first_ones_are_drawn(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "MOST", 2)
    answer = call("similar", "lenet5", photos / "red" / "1.png", "--data", photos, "--top", 900)
    others = {str(path.relative_to(photos)) for path in photos.rglob("*.*")} - {"red/1.png"}
    assert all(name in answer.stdout for name in others)
    with Image.open("similar.png") as image:
        assert image.height < 110 * (2 * picture.MARGIN + picture.HEADING + 2 * picture.TILE), "one row"

    def fail(figure: Any, target: Path) -> None:
        raise ZooError("the disk is full")

    monkeypatch.setattr(picture, "save_figure", fail)
    answer = call("similar", "lenet5", photos / "red" / "1.png", "--data", photos, "--top", 900)
    assert (str(answer.exception), "red/2.jpg" in answer.stdout) == ("the disk is full", True)


class Rows:
    """A table of three vectors, one of them without a length."""

    def chunks(self) -> Any:
        return iter([np.array([[2.0, 0.0], [0.0, 0.0]], np.float32), np.array([[-1.0, 1.0]], np.float32)])


def test_a_cosine_is_a_cosine_and_zero_where_there_is_no_direction() -> None:
    cosines = cosines_with(Rows(), np.array([3.0, 0.0], np.float32))  # type: ignore[arg-type]
    assert cosines.tolist() == pytest.approx([1.0, 0.0, -(0.5**0.5)])
    assert cosines_with(Rows(), np.zeros(2, np.float32)).tolist() == [0, 0, 0]  # type: ignore[arg-type]
