"""Suspected labels: images that a classifier, which never saw them, is sure to be of another class.

Shapes: N images, F features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from zoo_core.data.scan import Watch
from zoo_core.model.solvers import DECAYS, FOLDS, solve_without, stratified_folds, to_unit_scale

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TRIED = DECAYS[1:5]
"""The L2 penalties that are tried, 1 to 1e-3, from the strongest until the loss rises again."""
ODDS = 15
"""Another class has to be so many times as probable as an image's own. `benchmarks/check.py` counts
the planted labels that are found so, and the others that are named."""
AGREEING = 1
MIXED = 0.05
"""The share of images of another class than the first of their group from which groups are no
versions of one photo, but hold several classes."""
LEAST_IN_CLASS = 5  # images: of fewer a fold may leave no two to learn from


@dataclass(frozen=True)
class LabelSuspect:
    """An image (by its index) whose label is doubted, and the class that it looks like.

    `confidence` is the probability of its own label, `other` that of the class it looks like.
    """

    index: int
    looks_like: int
    confidence: float
    other: float


def out_of_fold(
    vectors_NF: npt.NDArray[np.float32], labels_N: Ints, groups_N: Ints, num_classes: int, watch: Watch | None = None
) -> Floats:
    """The probabilities (N, K) that a logistic regression on the other folds gives each image.

    Images of one group, the versions of one photo, are in one fold: a copy with the same wrong
    label would vouch for it. So are those of a group of the data. The penalty is that of TRIED with
    the lowest cross-entropy on held-out images.
    """
    features_NF, _, _ = to_unit_scale(torch.from_numpy(vectors_NF).double())
    if len(features_NF) < features_NF.shape[1]:  # the optimum lies in the span of the images: fewer numbers
        features_NF = features_NF @ torch.linalg.qr(features_NF.T).Q
    targets_N = torch.from_numpy(labels_N)
    fold_N = torch.from_numpy(grouped_folds(labels_N, groups_N, num_classes))
    folds = [fold for fold in range(FOLDS) if (fold_N == fold).any()]
    starts: dict[int, Tensor | None] = dict.fromkeys(folds)
    best_loss, best_NK = float("inf"), torch.zeros(len(targets_N), num_classes, dtype=torch.float64)
    done, total = 0, len(TRIED) * len(folds)
    for decay in TRIED:
        logits_NK = torch.zeros_like(best_NK)
        for fold in folds:
            held_N = fold_N == fold
            logits_NK[held_N], starts[fold] = solve_without(
                held_N, features_NF, targets_N, num_classes, decay, starts[fold]
            )
            done += 1
            if watch:
                watch(done, total)
        loss = functional.cross_entropy(logits_NK, targets_N).item()
        if loss >= best_loss:
            break
        best_loss, best_NK = loss, logits_NK
    if watch:
        watch(total, total)
    return best_NK.softmax(1).numpy()


def grouped_folds(labels_N: Ints, groups_N: Ints, num_classes: int) -> Ints:
    """The fold (N) of each image, one for all images of a group: `stratified_folds` of the first of
    each group, or of all where groups hold several classes."""
    _, first_G, group_N = np.unique(groups_N, return_index=True, return_inverse=True)
    if (labels_N != labels_N[first_G[group_N]]).mean() > MIXED:
        return np.asarray(stratified_folds(torch.from_numpy(labels_N), num_classes, 0, group_N))
    fold_G = stratified_folds(torch.from_numpy(labels_N[first_G]), num_classes, seed=0).numpy()
    fold_N: Ints = fold_G[group_N]
    return fold_N


def label_suspects(probabilities_NK: Floats, labels_N: Ints, neighbours_NM: Ints, groups_N: Ints) -> list[LabelSuspect]:
    """The images whose label is doubted, the least self-confidence first.

    The self-confidence of an image is p_own, the out-of-fold probability of its own label, by which
    confident learning ranks (Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty
    in dataset labels", JAIR 70, 2021, arXiv 1911.00068). An image is named where

        p_own <= p_other / ODDS,  with p_other the largest probability of another class,

    and at most AGREEING of its nearest neighbours (N, M) have its label, not counting those of its
    own group: a copy with the same wrong label does not vouch for it. So the number of suspects
    follows from the data: where classes are hard to tell apart, the probabilities are even, and few
    images are named. Classes with fewer than LEAST_IN_CLASS images are passed over.
    """
    rows = np.arange(len(labels_N))
    own_N = probabilities_NK[rows, labels_N]
    others_NK = probabilities_NK.copy()
    others_NK[rows, labels_N] = -1
    like_N = others_NK.argmax(1)
    other_N = others_NK[rows, like_N]
    others_NM = groups_N[neighbours_NM] != groups_N[:, None]
    agreeing_N = ((labels_N[neighbours_NM] == labels_N[:, None]) & others_NM).sum(1)
    known_N = np.bincount(labels_N)[labels_N] >= LEAST_IN_CLASS
    found = np.flatnonzero((ODDS * own_N <= other_N) & (agreeing_N <= AGREEING) & known_N)
    suspects = [
        LabelSuspect(index, int(like_N[index]), float(own_N[index]), float(other_N[index])) for index in found.tolist()
    ]
    return sorted(suspects, key=lambda one: one.confidence)
