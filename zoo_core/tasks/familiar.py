"""The distance of an image's features to those of the training images, beyond which it is a
stranger.

Shapes: N images, F features, G groups (classes, or one of all images), D directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zoo_core.algebra import eigh, product
from zoo_core.tasks.calibration import conformal_bound
from zoo_core.tasks.metrics import Counts, FloatArray

MOST_DIRECTIONS = 64  # a file of 64 x F numbers: 0.3 MB where a base gives 1,280
MOST_FEATURES = 4096  # a pooled vector has no more; of flattened maps the file would be as large as a model
KNOWN = 0.95  # share of the validation images that lie within the limit
FEWEST_IN_GROUP = 3  # images on average: the mean of fewer is no place to measure from
ROUNDING = 1e-12  # of vectors of length 1: a variance of less is that of equal images
FLOOR = 1e-6  # of a spread, for directions in which no training image differs


@dataclass(frozen=True, eq=False)
class Familiar:
    """A normal distribution around the mean of each group, with one covariance for all of them.

    Features are divided by their length first. The covariance has a spread along each of D
    directions and one for the rest of the space (probabilistic PCA: Tipping and Bishop 1999).
    """

    means_GF: FloatArray
    directions_DF: FloatArray
    spreads_D: FloatArray
    rest: float
    """The spread along every other direction."""
    limit: float = np.inf
    """The distance within which 95 % of the validation images lie."""

    def distances(self, features_NF: FloatArray) -> FloatArray:
        """The Mahalanobis distance to the nearest mean (Lee et al. 2018, arXiv 1807.03888), divided
        by the square root of F, so that it is near 1 for images like the training ones (N)."""
        unit_NF = _unit(features_NF)
        along_ND, means_GD = (product(one, self.directions_DF.T) for one in (unit_NF, self.means_GF))
        lengths_NG = _squares(unit_NF, self.means_GF)
        within_NG = _squares(along_ND, means_GD)
        scaled_NG = _squares(along_ND / self.spreads_D, means_GD / self.spreads_D)
        squares_NG = np.maximum(scaled_NG, 0) + np.maximum(lengths_NG - within_NG, 0) / self.rest**2
        distances_N: FloatArray = np.sqrt(squares_NG.min(1) / features_NF.shape[1])
        return distances_N

    def limited_by(self, features_NF: FloatArray) -> Familiar | None:
        """With the limit of these validation features; None where they are too few for one, or not
        finite."""
        limit = conformal_bound(self.distances(features_NF), KNOWN)
        return replace(self, limit=limit) if limit is not None and 0 < limit < np.inf else None


def fit_familiar(features_NF: FloatArray, groups_N: Counts) -> Familiar | None:
    """The distribution of training features in groups; None for features that are too many, equal,
    or not finite. With too few images for each group all are one group."""
    if features_NF.shape[1] > MOST_FEATURES or len(features_NF) < 2 or not np.isfinite(features_NF).all():
        return None
    unit_NF = _unit(features_NF)
    names, places_N = np.unique(groups_N, return_inverse=True)
    if len(unit_NF) < FEWEST_IN_GROUP * len(names):
        names, places_N = names[:1], np.zeros_like(places_N)
    means_GF = np.stack([unit_NF[places_N == place].mean(0) for place in range(len(names))])
    centred_NF = unit_NF - means_GF[places_N]
    try:
        variances, directions = _principal(centred_NF)
    except np.linalg.LinAlgError:  # it did not converge
        return None
    differing = int(np.count_nonzero(variances > ROUNDING * variances.sum()))
    count = min(MOST_DIRECTIONS, (len(unit_NF) - len(names)) // 2, len(variances) - 1, differing)
    floor = FLOOR * np.sqrt(variances.sum() / unit_NF.shape[1])
    if count < 1 or variances.sum() < ROUNDING:
        return None
    rest = np.sqrt(variances[count:].sum() / max(1, unit_NF.shape[1] - count))
    return Familiar(
        means_GF, directions[:count], np.maximum(np.sqrt(variances[:count]), floor), max(float(rest), floor)
    )


def _principal(centred_NF: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The variances along the principal directions, the largest first, and the directions (D, F), by
    the smaller of the two matrices of products, which is faster than a singular value
    decomposition. A direction without variance is none.
    """
    is_wide = len(centred_NF) < centred_NF.shape[1]
    pair = (centred_NF, centred_NF.T) if is_wide else (centred_NF.T, centred_NF)
    squares, vectors = eigh(product(*pair))
    squares, vectors = np.maximum(squares[::-1], 0.0), np.ascontiguousarray(vectors[:, ::-1].T)
    if is_wide:
        vectors = product(vectors, centred_NF) / np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))[:, None]
    return squares / len(centred_NF), vectors


def _unit(features_NF: FloatArray) -> FloatArray:
    lengths_N1 = np.linalg.norm(features_NF, axis=1, keepdims=True)
    return np.asarray(features_NF / np.maximum(lengths_N1, 1e-12))  # features of zeros stay zeros


def _squares(one_NF: FloatArray, other_GF: FloatArray) -> FloatArray:
    """The squared distances of each to each (N, G)."""
    products_NG = product(one_NF, other_GF.T)
    return np.asarray(np.square(one_NF).sum(1)[:, None] + np.square(other_GF).sum(1) - 2 * products_NG)
