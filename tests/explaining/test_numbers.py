"""An explained number: the picture shows it as `zoo predict` does, and of its neighbours' numbers the same one."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.data.given import given_images
from zoo_core.drawing import Figure
from zoo_core.evaluation import evaluate_run
from zoo_core.explaining import explain, nearest, picture
from zoo_core.testing import make_photos
from zoo_core.wording import cell_text

START = 1_700_000_000.25


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that answers photos with a price and with a time in seconds since 1970."""
    root = tmp_path_factory.mktemp("numbers")
    photos = make_photos(root / "photos", count=12)
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))
    with (photos / "table.csv").open("w", newline="") as file:
        rows = [(name, 150_000.5 + 20_000 * place, START + 900 * place) for place, name in enumerate(names)]
        csv.writer(file).writerows([("path", "price of it", "time"), *rows])
    config = FinetuneConfig(backbone="lenet5", data=str(photos / "table.csv"), epochs=2, out=str(root / "run"))
    return zoo_core.finetune(config).directory


def photos_of(run: Path) -> list[Path]:
    return sorted((run.parent / "photos").rglob("*.png"))[::12]


def test_a_notebook_shows_numbers_with_the_digits_of_zoo_predict(run: Path) -> None:
    """Seen to fail: `time 1.7e+09` for each image."""
    predictions = zoo_core.load(run).predict(photos_of(run))
    shown = predictions._repr_html_()
    for one in predictions:
        (_, price), (_, time) = one.answers
        assert f"price of it {price:.6g}, time {time:.12g}" in shown
    figures = evaluate_run(run)
    assert f"{figures.evaluation.figures()['rmses'][0]:.0f}" in figures._repr_html_()
    assert "e+0" not in figures._repr_html_()


def test_the_picture_names_the_explained_number_whole(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: `time  1.7e+09` above each image, and captions cut before the number."""
    drawn: list[Figure] = []
    monkeypatch.setattr(picture, "save_figure", lambda figure, target: drawn.append(figure))
    explainer = explain.open_explainer(run, output="time", at="c1")
    training = nearest.open_training_images(run, zoo_core.open_catalog(), count=3)
    explainer = replace(explainer, training=training)
    found = list(explainer.explanations(given_images(photos_of(run))))
    picture.draw_explanations(Path("unused.png"), found)
    words = [text.get_text() for text in drawn[0].texts]
    for one in found:
        assert f"time  {one.value:.12g}" in words
        for near in one.nearest or ():
            assert float(words[words.index(f"{near.similarity:.2f}") - 1]) >= START
            assert near.answer.startswith("price of it "), "a table and JSON have all of them"


def test_a_large_figure_is_written_whole() -> None:
    assert [cell_text(one) for one in (None, 84_807.9, 9999.4, 0.000123456, 3, "name", 1e30)] == [
        "-", "84808", "9999", "0.0001235", "3", "name", "1e+30",
    ]  # fmt: skip
