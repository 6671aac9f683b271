"""The losses that a training may choose: cross-entropy, or the focal loss.

Shapes: B batch, K classes or labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo_core.errors import UsageError, did_you_mean, shown
from zoo_core.options import parse_options, split_name

if TYPE_CHECKING:  # listing runs needs a task's words, and not torch
    from torch import Tensor

CROSS_ENTROPY, FOCAL = "cross-entropy", "focal"
LEAST = 1e-8  # of 1 - p: below it a power of less than 1 would have a gradient without bounds


@dataclass(frozen=True)
class FocalOptions:
    """`gamma` is the power of the focal loss; with 0 it is cross-entropy."""

    gamma: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 20:  # NaN lies between no numbers
            raise ValueError(f"gamma must be a number from 0 to 20, got {self.gamma:g}")


def focal_gamma(text: str) -> float:
    """The power in a setting of the loss, "cross-entropy" (0) or "focal:gamma=2".

    Raises UsageError for another name or option.
    """
    name, options = split_name(text)
    if name == FOCAL:
        return parse_options(FOCAL, FocalOptions, options).gamma
    if name != CROSS_ENTROPY:
        near = did_you_mean(name[:80], (CROSS_ENTROPY, FOCAL))
        raise UsageError(f"there is no loss '{shown(name)}'.{near} Losses: {CROSS_ENTROPY}, {FOCAL}, {FOCAL}:gamma=2.")
    if options:
        raise UsageError(f"the loss '{CROSS_ENTROPY}' has no options, got '{shown(options)}'.")
    return 0.0


def focal_of_classes(outputs_BK: Tensor, targets: Tensor, gamma: float, label_smoothing: float) -> Tensor:
    """The focal loss of each image and class (B, K): -y * (1 - p)^gamma * log p.

    p is the probability of the class and y its share of the image: 1 for the true one, unless
    `targets` are shares (B, K) themselves or labels are smoothed. An image that is answered
    rightly and surely counts less (Lin et al. 2017, arXiv 1708.02002, with the softmax of several
    classes in place of a sigmoid); with gamma 0 it is cross-entropy.
    """
    from torch.nn import functional

    logs_BK = functional.log_softmax(outputs_BK.float(), 1)
    shares_BK = targets if targets.ndim > 1 else functional.one_hot(targets, outputs_BK.shape[1])
    shares_BK = shares_BK.to(logs_BK) * (1 - label_smoothing) + label_smoothing / outputs_BK.shape[1]
    return -shares_BK * (-logs_BK.expm1()).clamp_min(LEAST) ** gamma * logs_BK


def focal_of_labels(outputs_BK: Tensor, shares_BK: Tensor, gamma: float) -> Tensor:
    """The focal loss of each image and label (B, K), without the paper's alpha.

    -y * (1 - p)^gamma * log p - (1 - y) * p^gamma * log(1 - p), where p is the sigmoid of the
    output and y says, as 0, 1 or a share, whether the image has the label (Lin et al. 2017, arXiv
    1708.02002, equation 4).
    """
    from torch.nn import functional

    outputs_BK = outputs_BK.float()
    log_BK, log_not_BK = functional.logsigmoid(outputs_BK), functional.logsigmoid(-outputs_BK)
    of_true_BK = (-log_BK.expm1()).clamp_min(LEAST) ** gamma * log_BK
    of_false_BK = (-log_not_BK.expm1()).clamp_min(LEAST) ** gamma * log_not_BK
    return -shares_BK * of_true_BK - (1 - shares_BK) * of_false_BK


def chosen_loss_in_words(text: str) -> str | None:
    """The focal loss in a setting, with its effect on an image that is known well; None for
    cross-entropy. Raises UsageError for another loss."""
    gamma = focal_gamma(text)
    if not gamma:
        return None
    share = f"{0.1**gamma:.2g} times as much as in cross-entropy"
    return f"focal, gamma {gamma:g}: an image whose class has a probability of 90 % counts {share}"
