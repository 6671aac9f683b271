"""Oblong images: cropped, padded or squashed to a square, as timm does it, from training to answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image

from helpers import Zoo
from zoo_core.catalog import Catalog
from zoo_core.data.batches import resized_store
from zoo_core.data.sources import ArrayImages, Part
from zoo_core.data.transforms import CENTRE, apply_crop, crop_of, resized
from zoo_core.training.defaults import default_augment
from zoo_core.weights.beside import CROP_MODES, preprocessing_beside
from zoo_core.weights_specs import Preprocessing

MEAN, STD = (0.48, 0.45, 0.4), (0.2, 0.25, 0.3)
MIDDLE = Preprocessing(size=32, mean=MEAN, std=STD)


@pytest.mark.parametrize("size", [(90, 50), (50, 90), (61, 61), (20, 15)])
@pytest.mark.parametrize("crop", [1.0, 0.875])
@pytest.mark.parametrize("fit", ["pad", "squash"])
def test_the_pixels_are_those_of_timm(fit: str, crop: float, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    where = Preprocessing(size=28, crop=crop, interpolation="bicubic", mean=MEAN, std=STD, fit=fit)  # type: ignore[arg-type]
    pixels = resized(image, where)
    seen = apply_crop(pixels, crop_of(pixels, 28, "none", CENTRE, b""), where)
    theirs = timm.data.create_transform(
        (3, 28, 28), crop_pct=crop, crop_mode=CROP_MODES[where.fit], interpolation="bicubic", mean=MEAN, std=STD
    )
    for step in theirs.transforms[:2]:  # those after them make a normalised tensor
        image = step(image)
    assert np.array_equal(seen, np.asarray(image))


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_an_extremely_long_image_is_a_square(fit: str) -> None:
    where = Preprocessing(size=28, mean=MEAN, std=STD, fit=fit)  # type: ignore[arg-type]
    pixels = resized(Image.new("RGB", (4000, 3)), where)
    assert apply_crop(pixels, crop_of(pixels, 28, "none", CENTRE, b""), where).shape == (28, 28, 3)


def test_caches_of_cropped_images_keep_their_names(tmp_path: Path) -> None:
    """Whatever was cached before there was a `fit` is found."""
    assert str(MIDDLE) == (
        "Preprocessing(size=32, crop=0.875, interpolation='bilinear', mean=(0.48, 0.45, 0.4), std=(0.2, 0.25, 0.3))"
    )
    fits = [Preprocessing(size=28, crop=1.0, mean=MEAN, std=STD, fit=fit) for fit in ("crop", "pad", "squash")]  # type: ignore[arg-type]
    assert len({str(one) for one in fits}) == len({resized_store(tmp_path, one).folder for one in fits}) == 3


def test_the_fit_of_timms_weights_is_read_and_written_again(catalog: Catalog, tmp_path: Path) -> None:
    told = {"input_size": [3, 160, 160], "crop_pct": 1.0, "crop_mode": "border", "mean": [0.5] * 3, "std": [0.4] * 3}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": told}))
    found, _ = preprocessing_beside(catalog.backbone("resnet18").spec, tmp_path)
    assert (found.fit, CROP_MODES[found.fit]) == ("pad", "border")


def test_padded_images_are_cropped_where_their_longer_side_has_pixels_to_spare() -> None:
    """Seen to fail: images of 400 x 150 pixels, padded to 224, were called too small for crops."""
    images = ArrayImages("wide", np.zeros((4, 150, 400), np.uint8))
    part = Part(images, np.zeros(4, np.int64))
    where = Preprocessing(size=224, crop=1.0, mean=MEAN, std=STD, fit="pad")
    assert default_augment(part, where)[0] == "crop-flip"
    assert default_augment(part, replace(where, fit="crop"))[0] == "flip"


@pytest.mark.parametrize(("fit", "score"), [("crop", 0.5), ("pad", 1.0), ("squash", 1.0)])
def test_the_ends_of_oblong_images_are_seen_by_training_evaluation_and_prediction(
    zoo: Zoo, tmp_path: Path, fit: str, score: float
) -> None:
    """The classes differ at the ends of the images alone."""
    for name, ends in (("bright", 255), ("dark", 0)):
        (tmp_path / "oblong" / name).mkdir(parents=True)
        for number in range(10):
            pixels_HW = np.full((32, 96), 100 + number, np.uint8)
            pixels_HW[:, :24] = pixels_HW[:, -24:] = ends
            Image.fromarray(pixels_HW).save(tmp_path / "oblong" / name / f"{number}.png")
    how = ("--head", "logreg", "--fit", fit, "--augment", "none", "--out", "run", "--json")
    trained = zoo("finetune", "--backbone", "lenet5", "--data", "oblong", *how)
    assert json.loads(trained.stdout)["result"]["score"] == score
    measured = json.loads(zoo("evaluate", "run", "--data", "oblong", "--json").stdout)
    assert measured["score"] == score
    answered = zoo("predict", "run", "oblong", "--top", 1, "--json")
    answers = [
        (one["image"].split("/")[1], one["answers"][0]["class"]) for one in json.loads(answered.stdout)["predictions"]
    ]
    assert sum(true == answer for true, answer in answers) / len(answers) == score
