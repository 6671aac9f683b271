"""`zoo predict` on all that a user names: every image is answered or named with its reason."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from PIL import Image

import zoo_core
from helpers import Zoo, make_photos
from zoo_core.answering.files import AnswerFormat, answers_file
from zoo_core.answering.images import named_images
from zoo_core.catalog import Catalog
from zoo_core.errors import DataError, HubError, UsageError
from zoo_core.hubclient.download import download
from zoo_core.predict import Prediction
from zoo_core.tasks import task_named


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Four images, one of them damaged, in two folders."""
    folder = tmp_path / "digits"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "more/c.png")):
        Image.new("L", (28, 28), number * 40).save(folder / name)
    (folder / "b.jpg").write_bytes(b"no image")
    return folder


class Handler(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("authorization"))
        if self.path == "/there":
            self.send_response(302)
            self.send_header("location", "/a.png")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(digits: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(digits))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def names(given: list[str], folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [one.name for one in named_images(given, folder, io.BytesIO(), lambda done, total: None)]


def test_folders_patterns_files_and_addresses_are_named_in_order(digits: Path, server: str, tmp_path: Path) -> None:
    found = names([str(digits), f"{digits}/**/*.png", f"{digits}/a.png", f"{server}/there"], tmp_path / "own")
    below = [str(digits / name) for name in ("a.png", "b.jpg", "b.png", "more/c.png")]
    assert found == [*below, *(one for one in below if one.endswith(".png")), f"{digits}/a.png", f"{server}/there"]
    assert (tmp_path / "own" / "3").read_bytes() == (digits / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["none-*.png"], UsageError, "no file matches 'none-\\*.png'. Give a pattern in quotes"),
        (["-", "-"], UsageError, "'-' is given more than once"),
        (["empty"], DataError, "empty holds no images"),
    ],
)
def test_names_of_nothing_are_errors(
    given: list[str], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        names(given, tmp_path / "own")


def test_addresses_get_no_token_and_no_more_than_they_may(
    server: str, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    Handler.asked.clear()
    assert download(f"{server}/a.png", most=10**6) == (digits / "a.png").read_bytes()
    assert Handler.asked == [None]
    with pytest.raises(HubError, match="sends more than the 20 bytes that it may"):
        download(f"{server}/a.png", most=20)
    with pytest.raises(HubError, match="HTTP 404"):
        download(f"{server}/none.png", most=20)
    with pytest.raises(HubError, match=r"cannot be reached|breaks off"):
        download("http://127.0.0.1:9/a.png", most=20)


def test_a_bad_image_is_a_row_and_the_others_are_answered(zoo: Zoo, digits: Path, server: str, tmp_path: Path) -> None:
    what = [digits, f"{server}/none.png", f"{server}/b.jpg", "nowhere.png"]
    answered = zoo("predict", "lenet5", *what, "--top", 2, "-o", "answers.csv")
    assert answered.returncode == 1
    assert answered.stdout == "Answers for 3 of 7 images are in answers.csv.\n", answered.stderr[-600:]
    assert f"4 of 7 images have no answer:\n  {digits}/b.jpg is not an image" in answered.stderr
    assert f"{server}/b.jpg is not an image" in answered.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "answers.csv").read_text())))
    assert [*rows[0]] == ["image", "class", "probability", "class_2", "probability_2", "hint", "problem"]
    assert [bool(row["problem"]) for row in rows] == [False, True, False, False, True, True, True]
    assert [bool(row["class"]) for row in rows] == [not row["problem"] for row in rows]
    again = zoo("predict", "lenet5", digits / "a.png", "-o", "answers.csv")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    told = zoo("predict", "lenet5", digits, "--top", 2, "--all", "--json")
    one, bad, *_ = json.loads(told.stdout)["predictions"]
    assert (rows[0]["class"], float(rows[0]["probability"])) == (
        one["answers"][0]["class"],
        pytest.approx(one["answers"][0]["probability"]),
    )
    assert sum(one["values"].values()) == pytest.approx(1)
    assert (bad["answers"], bad["values"], bad["problem"]) == (
        [],
        {},
        f"{digits}/b.jpg {bad['problem'].split(' ', 1)[1]}",
    )


def test_threshold_and_mirror_image(catalog: Catalog, tmp_path: Path) -> None:
    photo = make_photos(tmp_path / "photos", count=1) / "red" / "0.jpg"
    predictor = zoo_core.load("lenet5", device="cpu", catalog=catalog)
    ((image,), (mirrored,)) = (predictor.predict(given) for given in (photo, Image.open(photo).transpose(0)))
    (both,) = predictor.predict(photo, tta=True)
    means = (torch.tensor(one.values).log() for one in (image, mirrored))
    assert both.values == pytest.approx(tuple((sum(means) / 2).softmax(0).tolist()), abs=1e-5)
    least = image.answers[1][1]
    assert predictor.predict(photo, threshold=least)[0].answers == image.answers[:1]


@pytest.mark.parametrize(
    ("task", "prediction", "columns", "cells"),
    [
        (
            "multilabel",
            (("b", 0.75), ("a", 0.5)),
            ["labels", "probability_of_a", "probability_of_b"],
            ["b|a", "0.5", "0.75"],
        ),
        ("regression", (("a", 0.5), ("b", 0.75)), ["predicted_a", "predicted_b"], ["0.5", "0.75"]),
        ("classification", (("b", 0.75),), ["class", "probability", "class_2", "probability_2"], ["b", "0.75", "", ""]),
    ],
)
def test_the_row_of_each_task(
    task: str, prediction: tuple[tuple[str, float], ...], columns: list[str], cells: list[str]
) -> None:
    made = AnswerFormat(task_named(task), ("a", "b"), top=2, has_values=task == "multilabel")  # type: ignore[arg-type]
    assert made.columns() == ["image", *columns, "hint", "problem"]
    assert made.row(Prediction("x.png", prediction, None, (0.5, 0.75))) == ["x.png", *cells, "", ""]
    assert made.row(Prediction("x.png", (), problem="no")) == ["x.png", *[""] * len(cells), "", "no"]


@pytest.mark.parametrize("name", ["a\rb.png", "ä,b\n.png"])
def test_a_row_is_read_back_whatever_the_name(name: str, tmp_path: Path) -> None:
    """Seen to fail with a carriage return."""
    made = AnswerFormat(task_named("classification"), ("cat",), 1, False)
    with answers_file(tmp_path / "answers.csv", made) as write:
        write(Prediction(name, (("cat", 1.0),)))
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        assert [row["image"] for row in csv.DictReader(file, strict=True)] == [name]


def test_every_image_is_read_once(catalog: Catalog, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file was once decoded to check it, read for its digest, and read again."""
    from zoo_core.data import given

    read: list[Path] = []
    monkeypatch.setattr(given, "open_image", lambda path, **_: read.append(path) or Image.new("L", (28, 28)))
    predictor = zoo_core.load("lenet5", device="cpu", catalog=catalog)
    images = sorted(digits.glob("*.png"))
    predictor.predict(images, bad_images="skip")
    assert sorted(read) == images
