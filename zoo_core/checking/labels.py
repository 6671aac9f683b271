"""Suspected labels: images that a classifier, which never saw them, takes for another class, which
is rare for the images of their class.

Shapes: N images, F features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
ODDS = 3
"""Another class has to be so many times as probable as an image's own."""
SURPRISING = 60
"""The surprise from which a label is doubted. `benchmarks/check.py` counts the planted labels that
are found so, and the others that are named."""
SELDOM = 0.02
"""The probability that is added to what is usual: of few images nobody knows how rare a case is."""
USUAL_SHARE = 0.04
"""The share of the images that are named at most, or are not where more than twice as many are
doubted: of rightly labelled images a few in a hundred are. Ten much used test sets have 3.3 % of
wrong labels (Northcutt, Athalye, Mueller, "Pervasive label errors in test sets destabilize machine
learning benchmarks", 2021, arXiv 2103.14749)."""
MIXED = 0.05
"""The share of images of another class than the first of their group from which groups are no
versions of one photo, but hold several classes."""
LEAST_IN_CLASS = 5  # images: of fewer a fold may leave no two to learn from


@dataclass(frozen=True)
class LabelSuspect:
    """An image (by its index) whose label is doubted, and the class that it looks like.

    `confidence` is the probability of its own label, `other` that of the class it looks like, and
    `surprise` how much the odds of the two exceed what is usual for its class.
    """

    index: int
    looks_like: int
    confidence: float
    other: float
    surprise: float


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


def averaged(probabilities: Sequence[Floats]) -> Floats:
    """The probabilities (N, K) whose odds are the geometric means of several classifiers' odds."""
    mean_NK = np.mean([np.log(np.maximum(one, 1e-300)) for one in probabilities], axis=0)
    mean_NK = np.exp(mean_NK - mean_NK.max(1, keepdims=True))
    result: Floats = mean_NK / mean_NK.sum(1, keepdims=True)
    return result


def grouped_folds(labels_N: Ints, groups_N: Ints, num_classes: int) -> Ints:
    """The fold (N) of each image, one for all images of a group: `stratified_folds` of the first of
    each group, or of all where groups hold several classes."""
    _, first_G, group_N = np.unique(groups_N, return_index=True, return_inverse=True)
    if (labels_N != labels_N[first_G[group_N]]).mean() > MIXED:
        return np.asarray(stratified_folds(torch.from_numpy(labels_N), num_classes, 0, group_N))
    fold_G = stratified_folds(torch.from_numpy(labels_N[first_G]), num_classes, seed=0).numpy()
    fold_N: Ints = fold_G[group_N]
    return fold_N


def label_suspects(
    probabilities_NK: Floats, labels_N: Ints, neighbours_NM: Ints, groups_N: Ints
) -> tuple[list[LabelSuspect], int]:
    """The images whose label is doubted, the least probable label first, as in confident learning
    (Northcutt, Jiang, Chuang, JAIR 70, 2021, arXiv 1911.00068), and the number of further ones that
    are not named.

    With p the out-of-fold probabilities of an image, `own` its label and `other` the most probable
    other class, its surprise is

        p_other / p_own / usual / (1 + agreeing),

    with usual = SELDOM + the mean p_other of the others of its class, and agreeing the number of
    its nearest neighbours (N, M) with its label, not counting those of its own group: a copy with
    the same wrong label does not vouch for it.

    Some classes overlap, so that a classifier is often sure of the wrong one: an image of fruit
    that looks like a vegetable says little, where other fruit does, too. The label is doubted where
    the surprise is at least SURPRISING, and p_other at least ODDS times p_own. Of D doubted ones of
    N images the most surprising max(s, D - s) are named, with s = USUAL_SHARE * N. Classes with
    fewer than LEAST_IN_CLASS images are passed over.
    """
    rows, counts_K = np.arange(len(labels_N)), np.bincount(labels_N, minlength=probabilities_NK.shape[1])
    own_N = probabilities_NK[rows, labels_N]
    others_NK = probabilities_NK.copy()
    others_NK[rows, labels_N] = -1
    like_N = others_NK.argmax(1)
    other_N = others_NK[rows, like_N]
    sums_KK = np.zeros((len(counts_K), len(counts_K)))
    np.add.at(sums_KK, labels_N, probabilities_NK)
    usual_N = SELDOM + (sums_KK[labels_N, like_N] - other_N) / np.maximum(counts_K[labels_N] - 1, 1)
    others_NM = groups_N[neighbours_NM] != groups_N[:, None]
    agreeing_N = ((labels_N[neighbours_NM] == labels_N[:, None]) & others_NM).sum(1)
    surprise_N = other_N / np.maximum(own_N * usual_N * (1 + agreeing_N), 1e-300)
    possible_N = (ODDS * own_N <= other_N) & (counts_K[labels_N] >= LEAST_IN_CLASS)
    doubted = np.flatnonzero(possible_N & (surprise_N >= SURPRISING))
    doubted = doubted[np.argsort(-surprise_N[doubted], kind="stable")]
    share = math.ceil(USUAL_SHARE * len(labels_N))
    suspects = [
        LabelSuspect(index, int(like_N[index]), float(own_N[index]), float(other_N[index]), float(surprise_N[index]))
        for index in doubted[: max(share, len(doubted) - share)].tolist()
    ]
    return sorted(suspects, key=lambda one: one.confidence), len(doubted) - len(suspects)
