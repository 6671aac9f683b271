"""Doubtful labels: images that a classifier, which never saw them, takes for another class.

Shapes: N images, F features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from zoo_core.catalog import Catalog
from zoo_core.checking.labels import out_of_fold
from zoo_core.data.arrange import pooled
from zoo_core.data.groups import groups_of
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part, Source
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import open_embedder
from zoo_core.errors import ZooError
from zoo_core.reporting.gather import Measured

FEWEST = 20  # images from which a classifier is fitted: a fold holds out a fifth of them


@dataclass(frozen=True)
class Doubt:
    """An image (by part and index in it) whose label is doubted, with the probabilities of its own
    class and of the class that it looks like."""

    part: Part
    index: int
    label: int
    like: int
    own: float
    other: float


def doubtful_labels(
    measured: Measured, catalog: Catalog, computing: Watch | None = None, fitting: Watch | None = None
) -> list[Doubt] | str:
    """The images, of all parts, for which another class is more probable than their own, the largest
    odds of the other one first; or the reason why they were not looked for.

    The probabilities are those of a logistic regression on the other folds' features of the
    pretrained backbone: a trained one may have learned the wrong labels. Confident learning
    (Northcutt, Jiang, Chuang 2021, arXiv 1911.00068) ranks by the probability of the own label; the
    odds leave behind images that are like no class. `benchmarks/doubts.py` compares both. Equal
    images share a fold, and so do those of a group.
    """
    source, facts = measured.source, measured.facts
    own = facts.config
    if facts.start is None or own.weights not in ("default", facts.start.tag):
        return "they are looked for with the features of a pretrained backbone, and this run had other weights."
    parts = list(source.parts.values())
    labels_N = np.concatenate([part.targets for part in parts])
    counts = np.bincount(labels_N, minlength=len(source.classes))
    if len(labels_N) < FEWEST or (counts > 1).sum() < 2:
        return f"{len(labels_N)} images are too few for a classifier of their own."
    try:
        vectors_NF = _features(measured, source, catalog, computing)
    except ZooError as error:
        return f"the features of the pretrained backbone cannot be had: {error}"
    groups_N = groups_of(pooled(parts), None).number_N
    probabilities_NK = out_of_fold(vectors_NF, labels_N, groups_N, len(source.classes), fitting)
    return ranked(probabilities_NK, labels_N, parts)


def _features(measured: Measured, source: Source, catalog: Catalog, watch: Watch | None) -> npt.NDArray[np.float32]:
    config, device = measured.facts.config, str(measured.predictor.device)
    embedder = open_embedder(
        config.backbone, replace(config, head="linear", views=1, device=device, workers=None), POOLED, catalog
    )
    with embedder.table(source, watch) as table:
        return np.asarray(table)


def ranked(
    probabilities_NK: npt.NDArray[np.float64], labels_N: npt.NDArray[np.int64], parts: list[Part]
) -> list[Doubt]:
    """The images of which another class is more probable than their own (N of the parts, one after the
    other), the smallest share of the own probability in that of the other first."""
    rows = np.arange(len(labels_N))
    own_N, like_N = probabilities_NK[rows, labels_N], probabilities_NK.argmax(1)
    odds_N = own_N / probabilities_NK[rows, like_N]
    ends = np.cumsum([len(part) for part in parts])
    found = []
    for row in np.argsort(odds_N, kind="stable").tolist():
        if like_N[row] != labels_N[row]:
            place = int(np.searchsorted(ends, row, side="right"))
            index = row - int(ends[place] - len(parts[place]))
            like = int(like_N[row])
            found.append(
                Doubt(
                    parts[place], index, int(labels_N[row]), like, float(own_N[row]), float(probabilities_NK[row, like])
                )
            )
    return found
