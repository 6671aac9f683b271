"""The out-of-fold answers of the logistic-regression head on features, and the scores beside them.

Shapes: N images, F features, K classes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from zoo_core.advising.scores import h_score, logme, sfda
from zoo_core.model.solvers import DECAYS, solve
from zoo_core.tasks.metrics import wilson

TOLERANCE = 1e-4
"""The gradient at which a solver stops, as where the head cross-validates its penalty."""
CURVATURE = 0.05  # of the cross-entropy: about p (1 - p) of a class where mistakes are few
FIRST = 2  # of DECAYS: the best one of most features of pretrained networks is this or a neighbour


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A network up to a stage boundary as a frozen base: the accuracy of a head on its features."""

    backbone: str
    stage: str
    depth: int
    """The number of stages up to the boundary."""
    is_last: bool
    features: int
    answers: tuple[int, ...]
    """The class that was answered for each image by a head that had not seen it."""
    accuracy: float
    interval: tuple[float, float]
    loss: float
    """The mean cross-entropy of these answers."""
    logme: float
    h_score: float
    sfda: float
    seconds: float
    """Of the heads and the scores."""


@torch.no_grad()
def out_of_fold(
    features_NF: Tensor, targets_N: Tensor, fold_N: npt.NDArray[np.int64], classes: int
) -> tuple[Tensor, float]:
    """Logits (N, K) of each image by the head of the fold that it is held out from, and their mean
    cross-entropy.

    The L2 penalty is that of DECAYS with the smallest out-of-fold cross-entropy: one choice for all
    images, by another measure than the accuracy, so that this is hardly too high. It is searched
    from the middle on, in the direction in which the loss falls, until it rises.
    """
    features_NF = features_NF.double() - features_NF.double().mean(0)
    features_NF = features_NF / features_NF.square().mean().sqrt().clamp(min=1e-12)  # 0 where nothing varies
    # Along each principal axis the loss curves by about CURVATURE * variance + penalty.
    variance_F, axes_FF = torch.linalg.eigh(features_NF.T @ features_NF / len(features_NF))
    features_NF = features_NF @ axes_FF
    held = [torch.from_numpy(fold_N == fold) for fold in np.unique(fold_N)]
    near: Tensor | None = None

    def answered(decay: float) -> tuple[Tensor, float]:
        nonlocal near
        outputs_NK = features_NF.new_zeros(len(targets_N), classes)
        units_F = (CURVATURE * variance_F.clamp(min=0) + decay).rsqrt()
        for held_N in held:
            trained = features_NF[~held_N], targets_N[~held_N]
            weight_KF, bias_K = solve(*trained, classes, decay, start=near, tolerance=TOLERANCE, units_F=units_F)
            near = torch.cat((weight_KF, bias_K[:, None]), dim=1)
            outputs_NK[held_N] = functional.linear(features_NF[held_N], weight_KF, bias_K)
        return outputs_NK, functional.cross_entropy(outputs_NK, targets_N).item()

    best, lowest = answered(DECAYS[FIRST])
    for direction in (DECAYS[FIRST + 1 :], DECAYS[:FIRST][::-1]):
        before = lowest
        for decay in direction:
            outputs_NK, loss = answered(decay)
            if loss >= lowest:
                break
            best, lowest = outputs_NK, loss
        if lowest < before:
            break
    return best, lowest


def probe(
    features_NF: npt.NDArray[np.float32],
    targets_N: npt.NDArray[np.int64],
    fold_N: npt.NDArray[np.int64],
    classes: int,
    *,
    backbone: str,
    stage: str,
    depth: int,
    is_last: bool,
) -> Probe:
    """Measure the features of one stage boundary."""
    started = time.perf_counter()
    outputs_NK, loss = out_of_fold(torch.from_numpy(features_NF), torch.from_numpy(targets_N), fold_N, classes)
    answers_N = outputs_NK.argmax(1).numpy()
    right = int((answers_N == targets_N).sum())
    occurring, labels_N = np.unique(targets_N, return_inverse=True)
    exact_NF = features_NF.astype(np.float64)
    logme_, h_score_, sfda_ = (
        score(exact_NF, labels_N, len(occurring)) if len(occurring) > 1 else 0.0 for score in (logme, h_score, sfda)
    )
    return Probe(
        backbone=backbone,
        stage=stage,
        depth=depth,
        is_last=is_last,
        features=features_NF.shape[1],
        answers=tuple(answers_N.tolist()),
        accuracy=right / len(targets_N),
        interval=wilson(right, len(targets_N)),
        loss=loss,
        logme=logme_,
        h_score=h_score_,
        sfda=sfda_,
        seconds=time.perf_counter() - started,
    )
