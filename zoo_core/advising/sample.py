"""The images that advice looks at: all that a training may see, or of many images a sample."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from zoo_core.catalog import Catalog
from zoo_core.data.arrange import arranged, fold_numbers, pooled
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Part, Source
from zoo_core.errors import DataError, UsageError, printable
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks import task_named
from zoo_core.tasks.grouped import group_numbers
from zoo_core.tasks.metrics import Counts
from zoo_core.training.opening import open_configured

FOLDS = 5
MOST_IMAGES = 4000
"""An accuracy over so many has an interval of at most 1.5 points to both sides, and one of 90 %
less than 1: narrower than the differences that matter."""


@dataclass(frozen=True)
class Sample:
    """The images of a decision. `config` has the settings by which a training gets the same images
    and measures a fold of them; a test part of the data stays untouched."""

    source: Source
    """The data, scanned."""
    config: FinetuneConfig
    part: Part
    """All images of the sample: those that the training of `config` trains on, validates with and
    measures."""
    fold_N: npt.NDArray[np.int64]
    """The fold of each image."""
    available: int
    """The images that a training may see, of which the sample is a part."""

    @property
    def classes(self) -> int:
        return len(self.source.classes)

    @property
    def is_whole(self) -> bool:
        return len(self.part) == self.available

    @property
    def images_per_class(self) -> float:
        """The mean number of images of a class that a training may see."""
        return self.available / self.classes

    @property
    def names(self) -> list[str]:
        """The names of the images, as answers.csv has them."""
        return [printable(self.part.images.name(index)) for index in range(len(self.part))]

    @cached_property
    def key(self) -> tuple[str, str]:
        """The images with their classes, and their groups: a decision depends on no other data."""
        groups = "" if self.groups_N is None else hashlib.sha256(self.groups_N.tobytes()).hexdigest()
        return self.part.digest(), groups

    @cached_property
    def groups_N(self) -> Counts | None:
        """The number of each image's group, None without groups."""
        return None if self.part.groups is None else group_numbers(self.part.groups)

    @cached_property
    def groups_by_image(self) -> dict[tuple[str, str], str] | None:
        """The group of each image by its name and digest, as answers.csv has them; None without."""
        if self.part.groups is None:
            return None
        digests = (self.part.images.digest(index).hex() for index in range(len(self.part)))
        return dict(zip(zip(self.names, digests, strict=True), self.part.groups, strict=True))

    @property
    def baseline(self) -> float:
        """The share of the most frequent class, which an answer without a look reaches."""
        return float(np.bincount(self.part.targets).max() / len(self.part))


def open_sample(config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None) -> Sample:
    """Open and scan the data of a config, and take the sample.

    Raises UsageError for another task than one class an image, DataError for images that cannot be
    used or are too few.
    """
    source = open_configured(config, catalog, watch)
    task = task_named(source.task)
    if not task.single_label:
        raise UsageError(
            f"zoo advise is for images with one class each, and {printable(source.title)} is for {source.task}. "
            "`zoo compare` compares backbones and strategies for every task: zoo compare --backbone A,B --data DATA."
        )
    task.check_outputs(printable(source.title), source.classes)
    source = scan_images(source, bad_images=config.bad_images, watch=watch)
    available = sum(len(part) for name, part in source.parts.items() if name != "test")
    config = sampled(config, available)
    try:
        part = pooled(list(arranged(source, config).parts.values()))
        return Sample(source, config, part, fold_numbers(part, FOLDS, config.seed, by_class=True), available)
    except DataError as error:
        raise DataError(f"{error} zoo advise measures {FOLDS} folds: give it more images.") from error


def sampled(config: FinetuneConfig, images: int) -> FinetuneConfig:
    """The config with the fold, and of many images the shares, with which a training sees
    MOST_IMAGES of them: a fifth measured, a fifth of the rest for validation."""
    if images <= MOST_IMAGES:
        return replace(config, fold=f"1/{FOLDS}")
    folds = math.ceil(images / (MOST_IMAGES / FOLDS))
    others, unmeasured = images * (1 - 1 / folds), MOST_IMAGES - images / folds
    val_share = max(0.01, 0.2 * unmeasured / others)  # no setting holds out less
    train_share = (unmeasured / others - val_share) / (1 - val_share)
    return replace(config, fold=f"1/{folds}", val_share=val_share, train_share=train_share)
