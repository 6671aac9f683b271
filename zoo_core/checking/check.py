"""`zoo_core.check_data`: everything that can be found about a data set without training on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.checking.backbone import best_on_this_machine
from zoo_core.checking.classes import class_suspects
from zoo_core.checking.duplicates import (
    LEAST_SIDE,
    Neighbours,
    Pair,
    coarse,
    equal_files,
    groups_of,
    near_duplicates,
    nearest,
)
from zoo_core.checking.images import ImageList
from zoo_core.checking.labels import averaged, label_suspects, out_of_fold
from zoo_core.checking.odd import crop_sentence, odd_images
from zoo_core.checking.pixels import PixelMeasures, measure_pixels
from zoo_core.checking.report import (
    CROP,
    DUPLICATE,
    GROUP_LEAK,
    KINDS,
    LABEL,
    LEAK,
    NEAR_DUPLICATE,
    TWO_CLASSES,
    TWO_GROUPS,
    UNREADABLE,
    Finding,
    Kind,
    Report,
    Suspect,
)
from zoo_core.data.batches import default_workers
from zoo_core.data.dealing import joined
from zoo_core.data.fix_list import DROP, RELABEL
from zoo_core.data.groups import parts_in_words, shared_groups, with_groups
from zoo_core.data.scan import Watch, find_bad_images
from zoo_core.data.sources import Source
from zoo_core.data.unlabelled import PARTS
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import Embedder, open_embedder
from zoo_core.embedding.features import open_unscanned
from zoo_core.errors import DataError, printable
from zoo_core.settings import CacheType, FinetuneConfig, FitChoice, TaskChoice
from zoo_core.training.job import with_fit
from zoo_core.weights_specs import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from zoo_core.wording import counted, percent

Vectors = npt.NDArray[np.float32]
Found = dict[Kind, list[Suspect]]
AUTO, NO_BACKBONE = "auto", "none"
USUAL = Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""The crop of most weights, which is supposed where no network has one of its own."""
FEWEST_FITTED = 20
"""Images from which a classifier is fitted: a fold holds out a fifth of them."""


@dataclass(frozen=True)
class Progress:
    """Callbacks, each told (done, of how many); `message` hears of a wait for another run."""

    scanning: Watch | None = None
    measuring: Watch | None = None
    computing: Watch | None = None
    comparing: Watch | None = None
    fitting: Watch | None = None
    message: Callable[[str], None] = lambda text: None


@names_plugins
def check_data(
    data: Any,
    *,
    backbone: str = AUTO,
    weights: str = "default",
    fit: FitChoice = "auto",
    task: TaskChoice = "auto",
    group_by: str = "column",
    cache_dtype: CacheType = "float16",
    cache_gb: float = 10.0,
    device: str = "auto",
    workers: int | None = None,
    catalog: Catalog | None = None,
    progress: Progress | None = None,
) -> Report:
    """Find broken and odd images, duplicates, leakage between parts, and suspected labels.

        report = zoo_core.check_data("photos/")
        for finding in report.findings:
            print(finding.kind.name, len(finding.suspects), finding.suspects[0].detail)

    `data` are all that `zoo_core.features` takes, images without labels too. `backbone` is a
    backbone or a run, whose cached features trainings share; "auto" is the best installed one whose
    weights are on this machine, and "none" leaves out the checks that need one. A `fit` of "pad" or
    "squash" shows networks whole images, so that none is cut off. `group_by` is that of a
    fine-tune: a group in two parts is found, and a photo in two groups. Raises UsageError and
    WeightsError as `zoo_core.features` does, and DataError where no image can be read.
    """
    catalog, progress = catalog or open_catalog(), progress or Progress()
    name = (best_on_this_machine(catalog) or NO_BACKBONE) if backbone == AUTO else backbone
    config = FinetuneConfig(
        backbone=name,
        data=data,
        weights=weights,
        fit=fit,
        task=task,
        group_by=group_by,
        cache_dtype=cache_dtype,
        cache_gb=cache_gb,
        device=device,
        workers=workers,
        views=1,
    )
    listed = with_groups(open_unscanned(config, catalog, progress.scanning), group_by)
    embedder = None if name == NO_BACKBONE else open_embedder(name, config, POOLED, catalog)
    source, bad = find_bad_images(listed, progress.scanning)
    source = replace(source, parts={part: own for part, own in source.parts.items() if len(own)})
    if not source.parts:
        raise DataError(f"no image of {printable(source.title)} can be read: {bad[0] if bad else 'there is none'}.")
    images = ImageList(source)
    views, num_computed = _features(_embedders(embedder, images), source, progress)
    measures = measure_pixels(source, workers or default_workers(), progress.measuring)
    neighbours = nearest(views[0] if views else coarse(measures.thumbnails), progress.comparing)
    near = near_duplicates(neighbours, measures, images.digests, progress.comparing)
    pairs = [*equal_files(images.digests), *near]
    suspected, reason = _labels(images, views, neighbours, pairs, progress.fitting)
    found = {
        UNREADABLE: [Suspect(one.problem, image=one.name, suggestion=DROP if one.name else "") for one in bad],
        **_pair_suspects(images, pairs),
        GROUP_LEAK: _group_leaks(source),
        LABEL: suspected,
        **_odd_suspects(images, measures, embedder.preprocessing if embedder else with_fit(USUAL, fit)),
        **class_suspects(source),
    }
    return Report(
        source=source,
        names=images.names,
        labels=images.labels,
        findings=tuple(Finding(kind, tuple(found[kind])) for kind in KINDS if found.get(kind)),
        backbone=name if embedder else None,
        left_out=tuple(filter(None, (None if embedder else _without_network(backbone), _too_small(measures), reason))),
        num_computed=num_computed,
        is_run=embedder is not None and embedder.is_run,
    )


def _embedders(embedder: Embedder | None, images: ImageList) -> list[Embedder]:
    """The network with its own preprocessing; where that crops, and labels can be checked, also one
    that is shown whole images: the object may stand beside the middle."""
    if embedder is None:
        return []
    whole = replace(embedder, preprocessing=with_fit(embedder.preprocessing, "pad"))
    return [embedder, whole] if embedder.preprocessing.fit == "crop" and not _obstacle(images) else [embedder]


def _features(embedders: Sequence[Embedder], source: Source, progress: Progress) -> tuple[list[Vectors], int]:
    """The pooled features (N, F) of all images by each of the networks, from the cache, and the
    number of new images."""
    views, num_computed = [], 0
    for place, embedder in enumerate(embedders):
        watch = _part_of(progress.computing, place, len(embedders))
        with embedder.table(source, watch, progress.message) as table:
            views.append(np.asarray(table))
            num_computed = max(num_computed, table.num_computed)
    return views, num_computed


def _part_of(watch: Watch | None, place: int, count: int) -> Watch | None:
    """The callback for one of several equal parts of a work, which is told of the whole."""
    return watch and (lambda done, total: watch(place * total + done, count * total))


def _pair_suspects(images: ImageList, pairs: Sequence[Pair]) -> Found:
    """A suspect for each pair, of one kind: in two parts, else under two classes, else in two
    groups, else in one.

    Of a pair in two parts the image to leave out is the one that is trained on, so that the images
    that measure stay. Of a pair with two answers nobody but a person knows the right one.
    """
    found: Found = {LEAK: [], TWO_CLASSES: [], TWO_GROUPS: [], DUPLICATE: [], NEAR_DUPLICATE: []}
    for pair in pairs:
        one, other = sorted((pair.first, pair.second), key=lambda index: (PARTS.index(images.parts[index]), index))
        parts = images.parts[one], images.parts[other]
        differ = images.labels[one] != images.labels[other]
        groups = images.groups[one], images.groups[other]
        kind = DUPLICATE if pair.equal else NEAR_DUPLICATE
        kind = TWO_GROUPS if groups[0] != groups[1] else kind
        kind = LEAK if parts[0] != parts[1] else TWO_CLASSES if differ and images.has_classes else kind
        likeness = "equal to" if pair.equal else f"match {pair.match:.2f} with"
        label = f"{images.target_word} '{printable(images.labels[other])}'"
        group = f"group '{printable(str(groups[1]))}'"
        where = ", ".join([parts[1]] * (kind is LEAK) + [label] * differ + [group] * (groups[0] != groups[1]))
        where = f" ({where})" if where else ""
        detail = f"{likeness} {printable(images.names[other])}{where}"
        suggestion = "" if differ else DROP
        found[kind].append(images.suspect(one, detail, score=pair.match, other=other, suggestion=suggestion))
    return found


def _group_leaks(source: Source) -> list[Suspect]:
    """A sentence on each group that stands in two parts, the largest first."""
    shared = sorted(shared_groups(source).items(), key=lambda one: -sum(one[1].values()))
    return [Suspect(f"group '{printable(group)}' has {parts_in_words(parts)}") for group, parts in shared]


def _obstacle(images: ImageList) -> str | None:
    """The sentence why the labels of these images cannot be checked; None where they can."""
    source = images.source
    if not images.has_classes:
        reason = f"the task is {source.task}" if source.classes else "these images have none"
        return f"Labels were not checked: that needs one class an image, and {reason}."
    counts = np.bincount(images.targets, minlength=len(source.classes))
    if (counts > 1).sum() < 2:
        return "Labels were not checked: that needs two classes with two images or more."
    if len(images) < FEWEST_FITTED:
        return f"Labels were not checked: {counted(len(images), 'image')} are too few to tell classes apart."
    return None


def _labels(
    images: ImageList, views: Sequence[Vectors], neighbours: Neighbours, pairs: Sequence[Pair], watch: Watch | None
) -> tuple[list[Suspect], str | None]:
    """The suspected labels, and a sentence where not all are named or none looked for."""
    if (obstacle := _obstacle(images)) or not views:  # without a network that is said with the other checks
        return [], obstacle
    source = images.source
    groups = groups_of(len(images), pairs)
    if all(images.groups):
        groups = joined(groups.tolist(), images.groups)
    probabilities = averaged(
        [
            out_of_fold(one, images.targets, groups, len(source.classes), _part_of(watch, place, len(views)))
            for place, one in enumerate(views)
        ]
    )
    suspects = []
    named, further = label_suspects(probabilities, images.targets, neighbours.indices_NM, groups)
    for one in named:
        own, like = (printable(source.classes[label]) for label in (int(images.targets[one.index]), one.looks_like))
        detail = f"looks like '{like}' ({percent(one.other, 0)}), not '{own}' ({percent(one.confidence, 0)})"
        suggestion = f"{RELABEL}{source.classes[one.looks_like]}"
        suspects.append(images.suspect(one.index, detail, score=one.confidence, suggestion=suggestion))
    return suspects, _further(further)


def _further(count: int) -> str | None:
    """The labels that are doubted and not named; None where there are none."""
    if not count:
        return None
    return (
        f"{counted(count, 'more label')} {'is' if count == 1 else 'are'} doubted less, and not named: decide on the "
        "named ones, and check again."
    )


def _odd_suspects(images: ImageList, measures: PixelMeasures, preprocessing: Preprocessing) -> Found:
    found = {
        kind: [images.suspect(index, detail, score=score) for index, score, detail in suspects]
        for kind, suspects in odd_images(measures, preprocessing).items()
    }
    sentence = crop_sentence(measures, preprocessing)
    return {**found, CROP: [] if sentence is None else [Suspect(sentence)]}


def _too_small(measures: PixelMeasures) -> str | None:
    """The images of which few are compared in detail; None where there are none."""
    small = int((measures.shorter < LEAST_SIDE).sum())
    if not small:
        return None
    return (
        f"Among {counted(small, 'image')} with a side of fewer than {LEAST_SIDE} pixels only near-duplicates that stand "
        "out were looked for: so few pixels have few details in which two photos differ."
    )


def _without_network(backbone: str) -> str:
    reason = (
        "--backbone is none"
        if backbone == NO_BACKBONE
        else "no installed backbone has its weights on this machine (`zoo pull NAME` fetches some)"
    )
    return (
        f"No network was used, because {reason}: near-duplicates were looked for by their thumbnails alone, labels were "
        "not checked, and the centre crop is supposed to be that of most networks."
    )
