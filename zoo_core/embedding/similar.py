"""The images of a data set that are most similar to a photo, by the cosine of pooled features.

Shapes: N images, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog
from zoo_core.data.decode import open_image
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Source
from zoo_core.data.unlabelled import open_images
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import open_embedder
from zoo_core.embedding.features import open_source
from zoo_core.errors import DataError
from zoo_core.frozen.table import FeatureTable
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks import task_named

SHOWN = 512  # pixels of the longer side of an image in a picture


@dataclass(frozen=True)
class Neighbour:
    """An image that is similar to a photo."""

    image: str
    similarity: float
    """The cosine of the angle between the features of both, at most 1."""
    answer: str
    """The class, the labels or the numbers of the image, in words; empty without labels."""
    index: int
    """The place of the image in its data set."""


@dataclass(frozen=True)
class Similar:
    """The most similar images of a data set, the nearest first."""

    photo: Path
    source: Source
    copies: tuple[str, ...]
    """The images of the data with the same bytes as the photo, which are no neighbours."""
    neighbours: tuple[Neighbour, ...]
    num_computed: int
    """The images that the network computed; the cache had all others."""

    def image(self, neighbour: Neighbour) -> Image.Image:
        """A neighbour's image, for a picture."""
        index = neighbour.index
        for part in self.source.parts.values():
            if index < len(part):
                return part.images.read(index, at_least=SHOWN)
            index -= len(part)
        raise IndexError(neighbour.index)


@names_plugins
def similar(
    name: str | Path,
    photo: Path,
    config: FinetuneConfig,
    catalog: Catalog,
    *,
    top: int = 5,
    scanning: Watch | None = None,
    watch: Watch | None = None,
    message: Callable[[str], None] = lambda text: None,
) -> Similar:
    """Find the `top` images of `config.data` that are most similar to a photo.

    Similarity is the cosine of the angle between pooled features, u.v / (|u| |v|). `message` hears
    of a wait for another run. Raises as
    `zoo_core.features` does, and DataError for a photo that cannot be read or that is alone.
    """
    open_image(photo)  # raises before any work is done
    embedder = open_embedder(name, config, POOLED, catalog)
    with (
        embedder.table(open_source(config, catalog, scanning), watch, message) as table,
        embedder.table(open_images([photo])) as own,
    ):
        (digest,) = own.digests
        copies = np.array([one == digest for one in table.digests])
        cosines = np.where(copies, -np.inf, cosines_with(table, own[0]))
        nearest = np.argsort(-cosines, kind="stable")[: min(top, int((~copies).sum()))]
        if not len(nearest):
            raise DataError(f"{table.source.title} holds no image but {photo}. Give --data with other images.")
        neighbours = tuple(
            Neighbour(table.paths[index], float(cosines[index]), _answer(table, index), index)
            for index in nearest.tolist()
        )
        return Similar(
            photo=photo,
            source=table.source,
            copies=tuple(path for path, same in zip(table.paths, copies, strict=True) if same),
            neighbours=neighbours,
            num_computed=table.num_computed + own.num_computed,
        )


def cosines_with(table: FeatureTable, vector_F: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The cosine (N) of each row of a table of vectors with one vector; 0 for a vector of zeros."""
    wanted = vector_F.astype(np.float64)
    wanted /= np.linalg.norm(wanted) or 1.0
    found = []
    for rows_NF in table.chunks():
        lengths = np.linalg.norm(rows_NF.astype(np.float64), axis=1)
        found.append(rows_NF @ wanted / np.where(lengths > 0, lengths, 1.0))
    return np.concatenate(found)


def _answer(table: FeatureTable, index: int) -> str:
    """The target of an image in words."""
    if not table.classes:
        return ""
    return task_named(table.source.task).target_text(table.targets[index], table.classes)
