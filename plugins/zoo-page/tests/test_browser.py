"""The page in a browser: its answers, distances and heat maps are those of zoo."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo_core
from zoo_core import FinetuneConfig, export_run
from zoo_core.testing import make_photos


def beside(name):
    """A module of this folder, which is no package."""
    spec = spec_from_file_location(f"zoo_page_{name}", Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


browser, hostile = beside("browser"), beside("hostile")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with enough validation images to know which photos are unlike those of its training."""
    root = tmp_path_factory.mktemp("page")
    photos = make_photos(root / "photos", count=30)
    config = FinetuneConfig(backbone="lenet5", data=str(photos), epochs=1, val_share=0.4, out=str(root / "run"))
    directory = zoo_core.finetune(config).directory
    export_run(directory, "page")
    return directory


def large(root):
    """JPEGs that zoo decodes at a half, a quarter and an eighth of their size, of odd sizes, in all orientations; the
    last has several pictures in it and is decoded whole."""
    generator = np.random.default_rng(0)
    for orientation in range(1, 10):
        coarse = Image.fromarray(generator.integers(0, 256, (9, 7, 3), np.uint8))
        side = 131 * 2 ** (orientation % 3)
        image = coarse.resize((side + orientation, side + 3 * orientation), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = min(orientation, 8)
        several = {"format": "MPO", "save_all": True, "append_images": [image]} if orientation == 9 else {}
        image.save(root / f"large{orientation}.jpg", exif=exif, quality=80, progressive=orientation % 2 == 0, **several)
    return sorted(root.glob("large*.jpg"))


@browser.needs_browser
def test_it_answers_doubts_and_explains_as_zoo_does(run, tmp_path):
    strange = tmp_path / "strange.png"
    zoo_core.save_figure(zoo_core.Figure(figsize=(1, 1)), strange)
    photos = [*sorted((run.parent / "photos").rglob("*.png"))[::12], *large(tmp_path), strange]
    found = browser.shown(run / "model.html", photos, tmp_path)
    predicted = zoo_core.load(run, device="cpu").predict(photos)
    command = [sys.executable, "-m", "zoo_core", "explain", run, *photos, "--nearest", "0", "--json"]
    done = subprocess.run([*command, "-o", tmp_path / "maps.png"], capture_output=True, text=True, check=True)
    for one, prediction, explained in zip(found, predicted, json.loads(done.stdout)["explanations"], strict=True):
        assert one["done"] == "yes", one["text"]
        assert one["answers"] == pytest.approx(dict(prediction.answers), abs=1e-4)
        assert one["distance"] == pytest.approx(prediction.distance, rel=1e-4)
        assert one["text"].lower() == (prediction.hint or "").lower()
        cells = np.array(explained["map"]).ravel()
        assert np.array(one["map"]) / max(one["map"]) == pytest.approx(cells / cells.max(), abs=1e-3)
    assert predicted[-1].is_stranger
    assert not predicted[0].is_stranger


@browser.needs_browser
def test_long_names_many_classes_and_tall_photos_fit_into_a_narrow_window(tmp_path):
    """Seen to fail: 1830 pixels of a window of 360, five windows of names, and a photo of 33600 pixels."""
    photos = make_photos(tmp_path / "photos", classes=("x" * 190, "red"), count=10)
    config = FinetuneConfig(backbone="lenet5", data=str(photos), epochs=1, out=str(tmp_path / "run"))
    page = export_run(zoo_core.finetune(config).directory, "page").path
    many = json.dumps([f"class {number}" for number in range(150)])[1:-1]
    page.write_text(page.read_text().replace('"classes": [', f'"classes": [{many}, '))
    tall = tmp_path / "tall.png"
    Image.new("RGBA", (20, 3000), (0, 0, 255, 128)).save(tall)
    (wide, high, upper, colour) = browser.measured(page, [tall], tmp_path, 360, SHAPE)
    assert wide == 360
    assert high <= 400
    assert upper < 800, "the button is in the first window"
    assert colour == "rgb(255, 255, 255)", "as the network sees the transparent parts, also in the dark"


SHAPE = """[document.documentElement.scrollWidth, document.querySelector("article > img").clientHeight,
  document.getElementById("camera").getBoundingClientRect().bottom,
  getComputedStyle(document.querySelector("article > img")).backgroundColor]"""


@browser.needs_browser
def test_hostile_files_get_one_clear_answer_each(run, tmp_path):
    """No file ends the page: those that zoo refuses are refused with a reason, and odd photos are answered as by zoo."""
    given = {**hostile.refused(), **hostile.answered()}
    for name, content in given.items():
        (tmp_path / name).write_bytes(content)
    files = [tmp_path / name for name in given]
    predicted = zoo_core.load(run, device="cpu").predict(files, bad_images="skip")
    for path, one, prediction in zip(files, browser.shown(run / "model.html", files, tmp_path), predicted, strict=True):
        if path.name in hostile.refused():
            assert prediction.problem
            assert one["done"] == "failed", path.name
            assert one["text"].startswith(f"{path.name} cannot be answered: ")
            assert not one["answers"]
        else:
            assert one["done"] == "yes", one["text"]
            assert one["answers"] == pytest.approx(dict(prediction.answers), abs=1e-4), path.name
