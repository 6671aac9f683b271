"""The training images whose features are most like those of an image that is explained.

Shapes: F features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from zoo_core.catalog import Catalog
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Source
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import Embedder, open_embedder
from zoo_core.embedding.similar import cosines_with
from zoo_core.frozen.split import FrozenPrefix
from zoo_core.frozen.table import FeatureTable
from zoo_core.run_images import training_images
from zoo_core.runs.directory import read_run
from zoo_core.tasks import task_named

SHOWN = 300  # pixels of the longer side of an image in a picture


@dataclass(frozen=True)
class Nearest:
    """A training image that is like an explained one."""

    image: str
    answer: str
    """Its class, its labels or its numbers, in words."""
    caption: str
    """The answer; of numbers the explained one alone, as a picture has no room for all."""
    similarity: float
    """The cosine of the angle between the pooled features of both, at most 1."""
    source: Source
    index: int

    def read(self) -> Image.Image:
        """The image, for a picture."""
        return self.source.parts["train"].images.read(self.index, at_least=SHOWN)


@dataclass(frozen=True)
class TrainingImages:
    """The features of a run's training images, and the beginning of its network that gives them."""

    embedder: Embedder
    prefix: FrozenPrefix
    table: FeatureTable
    count: int
    """How many nearest images are named."""

    def nearest(self, image_1CSS: Tensor, name: str) -> tuple[Nearest, ...]:
        """The nearest training images of a normalised image, the nearest first, for the explanation
        of one output."""
        vector_F = self.prefix(image_1CSS)[self.embedder.split].flatten().float().cpu().numpy()
        cosines_N = cosines_with(self.table, vector_F)
        source = self.table.source
        task, targets = task_named(source.task), source.parts["train"].targets
        found, column = [], source.classes.index(name)
        for index in np.argsort(-cosines_N, kind="stable")[: self.count].tolist():
            answer = task.target_text(targets[index], source.classes)
            caption = task.answer_text(float(targets[index][column])) if task.answers_with_all else answer
            found.append(Nearest(self.table.paths[index], answer, caption, float(cosines_N[index]), source, index))
        return tuple(found)


def open_training_images(
    run: Path,
    catalog: Catalog,
    *,
    count: int,
    device: str = "auto",
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> TrainingImages:
    """Compute the features of a run's training images, or take them from the cache.

    `scanning` and `watch` are told (done, of how many). Raises DataError where its images are gone
    or have changed, and as `zoo_core.features`.
    """
    facts = read_run(run).facts
    source = training_images(run, facts, catalog, scanning)
    config = replace(facts.config, device=device, views=1, workers=None, weights="default", size=None, fit="auto")
    embedder = open_embedder(run, config, POOLED, catalog)
    table = embedder.table(source, watch)
    return TrainingImages(embedder, FrozenPrefix(embedder.model, [embedder.split]), table, count)
