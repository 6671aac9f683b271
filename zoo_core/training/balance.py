"""Uneven classes: weights by which a rare class counts as much as a frequent one.

Shapes: N training images, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo_core.data.sources import Part
from zoo_core.errors import UsageError
from zoo_core.settings import Balance
from zoo_core.tasks.metrics import FloatArray
from zoo_core.tasks.targets import Targets
from zoo_core.tasks.task import Task

OVERLAP = 0.999  # the paper's beta; classes of far fewer than 1,000 images count by the inverse of their number


def class_weights(targets_N: Targets, num_classes: int) -> FloatArray:
    """The weight of each class (K), whose mean over the training images is 1.

    It is proportional to the inverse of the effective number of images, (1 - b ** n) / (1 - b),
    where n is the number of the class's images and b = 0.999: the more images there are, the less a
    further one adds (Cui et al. 2019, Class-Balanced Loss, arXiv 1901.05555). A class without
    images has 0.
    """
    counts_K = np.bincount(targets_N, minlength=num_classes).astype(np.float64)
    effective_K = (1 - OVERLAP**counts_K) / (1 - OVERLAP)
    inverse_K = np.divide(1, effective_K, out=np.zeros(num_classes), where=counts_K > 0)
    weights_K: FloatArray = inverse_K * len(targets_N) / (inverse_K @ counts_K)
    return weights_K


def image_chances(part: Part, num_classes: int) -> FloatArray:
    """The chance of each image (N) to be the next one that is drawn; they add up to 1."""
    targets_N = part.targets
    chances_N: FloatArray = class_weights(targets_N, num_classes)[targets_N] / len(targets_N)
    chances_N /= chances_N.sum()  # the rest of rounding, which numpy does not allow
    return chances_N


def check_balance(balance: Balance, task: Task[Any], *, has_own_loss: bool) -> None:
    """Raise UsageError where classes cannot be balanced."""
    if balance != "none" and not task.single_label:
        raise UsageError(f"--balance is for images with one class each, and these have {task.outputs}: leave it out.")
    if balance == "weights" and has_own_loss:
        raise UsageError("the head has a loss of its own, which takes no weights: --balance sampling goes with it.")


def balance_in_words(balance: Balance, part: Part, classes: tuple[str, ...]) -> str:
    """A sentence for screen and card on how often, or how much, the rarest and the most frequent
    class count."""
    counts_K, weights_K = np.bincount(part.targets, minlength=len(classes)), class_weights(part.targets, len(classes))
    rare, frequent = int(np.argmax(weights_K)), int(np.argmin(np.where(weights_K > 0, weights_K, np.inf)))
    way = "counts {0:.2g} times in the loss" if balance == "weights" else "is drawn {0:.2g} times an epoch"
    told = [
        f"an image of {classes[one]} ({counts_K[one]} images) {way.format(weights_K[one])}" for one in (rare, frequent)
    ]
    return f"{balance} by the effective number of images: {', '.join(told)}"
