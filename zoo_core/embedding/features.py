"""`zoo_core.features`: a table of the features that a network gives for any images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.parts import part_named
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Source
from zoo_core.data.unlabelled import are_images, open_images, read_unlabelled
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import open_embedder
from zoo_core.errors import UnlabelledError, UsageError
from zoo_core.frozen.table import FeatureTable
from zoo_core.paths import user_path
from zoo_core.settings import Augment, BadImages, CacheType, FinetuneConfig, FitChoice, TaskChoice
from zoo_core.training.opening import open_dataset


@names_plugins
def features(
    backbone: str | Path,
    data: Any,
    *,
    at: str = POOLED,
    weights: str = "default",
    views: int = 1,
    augment: Augment = "auto",
    size: int | None = None,
    fit: FitChoice = "auto",
    task: TaskChoice = "auto",
    bad_images: BadImages = "fail",
    cache_dtype: CacheType = "float16",
    cache_gb: float = 10.0,
    device: str = "auto",
    workers: int | None = None,
    catalog: Catalog | None = None,
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> FeatureTable:
    """The features of all images of `data`, from the cache that trainings fill and read.

        with zoo_core.features("efficientnet_lite0", "photos/") as table:
            vectors, labels = np.asarray(table), table.targets

    `backbone` is a name, or a run, whose base has the weights that it ended with. `data` are all
    that a fine-tune takes, images without labels too: a folder without two folders of classes, a
    CSV file of paths alone, or a list of paths, PIL images, arrays and tensors. `at` is a stage or
    "pooled", the vector that a head gets. With `views` above 1 each image has the views that a
    fine-tune with this `augment` caches, the centre first. The other settings are those of
    `FinetuneConfig`. `scanning` and `watch` are told (done, of how many) while the images are
    inspected and computed.

    Each image is computed once, in float32, and the table rounds to `cache_dtype`: 1 part in 2,048
    for float16, the default of a fine-tune, and nothing for float32. Raises UsageError for an
    unknown backbone, stage or setting and where the features do not fit into the cache, DataError
    for images that cannot be read, and WeightsError where the weights cannot be had.
    """
    config = FinetuneConfig(
        backbone=str(backbone),
        data=data,
        weights=weights,
        views=views,
        augment=augment,
        size=size,
        fit=fit,
        task=task,
        bad_images=bad_images,
        cache_dtype=cache_dtype,
        cache_gb=cache_gb,
        device=device,
        workers=workers,
    )
    return table_of(backbone, config, at, catalog or open_catalog(), scanning=scanning, watch=watch)


def table_of(
    name: str | Path,
    config: FinetuneConfig,
    at: str,
    catalog: Catalog,
    *,
    scanning: Watch | None = None,
    watch: Watch | None = None,
    message: Callable[[str], None] = lambda text: None,
) -> FeatureTable:
    """`features` with the settings of a config; `message` hears of a wait."""
    if not config.views:
        raise UsageError(f"views must be a whole number of at least 1, got {config.views}.")
    embedder = open_embedder(name, config, at, catalog)
    return embedder.table(open_source(config, catalog, scanning), watch, message)


def open_source(config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None) -> Source:
    """The data of a config, scanned; images without labels have no targets."""
    return scan_images(open_unscanned(config, catalog, watch), bad_images=config.bad_images, watch=watch)


def open_unscanned(config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None) -> Source:
    """The data of a config before its images are opened; images without labels have no targets.

    Fewer than two classes with images are no labels: then every image below the folder counts.
    Folders of images whose names are all those of parts are no classes.
    """
    if are_images(config.data):
        return open_images(config.data, watch)
    path = user_path(config.data_text)
    try:
        source = open_dataset(config.data, catalog, config.task, watch)
        are_parts = all(part_named(name) for name in source.classes)
        labelled = not path.is_dir() or (len(source.classes) > 1 and not are_parts)
    except UnlabelledError:  # of a folder or a CSV file
        labelled = False
    return source if labelled else read_unlabelled(path)
