"""A training that can hardly succeed is told so beforehand, with a change that can; a sound one is not.

Each of these was trained without a word.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo_core
from helpers import make_photos
from zoo_core import FinetuneConfig
from zoo_core.catalog import Catalog
from zoo_core.training.job import prepare

PRETRAINED = "Pretrained weights do better, such as those of --backbone efficientnet_lite0."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in colour; digits in black on white, and in white on black."""
    root = tmp_path_factory.mktemp("prospects")
    make_photos(root / "colour", count=6)
    generator = np.random.default_rng(0)
    for name in ("black", "white"):
        for label in ("0", "1"):
            (root / name / label).mkdir(parents=True)
            for number in range(6):
                pixels = np.zeros((32, 32), dtype=np.uint8)
                pixels[8:24, 12 + generator.integers(4) : 20] = 255
                Image.fromarray(pixels if name == "white" else 255 - pixels).save(root / name / label / f"{number}.png")
    return root


POOR: list[tuple[dict[str, Any], str]] = [
    (
        {"backbone": "lenet5", "data": "colour"},
        f"The images are in colour, and lenet5 sees them in grey, 32 x 32 pixels small: it will hardly tell them apart. "
        f"{PRETRAINED}",
    ),
    (
        {"backbone": "zfnet", "data": "colour", "size": 64},
        "From scratch, zfnet has 3.7 M parameters for 10 training images, more than 100 for each: it will hardly beat an "
        f"answer that never looks at the image. {PRETRAINED}",
    ),
    (
        {"backbone": "resnet18", "data": "colour", "weights": "none", "size": 32},
        "From scratch, resnet18 has 11.2 M parameters for 10 training images, more than 100 for each: it will hardly beat "
        "an answer that never looks at the image. Pretrained weights do better: leave out --weights none.",
    ),
    (
        {"backbone": "lenet5", "data": "white", "weights": "none", "strategy": "last:1"},
        f"The weights of c1, c3 are random, and the strategy leaves them so. --strategy full trains them. {PRETRAINED}",
    ),
    (
        {"backbone": "lenet5", "data": "black", "strategy": "head-only"},
        "Most images are bright where those of the weights were dark, or the reverse, and c1, c3, c5 will not be trained "
        "to see them so. Invert the images, or give --strategy full.",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), POOR, ids=[sentence[:40] for _, sentence in POOR])
def test_poor_prospects_are_told_with_a_way_out(
    data: Path, catalog: Catalog, settings: dict[str, Any], sentence: str
) -> None:
    job = prepare(FinetuneConfig(**{**settings, "data": str(data / settings["data"])}), catalog)
    assert sentence in job.notes


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "lenet5", "data": "white", "strategy": "head-only"},
        {"backbone": "lenet5", "data": "black", "strategy": "full"},
        {"backbone": "lenet5", "data": "fashion-small", "weights": "none"},
        {"backbone": "efficientnet_lite0", "data": "colour", "size": 64},
    ],
)
def test_nothing_is_said_against_a_sound_training(data: Path, catalog: Catalog, settings: dict[str, Any]) -> None:
    place = data / settings["data"]
    job = prepare(FinetuneConfig(**{**settings, "data": str(place) if place.exists() else settings["data"]}), catalog)
    assert job.notes == ()


def test_a_negative_of_the_weights_images_is_answered_with_a_hint(data: Path, catalog: Catalog) -> None:
    predictor = zoo_core.load("lenet5", catalog=catalog)
    black, white = (predictor.predict(data / name / "0" / "0.png")[0] for name in ("black", "white"))
    assert black.hint == "the image is bright where those of the weights were dark, or the reverse: invert it"
    assert white.hint is None
    run = replace(predictor, facts=object())  # a run may have learned from such images
    assert run.predict(data / "black" / "0" / "0.png")[0].hint is None
