"""What is decided where nobody said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo_core.catalog import Catalog
from zoo_core.data.sources import ArrayImages, Part
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import Preprocessing
from zoo_core.training.defaults import fill_in_defaults

PREPROCESSING = Preprocessing(size=224, mean=(0.5,) * 3, std=(0.5,) * 3)


def part(count: int, side: int = 300) -> Part:
    pixels = np.zeros((1, side, side, 3), np.uint8).repeat(count, axis=0) if count < 100 else None
    images = ArrayImages("some", pixels if pixels is not None else np.broadcast_to(np.uint8(0), (count, side, side, 3)))
    return Part(images, np.zeros(count, np.int64))


def decided(catalog: Catalog, train: Part, *, pretrained: bool = True, parameters: int = 23_500_000, **given: object):
    spec = catalog.backbone("resnet50").spec
    config = FinetuneConfig(backbone="resnet50", **given)
    return fill_in_defaults(config, spec, train, PREPROCESSING, parameters=parameters, pretrained=pretrained)


def test_few_images_freeze_a_pretrained_base_and_very_many_do_not(catalog: Catalog) -> None:
    few, many = decided(catalog, part(50)), decided(catalog, part(235_000, side=4))
    assert (few.strategy, few.base_lr, few.epochs) == ("head-only", 0.1, 30)
    assert (many.strategy, many.base_lr, many.epochs) == ("full", 0.2, 10)
    assert decided(catalog, part(234_999, side=4)).strategy == "head-only"


def test_from_scratch_everything_learns(catalog: Catalog) -> None:
    config = decided(catalog, part(50), pretrained=False)
    assert (config.strategy, config.base_lr) == ("full", 0.2)


def test_small_images_are_flipped_and_large_ones_cropped(catalog: Catalog) -> None:
    assert decided(catalog, part(5, side=255)).augment == "flip"
    assert decided(catalog, part(5, side=256)).augment == "crop-flip"


def test_epochs_are_many_where_they_cost_next_to_nothing(catalog: Catalog) -> None:
    assert decided(catalog, part(50), strategy="full").epochs == 30
    assert decided(catalog, part(99), strategy="full").epochs == 10


def test_what_was_said_is_left_alone(catalog: Catalog) -> None:
    said = {"strategy": "last:2", "augment": "none", "epochs": 3, "base_lr": 0.5}
    config = decided(catalog, part(50), **said)
    assert {name: getattr(config, name) for name in said} == said


@pytest.mark.parametrize("name", ["strategy", "augment", "epochs", "base_lr"])
def test_a_run_writes_down_what_was_decided(catalog: Catalog, photos: Path, name: str) -> None:
    from zoo_core.training.job import prepare

    job = prepare(FinetuneConfig(backbone="lenet5", data=str(photos)), catalog)
    assert getattr(job.config, name) not in ("auto", None)
    assert job.facts().config == job.config
