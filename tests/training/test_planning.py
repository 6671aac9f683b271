"""A plan shown before a training is that of the training, down to the bytes of the cache.

Seen to fail: the cache was counted before the head's pooling, 49 times too large, and `--head` was not looked at.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError
from zoo_core.settings import FinetuneConfig
from zoo_core.training.planning import plan_for_images, plan_without_images

HALF = 2  # bytes of a float16


@pytest.mark.parametrize(
    ("head", "strategy", "numbers"),
    [
        ("linear", "head-only", 512),
        ("flatten", "head-only", 512 * 7 * 7),
        ("linear", "last:1", 256 * 14 * 14),
        ("linear", "full", 0),
    ],
)
def test_the_cache_is_counted_at_the_split_point(catalog: Catalog, head: str, strategy: str, numbers: int) -> None:
    planned = plan_without_images(FinetuneConfig(backbone="resnet18", head=head, strategy=strategy), catalog)
    assert planned.bytes_cached == (numbers * HALF,)


def test_the_plan_without_images_is_that_for_images(catalog: Catalog, photos: Path) -> None:
    config = {"backbone": "lenet5", "strategy": "head-only", "size": 48, "weights": "none"}
    for head in ("linear", "logreg"):
        without = plan_without_images(FinetuneConfig(**config, head=head), catalog)
        given = plan_for_images(FinetuneConfig(**config, head=head, data=str(photos)), catalog)
        assert without.plan == given.plan
        assert without.bytes_cached == given.bytes_cached == (120 * HALF,)


@pytest.mark.parametrize(("head", "fine_tunes"), [("linear", True), ("logreg", False)])
def test_auto_is_told_by_the_rule_of_a_training(catalog: Catalog, head: str, fine_tunes: bool) -> None:
    """A head that is solved keeps the backbone frozen, however many images there are."""
    (note,) = plan_without_images(FinetuneConfig(backbone="resnet18", head=head), catalog).notes
    assert ("last:2 with at least 1,100, 110 a class" in note) == fine_tunes
    small = ", or 500 of few pixels, 50 a class" if fine_tunes else ""
    assert note.endswith(f"full with at least 111,766 training images{small}.")


def test_a_plan_needs_a_head_that_there_is(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="No head 'nowhere'"):
        plan_without_images(FinetuneConfig(backbone="lenet5", head="nowhere"), catalog)
