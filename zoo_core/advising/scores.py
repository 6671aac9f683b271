"""Scores of features from the literature, without a training. They stand in tables and decide
nothing: a ranking by the size of the networks alone often does better
(arXiv 2510.06448).

Shapes: N images, F features, P axes of them, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zoo_core.algebra import FloatArray, eigh, product, solve, svd

Labels = npt.NDArray[np.int64]

ITERATIONS = 100  # of LogME's fixed point, which takes a few
SMALL = 1e-12  # keeps a precision finite where features explain all, or nothing
RANK = 1e-10  # of the largest eigenvalue: smaller ones are rounding
STRENGTH, WEAKEST = 5.0, 1e-10  # SFDA's regularisation, as its authors' program has it


def logme(features_NF: FloatArray, targets_N: Labels, classes: int) -> float:
    """The log maximum evidence of a Bayesian linear model, for each image, the mean over classes.

    You, Liu, Wang, Long: LogME: Practical Assessment of Pre-trained Models for Transfer Learning.
    ICML 2021; the fixed point is that of You et al., JMLR 23, 2022. For the indicator y of a class:
    w ~ N(0, I / a), y ~ N(F w, I / b), and the score is max over a, b of log p(y | F, a, b) / N.
    With F = U S V', z = U'y and t = a / b, the stationary a and b are g / |m|^2 and
    (N - g) / |F m - y|^2, where g = sum S^2 / (S^2 + t) and m is the posterior mean of w.
    """
    images, width = features_NF.shape
    if width < images:  # of the two squares of F the smaller has all that is needed
        power, right = eigh(product(features_NF.T, features_NF))
        kept = power > RANK * power[-1]
        power = power[kept]
        left = product(features_NF, right[:, kept] / np.sqrt(power))
    else:
        power, left = eigh(product(features_NF, features_NF.T))
        kept = power > RANK * power[-1]
        power, left = power[kept], left[:, kept]
    evidences = []
    for label in range(classes):
        indicator_N = (targets_N == label).astype(np.float64)
        z2 = (left.T @ indicator_N) ** 2
        outside = max(indicator_N @ indicator_N - z2.sum(), 0.0)
        prior, noise, ratio = 1.0, 1.0, 1.0
        for _ in range(ITERATIONS):
            explained = float((power / (power + ratio)).sum())
            length = float((power * z2 / (power + ratio) ** 2).sum())
            residual = float((z2 * (ratio / (power + ratio)) ** 2).sum()) + outside
            prior, noise = explained / max(length, SMALL), (images - explained) / max(residual, SMALL)
            before, ratio = ratio, max(prior / max(noise, SMALL), SMALL)
            if abs(ratio - before) <= 1e-6 * before:
                break
        length = float((power * z2 / (power + ratio) ** 2).sum())
        residual = float((z2 * (ratio / (power + ratio)) ** 2).sum()) + outside
        evidence = images * np.log(noise / (2 * np.pi)) - np.log1p(power / ratio).sum()
        evidences.append((evidence - noise * residual - prior * length) / (2 * images))
    return float(np.mean(evidences))


def h_score(features_NF: FloatArray, targets_N: Labels, classes: int) -> float:
    """The variance of the features between classes, in units of their whole variance and summed
    over directions: tr(C^-1 B), shrunk.

    Bao et al.: An Information-Theoretic Approach to Transferability in Task Transfer Learning. ICIP
    2019: C is the covariance of the features, B that of the means of their classes. Shrunk, as
    Ibrahim, Ponomareva, Mazumder: Newer is not always better, 2021 (arXiv 2110.06893): C becomes
    (1 - s) C + s tr(C) / F I with the s of Ledoit and Wolf (2004), the score
    (1 - s) tr(C^-1 B).
    """
    width, features_NP = features_NF.shape[1], along_axes(features_NF)
    centred_NP, means_KP, shares_K = _moments(features_NP, targets_N, classes)
    covariance_PP = product(centred_NP.T, centred_NP) / len(centred_NP)
    shrinkage = ledoit_wolf(centred_NP, covariance_PP, width)
    spread_KP = means_KP - shares_K @ means_KP
    between_PP = (spread_KP.T * shares_K) @ spread_KP
    return float((1 - shrinkage) * np.trace(solve(_shrunk(covariance_PP, shrinkage, width), between_PP)))


def along_axes(features_NF: FloatArray) -> FloatArray:
    """The features (N, P) along axes that hold them all, P the smaller of N and F.

    The scores here are the same along any axes. In directions in which no image lies nothing counts
    but their number, F - P.
    """
    if features_NF.shape[1] <= len(features_NF):
        return features_NF
    left_NP, values_P, _ = svd(features_NF)
    return np.asarray(left_NP * values_P)


def ledoit_wolf(centred_NF: FloatArray, covariance_FF: FloatArray, width: int | None = None) -> float:
    """The shrinkage that minimises the expected squared error of a covariance.

    Ledoit, Wolf: A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88, 2004: min(b2, d2) / d2 with d2 = |C - m I|^2, m = tr(C) / F, and
    b2 = sum |x x' - C|^2 / N^2 over the images' centred features x. `width` is F where the features
    are given along fewer axes.
    """
    images, width = len(centred_NF), width or centred_NF.shape[1]
    squared = float((covariance_FF**2).sum())
    distance = squared - np.trace(covariance_FF) ** 2 / width
    lengths_N = (centred_NF**2).sum(1)
    error = float((lengths_N**2).sum() / images - squared) / images
    return float(np.clip(error / distance, 0.0, 1.0)) if distance > SMALL * squared else 1.0


def sfda(features_NF: FloatArray, targets_N: Labels, classes: int) -> float:
    """The mean probability of the true class after self-challenging Fisher discriminant analysis.

    Shao et al.: Not All Models Are Equal: Predicting Model Transferability in a Self-challenging
    Fisher Space. ECCV 2022. A regularised discriminant gives p; then each image is mixed with the
    mean of the other classes, x <- q x + (1 - q) o with q the softmax of p at its class, so that
    uncertain images get harder, and the discriminant with the same regularisation gives the score.
    As in the authors' program, the score has no logarithm.
    """
    width, features_NP = features_NF.shape[1], along_axes(features_NF)
    probabilities_NK, strength = _discriminant(features_NP, targets_N, classes, None, width)
    powers_NK = np.exp(probabilities_NK)
    rows = np.arange(len(targets_N))
    certain_N1 = (powers_NK / powers_NK.sum(1, keepdims=True))[rows, targets_N, None]
    _, means_KP, _ = _moments(features_NP, targets_N, classes)
    others_KP = (means_KP.sum(0) - means_KP) / (classes - 1)
    mixed_NP = certain_N1 * features_NP + (1 - certain_N1) * others_KP[targets_N]
    return float(_discriminant(mixed_NP, targets_N, classes, strength, width)[0][rows, targets_N].mean())


def _discriminant(
    features_NP: FloatArray, targets_N: Labels, classes: int, strength: float | None, width: int
) -> tuple[FloatArray, float]:
    """The probabilities (N, K) of a regularised Fisher discriminant, and its strength.

    The strength l is exp(-5 s) with s the largest eigenvalue of the scatter W within classes, which
    becomes (1 - l) W + l tr(W) / F I. All discriminant directions together are its inverse:
    log p(k | x) = x' W^-1 m_k - m_k' W^-1 m_k / 2 + log(n_k / N) + constant.
    """
    _, means_KP, shares_K = _moments(features_NP, targets_N, classes)
    within_NP = features_NP - means_KP[targets_N]
    scatter_PP = product(within_NP.T, within_NP) / len(within_NP)
    if strength is None:
        strength = max(float(np.exp(-STRENGTH * eigh(scatter_PP)[0][-1])), WEAKEST)
    directions_PK = solve(_shrunk(scatter_PP, strength, width), means_KP.T)
    offsets_K = np.log(shares_K) - (means_KP * directions_PK.T).sum(1) / 2
    scores_NK = product(features_NP, directions_PK) + offsets_K
    powers_NK = np.exp(scores_NK - scores_NK.max(1, keepdims=True))
    return powers_NK / powers_NK.sum(1, keepdims=True), strength


def _shrunk(matrix_PP: FloatArray, share: float, width: int) -> FloatArray:
    """A matrix, of P of `width` axes, drawn by a share to a multiple of the identity with the same
    trace. A trace of 0 counts as 1, so that the matrix can be inverted."""
    mean = np.trace(matrix_PP) / width
    return (1 - share) * matrix_PP + max(share, WEAKEST) * (mean or 1.0) * np.eye(len(matrix_PP))


def _moments(features_NF: FloatArray, targets_N: Labels, classes: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The features less their mean (N, F), the mean (K, F) and the share (K) of each class.

    Raises ValueError for a class without images: the caller counts the classes that occur.
    """
    counts_K = np.bincount(targets_N, minlength=classes)
    if not counts_K.all():
        raise ValueError("every class needs an image")
    sums_KF = np.zeros((classes, features_NF.shape[1]))
    np.add.at(sums_KF, targets_N, features_NF)
    return features_NF - features_NF.mean(0), sums_KF / counts_K[:, None], counts_K / len(targets_N)
