"""`zoo predict` on all that a user names: every image is answered or named with its reason."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from helpers import Zoo, make_photos
from zoo_core.answering.files import AnswerFormat, answers_file, check_target
from zoo_core.answering.images import NamedImages, named_images
from zoo_core.catalog import Catalog
from zoo_core.errors import DataError, HubError, UsageError, ZooError
from zoo_core.hubclient.download import download
from zoo_core.tasks import task_named
from zoo_core.tasks.prediction import Prediction


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


def named(given: list[str]) -> NamedImages:
    return named_images(given, lambda: None)


def test_folders_patterns_files_and_addresses_are_named_in_order(digits: Path, server: str) -> None:
    Handler.asked.clear()
    found = named([str(digits), f"{digits}/**/*.png", f"{digits}/a.png", f"{server}/there"])
    below = [str(digits / name) for name in ("a.png", "b.jpg", "b.png", "more/c.png")]
    pictures = [one for one in below if one.endswith(".png")]
    assert list(found.names) == [*below, *pictures, f"{digits}/a.png", f"{server}/there"]
    assert Handler.asked == []  # nothing is fetched before it is read
    assert found.read(len(found) - 1).tobytes() == Image.open(digits / "a.png").tobytes()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["none-*.png"], UsageError, "no file matches 'none-\\*.png'. Give a pattern in quotes"),
        (["-", "-"], UsageError, "'-' is given more than once"),
        (["-"], UsageError, "'-' reads an image from standard input, and there is none"),
        (["empty"], DataError, "empty holds no images"),
    ],
)
def test_names_of_nothing_are_errors(
    given: list[str], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        named(given)


def test_addresses_get_no_token_and_no_more_than_they_may(
    server: str, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guards keep the token for the Hub, and here the address is the Hub's."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server)
    Handler.asked.clear()
    assert download(f"{server}/a.png", most=10**6) == (digits / "a.png").read_bytes()
    assert Handler.asked == [None]
    with pytest.raises(HubError, match="sends more than the 20 bytes that it may.*give the file"):
        download(f"{server}/a.png", most=20)
    with pytest.raises(HubError, match="HTTP 404.*Or download it in another way and give the file"):
        download(f"{server}/none.png", most=20)


def test_a_silent_server_is_not_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list may have hundreds of its addresses, and each would wait for three time-outs."""
    monkeypatch.setenv("ZOO_HUB_TIMEOUT", "0.2")
    monkeypatch.setattr("zoo_core.hubclient.client.PAUSES", ())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        place = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(HubError, match="does not answer"):
            download(f"{place}/a.png", most=20)
        with pytest.raises(HubError, match=f"{place}/b.png: {place} did not answer a moment ago"):
            download(f"{place}/b.png", most=20)


def test_an_image_on_standard_input(catalog: Catalog, digits: Path) -> None:
    stream = io.BytesIO((digits / "b.png").read_bytes())
    images = named_images(["-", str(digits / "b.png")], lambda: stream)
    predictor = zoo_core.load("lenet5", device="cpu", catalog=catalog)
    piped, file = predictor.predictions(images)
    assert (piped.image, piped.answers) == ("-", file.answers)
    (empty,) = predictor.predictions(named_images(["-"], io.BytesIO))
    assert empty.problem == "- is empty."


@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix closes standard input")
def test_a_closed_standard_input_matters_to_none_but_who_asks_for_it(digits: Path, tmp_path: Path) -> None:
    """Seen to fail: sys.stdin is None there, and every prediction ended in a traceback."""
    command = f'exec "{sys.executable}" -m zoo_core predict lenet5 "$1" <&-'
    for name, code in ((str(digits / "a.png"), 0), ("-", 2)):
        ended = subprocess.run(
            ["sh", "-c", command, "sh", name], capture_output=True, text=True, cwd=tmp_path, timeout=120
        )
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr


def test_answers_before_an_interruption_are_kept(tmp_path: Path) -> None:
    made = AnswerFormat(task_named("classification"), ("a", "b"), top=1, has_values=False)

    def interrupted() -> None:
        with answers_file(tmp_path / "answers.csv", made) as write:
            write(Prediction("x\ry.png", (("a", 1.0),)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["answers.partial.csv"]
    with (tmp_path / "answers.partial.csv").open(newline="") as stream:
        assert [row["image"] for row in csv.DictReader(stream)] == ["x\ry.png"]
    with pytest.raises(UsageError, match=r"answers\.partial\.csv holds the answers of a call that was interrupted"):
        check_target(tmp_path / "answers.csv")


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="File name too long.*give another place with --out"):
        check_target(tmp_path / f"{'a' * 244}.csv")


def test_a_bad_image_is_a_row_and_the_others_are_answered(zoo: Zoo, digits: Path, server: str, tmp_path: Path) -> None:
    what = [digits, f"{server}/none.png", f"{server}/b.jpg", "nowhere.png"]
    answered = zoo("predict", "lenet5", *what, "--top", 2, "-o", "answers.csv")
    assert answered.returncode == 1
    assert answered.stdout == "Answers for 3 of 7 images are in answers.csv.\n", answered.stderr[-600:]
    assert f"4 of 7 images have no answer:\n  {digits}/b.jpg is not an image" in answered.stderr
    assert f"{server}/b.jpg is not an image" in answered.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "answers.csv").read_text())))
    assert [*rows[0]] == ["image", "class", "probability", "class_2", "probability_2", "distance", "hint", "problem"]
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
    assert made.columns() == ["image", *columns, "distance", "hint", "problem"]
    found = Prediction("x.png", prediction, None, (0.5, 0.75), distance=1.25)
    assert made.row(found) == ["x.png", *cells, "1.25", "", ""]
    assert made.row(Prediction("x.png", (), problem="no")) == ["x.png", *[""] * len(cells), "", "", "no"]


@pytest.mark.parametrize("value", [1700000003.111593, 0.1, float(np.float32(0.1)), 1e300, -1.5])
def test_a_number_of_a_csv_file_is_the_answer_to_the_bit(value: float) -> None:
    """Seen to fail: a time in seconds had nine digits, and was the same for all images of a minute."""
    made = AnswerFormat(task_named("regression"), ("t",), 1, False)
    (_, cell, *_) = made.row(Prediction("x.png", (("t", value),), None, (value,)))
    assert float(cell) == value or float(np.float32(cell)) == value
    assert len(cell) <= 18


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
    from zoo_core.data import decode, given

    read: list[Path] = []
    real = decode.read_file
    for module in (decode, given):
        monkeypatch.setattr(module, "read_file", lambda path: read.append(path) or real(path))  # type: ignore[func-returns-value]
    predictor = zoo_core.load("lenet5", device="cpu", catalog=catalog)
    images = sorted(digits.glob("*.png"))
    predictor.predict(images, bad_images="skip")
    assert sorted(read) == images


def test_outputs_that_are_not_finite_are_a_row_too(catalog: Catalog, digits: Path) -> None:
    """One of 10,000 images does not take the answers for the others away."""
    predictor = zoo_core.load("lenet5", device="cpu", catalog=catalog)
    with torch.no_grad():
        next(predictor.network.parameters()).fill_(float("nan"))
    (one,) = predictor.predict(digits / "a.png", bad_images="skip")
    assert one.problem is not None
    assert "not finite" in one.problem
    with pytest.raises(ZooError, match="not finite"):
        predictor.predict(digits / "a.png")
