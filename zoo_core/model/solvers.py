"""Heads that are solved in closed form rather than trained: `prototype` and `logreg`.

Shapes: B batch, C channels, H height, W width, N images, F features, K classes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_core.builtin import FittedOptions
from zoo_core.data.dealing import Groups, Ints
from zoo_core.layout import FEATURE_MAP, Layout
from zoo_core.model.heads import pooled
from zoo_core.model.lean_torch import without_compiler

DECAYS = tuple(10.0**power for power in range(1, -7, -1))
"""The L2 penalties that are tried, from the strongest. For features of unit scale and a mean loss,
10 makes the weights vanish, and 1e-6 the penalty."""
FOLDS = 5
HELD_OUT_TOLERANCE = 1e-4  # of a gradient: probabilities of held-out images are within 0.01 of the optimum's


@runtime_checkable
class Solvable(Protocol):
    """A head that is fitted to all training images at once, when the training starts.

    A phase that trains only the head then lasts one epoch. In a phase that trains stages too,
    gradients train the fitted head further.
    """

    def reduce(self, features: Tensor) -> Tensor:
        """The part of the head without parameters: a map (B, C, H, W) or tokens (B, N, C) to (B,
        F)."""

    def fit(self, reduced_NF: Tensor, targets_N: Tensor, seed: int) -> None:
        """Set the parameters from the reduced features of all training images; the seed decides all
        randomness.

        A head that holds images out to choose a penalty may take a keyword `groups_N: Ints | None =
        None`: the group of each image, for data whose images stand in groups.
        """


class _Fitted(nn.Sequential):
    """Pooling without parameters, then one layer that is fitted."""

    def __init__(
        self,
        options: FittedOptions,
        in_channels: int,
        make_output: type[nn.Module],
        num_outputs: int,
        layout: Layout = FEATURE_MAP,
    ) -> None:
        layers, width = pooled(options.pool, in_channels, layout)
        super().__init__(OrderedDict([*layers, ("output", make_output(width, num_outputs))]))

    def reduce(self, features: Tensor) -> Tensor:
        for layer in list(self)[:-1]:
            features = layer(features)
        return features


class LogisticRegression(_Fitted):
    """One linear layer at the optimum of multinomial logistic regression; the L2 penalty is
    cross-validated."""

    output: nn.Linear

    @torch.no_grad()
    def fit(self, reduced_NF: Tensor, targets_N: Tensor, seed: int, groups_N: Ints | None = None) -> None:
        """Solve in double precision on features of unit scale, and fold their centre and scale into
        the layer."""
        features_NF, targets_N = reduced_NF.cpu().double(), targets_N.cpu()
        features_NF, mean_F, scale = to_unit_scale(features_NF)
        classes = self.output.out_features
        decay = best_decay(features_NF, targets_N, classes, seed, groups_N)
        weight_KF, bias_K = solve(features_NF, targets_N, classes, decay)
        weight_KF = weight_KF / scale
        self.output.weight.copy_(weight_KF)
        self.output.bias.copy_(bias_K - weight_KF @ mean_F)


def to_unit_scale(features_NF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, F) less their mean and divided by one scale; the mean (F) and the scale.

    All features share the scale: a pretrained network's features have one unit, so a feature that
    hardly varies should keep little weight.
    """
    mean_F = features_NF.mean(0)
    features_NF = features_NF - mean_F
    scale = features_NF.square().mean().sqrt().clamp(min=1e-12)  # 0 if no feature ever varies
    return features_NF / scale, mean_F, scale


def solve(
    features_NF: Tensor,
    targets_N: Tensor,
    classes: int,
    decay: float,
    *,
    start: Tensor | None = None,
    tolerance: float = 1e-8,
    units_F: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Minimise the mean cross-entropy + decay / 2 * |weight|^2 by L-BFGS, until no gradient exceeds
    `tolerance`.

    `start` (K, F + 1) holds weights and biases, None: zeros. `units_F` are units in which the
    weights are searched: the optimum stays, and with all curvatures alike it takes fewer steps.
    Returns the weight (K, F) and the bias (K).
    """
    if start is None:
        start = features_NF.new_zeros(classes, features_NF.shape[1] + 1)
    if units_F is None:
        units_F = features_NF.new_ones(())
    both = torch.cat((start[:, :-1] / units_F, start[:, -1:]), dim=1).requires_grad_()
    optimizer = without_compiler(torch.optim.LBFGS)(
        [both],
        max_iter=5000,  # a strictly convex problem of this kind converges long before
        history_size=20,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            weight_KF = both[:, :-1] * units_F
            outputs_NK = functional.linear(features_NF, weight_KF, both[:, -1])
            value = functional.cross_entropy(outputs_NK, targets_N) + decay / 2 * weight_KF.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found = both.detach()
    return found[:, :-1] * units_F, found[:, -1]


def best_decay(features_NF: Tensor, targets_N: Tensor, classes: int, seed: int, groups_N: Ints | None = None) -> float:
    """The penalty of DECAYS with the smallest cross-entropy on held-out images, over stratified
    folds of whole groups.

    The seed decides the folds. If no class has two images, nothing can be held out, and the penalty
    is 1.
    """
    fold_N = stratified_folds(targets_N, classes, seed, groups_N)
    folds = [fold for fold in range(FOLDS) if (fold_N == fold).any()]
    if not folds:
        return 1.0
    totals = torch.zeros(len(DECAYS), dtype=torch.float64)
    for fold in folds:
        held_N = fold_N == fold
        start = None
        for position, decay in enumerate(DECAYS):
            outputs_NK, start = solve_without(held_N, features_NF, targets_N, classes, decay, start)
            totals[position] += functional.cross_entropy(outputs_NK, targets_N[held_N], reduction="sum")
    return DECAYS[int(totals.argmin())]


def solve_without(
    held_N: Tensor, features_NF: Tensor, targets_N: Tensor, classes: int, decay: float, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`solve` on the images that are not held out. Returns the outputs for those that are, and the
    weights and biases (K, F + 1), from which the next penalty starts."""
    rest = features_NF[~held_N], targets_N[~held_N]
    weight_KF, bias_K = solve(*rest, classes, decay, start=start, tolerance=HELD_OUT_TOLERANCE)
    outputs_NK = functional.linear(features_NF[held_N], weight_KF, bias_K)
    return outputs_NK, torch.cat((weight_KF, bias_K[:, None]), dim=1)


def stratified_folds(targets_N: Tensor, classes: int, seed: int, groups_N: Ints | None = None) -> Tensor:
    """The fold of each image (N): a class's images, or groups of images, are dealt out in turn. The
    only image of a class, or an only group, gets -1: no fold."""
    if groups_N is not None:
        groups = Groups(groups_N, [(label,) for label in targets_N.tolist()])
        if len(groups) < 2:
            return torch.full_like(targets_N, -1)
        count = min(FOLDS, len(groups))
        return torch.from_numpy(groups.dealt([1 / count] * count, seed)[groups_N])
    generator = torch.Generator().manual_seed(seed)
    fold_N = torch.full_like(targets_N, -1)
    for label in range(classes):
        members = (targets_N == label).nonzero()[:, 0]
        if len(members) > 1:
            order = torch.randperm(len(members), generator=generator)
            fold_N[members[order]] = torch.arange(len(members)) % FOLDS
    return fold_N


class Means(nn.Module):
    """Logits from the distance to each class's mean: equal spherical Gaussians with `precision` 1 /
    variance."""

    def __init__(self, in_features: int, num_outputs: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.zeros(num_outputs, in_features))
        self.precision = nn.Parameter(torch.ones(1))

    def forward(self, features_BF: Tensor) -> Tensor:
        """(B, F) to minus half the squared distance, in standard deviations (B, K)."""
        distances_BK = torch.cdist(features_BF, self.means, compute_mode="donot_use_mm_for_euclid_dist")
        return -self.precision / 2 * distances_BK.square()


class Prototypes(_Fitted):
    """The nearest class mean (Snell, Swersky, Zemel, arXiv 1703.05175, on fixed features)."""

    output: Means

    @torch.no_grad()
    def fit(self, reduced_NF: Tensor, targets_N: Tensor, seed: int) -> None:
        """Set each class's mean, and the variance around the means over all classes and features."""
        features_NF, targets_N = reduced_NF.cpu().double(), targets_N.cpu()
        counts_K = torch.bincount(targets_N, minlength=len(self.output.means))
        sums_KF = features_NF.new_zeros(self.output.means.shape).index_add_(0, targets_N, features_NF)
        means_KF = sums_KF / counts_K.clamp(min=1)[:, None]
        variance = (features_NF - means_KF[targets_N]).square().mean()
        self.output.means.copy_(means_KF)
        self.output.precision.fill_(1 / variance.clamp(min=1e-12).item())


def logreg(options: FittedOptions, *, in_channels: int, num_outputs: int, layout: Layout = FEATURE_MAP) -> nn.Module:
    """Global pooling and the optimal linear layer, a plain `nn.Linear`."""
    return LogisticRegression(options, in_channels, nn.Linear, num_outputs, layout)


def prototype(options: FittedOptions, *, in_channels: int, num_outputs: int, layout: Layout = FEATURE_MAP) -> nn.Module:
    """Global pooling and the distance to each class's mean."""
    return Prototypes(options, in_channels, Means, num_outputs, layout)
