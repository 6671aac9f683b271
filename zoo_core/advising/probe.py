"""The out-of-fold answers of the logistic-regression head on features, and the scores beside them.

Shapes: N images, F features, P principal axes of them, K classes, Q folds.
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
from zoo_core.model.lean_torch import without_compiler
from zoo_core.model.solvers import DECAYS, to_unit_scale
from zoo_core.options import UPTO, with_option
from zoo_core.tasks.grouped import share_interval
from zoo_core.tasks.metrics import Counts

TOLERANCE = 1e-4
"""The gradient at which a solver stops, or a hundredth of the penalty, if that is less: the
gradients of a small penalty are themselves small. The mean cross-entropy is then within 0.005 of
the optimum's."""
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

    @property
    def base(self) -> str:
        """The text that chooses this base: the backbone, up to the boundary."""
        return self.backbone if self.is_last else with_option(self.backbone, UPTO, self.stage)


@torch.no_grad()
def out_of_fold(
    features_NF: Tensor, targets_N: Tensor, fold_N: npt.NDArray[np.int64], classes: int
) -> tuple[Tensor, float]:
    """Logits (N, K) of each image by the head of the fold that it is held out from, and their mean
    cross-entropy.

    The L2 penalty is that of DECAYS with the smallest out-of-fold cross-entropy: one choice for all
    images, by another measure than the accuracy, so that this is hardly too high. It is searched
    from the middle on, in the direction in which the loss falls, until it rises. Each fold's solver
    starts where the same fold's ended with another penalty, never from a head of another fold: that
    one has seen the images, and a small penalty would not make it forget them.
    """
    features_NP, variance_P = principal(features_NF)
    held_QN = torch.from_numpy(fold_N == np.unique(fold_N)[:, None])
    heads_QKP = features_NP.new_zeros(len(held_QN), classes, features_NP.shape[1] + 1)

    def answered(decay: float) -> tuple[Tensor, float]:
        nonlocal heads_QKP
        # Along each principal axis the loss curves by about CURVATURE * variance + penalty.
        units_P = (CURVATURE * variance_P + decay).rsqrt()
        heads_QKP = solve_folds(features_NP, targets_N, held_QN, decay, heads_QKP, min(TOLERANCE, decay / 100), units_P)
        outputs_QNK = features_NP @ heads_QKP[..., :-1].mT + heads_QKP[:, None, :, -1]
        outputs_NK = outputs_QNK[held_QN.int().argmax(0), torch.arange(len(targets_N))]
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


def solve_folds(
    features_NP: Tensor,
    targets_N: Tensor,
    held_QN: Tensor,
    decay: float,
    start_QKP: Tensor,
    tolerance: float,
    units_P: Tensor,
) -> Tensor:
    """`zoo_core.model.solvers.solve` for Q folds at once, which are Q independent problems: weights
    and biases (Q, K, P + 1) of the heads that see all images but those held out from them.

    The optimizer's own arithmetic takes longer than that of few images, so that all folds together
    take little more than one.
    """
    both_QKP = torch.cat((start_QKP[..., :-1] / units_P, start_QKP[..., -1:]), dim=-1).requires_grad_()
    weight_QKP, bias_QK = both_QKP.detach()[..., :-1], both_QKP.detach()[..., -1]  # views of it
    share_NQ1 = (~held_QN / (~held_QN).sum(1, keepdim=True)).T[..., None]
    right_NQK = share_NQ1 * functional.one_hot(targets_N, bias_QK.shape[1])[:, None]
    gradient_QKP = both_QKP.grad = torch.empty_like(both_QKP)
    optimizer = without_compiler(torch.optim.LBFGS)(
        [both_QKP],
        max_iter=5000,
        history_size=20,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:  # with its gradient, which autograd would compute more slowly
        scaled_QKP = weight_QKP * units_P
        outputs_NQK = (features_NP @ scaled_QKP.flatten(0, 1).T).view(-1, *bias_QK.shape) + bias_QK
        logs_NQK = outputs_NQK.log_softmax(-1)
        wrong_NQK = logs_NQK.exp() * share_NQ1 - right_NQK
        of_features_QKP = (wrong_NQK.flatten(1).T @ features_NP).view_as(scaled_QKP)
        gradient_QKP[..., :-1] = (of_features_QKP + decay * scaled_QKP) * units_P
        gradient_QKP[..., -1] = wrong_NQK.sum(0)
        return decay / 2 * scaled_QKP.square().sum() - (logs_NQK * right_NQK).sum()

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return torch.cat((weight_QKP * units_P, bias_QK[..., None]), dim=-1)


def principal(features_NF: Tensor) -> tuple[Tensor, Tensor]:
    """Features of unit scale along their principal axes (N, P), P at most the smaller of N and F,
    and the variance (P) along each.

    No head needs more: its weights are zero along an axis in which no image differs from the mean.
    """
    features_NF, _, _ = to_unit_scale(features_NF.double())
    left_NP, values_P, _ = torch.linalg.svd(features_NF, full_matrices=False)
    return left_NP * values_P, values_P.square() / len(features_NF)


def probe(
    features_NF: npt.NDArray[np.float32],
    targets_N: npt.NDArray[np.int64],
    fold_N: npt.NDArray[np.int64],
    classes: int,
    groups_N: Counts | None = None,
    *,
    backbone: str,
    stage: str,
    depth: int,
    is_last: bool,
) -> Probe:
    """Measure the features of one stage boundary, on images of these groups if they have any."""
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
        interval=share_interval((answers_N == targets_N).astype(np.float64), groups_N),
        loss=loss,
        logme=logme_,
        h_score=h_score_,
        sfda=sfda_,
        seconds=time.perf_counter() - started,
    )
