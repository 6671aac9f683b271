"""zoo's own metrics: functions of answers and targets, as the hook `zoo_metrics` takes them.

`answers` (N, K) are probabilities of classes or labels, or numbers; `targets` are class indices
(N), else (N, K).

Shapes: N images, K classes, labels or numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zoo_core.tasks import metrics
from zoo_core.tasks.metrics import Counts, FloatArray

if TYPE_CHECKING:
    from zoo_core.builtin import TopOptions

THRESHOLD = 0.5  # the probability above which a label is predicted
Targets = npt.NDArray[Any]


def accuracy(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The share of the images whose most probable class is the true one."""
    return float((answers.argmax(1) == targets).mean())


def top(options: TopOptions, *, answers: FloatArray, targets: Targets) -> float:
    """The share of the images whose class is among the k most probable ones; of equally probable
    classes the first count."""
    own_N1 = np.take_along_axis(answers, targets[:, None], axis=1)
    is_before = np.arange(answers.shape[1]) < targets[:, None]
    rank_N = ((answers > own_N1) | ((answers == own_N1) & is_before)).sum(1)
    return float((rank_N < options.k).mean())


def balanced_accuracy(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The mean recall of the classes that occur (Brodersen et al. 2010, The Balanced Accuracy and
    Its Posterior Distribution)."""
    hits, _, misses = counts(answers, targets)
    return float(np.nanmean(metrics.recall(hits, misses)))


def macro_f1(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The mean F1 of the classes or labels that occur among targets or answers; 0 where none
    does."""
    return mean_f1(*counts(answers, targets))


def micro_f1(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """F1 of the decisions on all labels together."""
    return float(metrics.f1(*(each.sum() for each in counts(answers, targets))))


def auroc(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The mean area under the ROC curves of all labels, or of each class against the rest.

    Labels and classes that every image has, or none, are left out; 0.5 where no other is there.
    """
    areas = [
        metrics.area_under_roc(*pair) for pair in zip(answers.T, is_true(targets, answers.shape[1]).T, strict=True)
    ]
    known = [area for area in areas if not np.isnan(area)]
    return float(np.mean(known)) if known else 0.5


def log_loss(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The mean of -log p: p is the probability of the true class, or of each label to be as it
    is."""
    true_NK = is_true(targets, answers.shape[1])
    given = answers[true_NK] if targets.ndim == 1 else np.where(true_NK, answers, 1 - answers)
    return float(-np.log(np.clip(given, np.finfo(np.float64).eps, 1)).mean())  # a probability of 0 is a rounded one


def mean_average_precision(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The mean of the labels' average precisions, over those that some image has; 0 without any."""
    columns = zip(answers.T, is_true(targets, answers.shape[1]).T, strict=True)
    known = [metrics.average_precision(*pair) for pair in columns if pair[1].any()]
    return float(np.mean(known)) if known else 0.0


def r2(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The mean R2 of the columns."""
    return float(metrics.r2(answers, targets).mean())


def rmse(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The root mean squared error over all columns, in the targets' units."""
    return float(np.sqrt(np.square(answers - targets).mean()))


def mae(options: object, *, answers: FloatArray, targets: Targets) -> float:
    """The mean absolute error over all columns, in the targets' units."""
    return float(np.abs(answers - targets).mean())


def is_true(targets: Targets, num_outputs: int) -> npt.NDArray[np.bool_]:
    """Whether each image has each class or label (N, K)."""
    truth: npt.NDArray[np.bool_] = targets[:, None] == np.arange(num_outputs) if targets.ndim == 1 else targets > 0.5
    return truth


def counts(answers: FloatArray, targets: Targets) -> tuple[Counts, Counts, Counts]:
    """How often each class or label (K) was rightly, wrongly and not given, at 0.5 for labels."""
    width = answers.shape[1]
    true_NK = is_true(targets, width)
    given_NK = is_true(answers.argmax(1), width) if targets.ndim == 1 else answers > THRESHOLD
    return (given_NK & true_NK).sum(0), (given_NK & ~true_NK).sum(0), (~given_NK & true_NK).sum(0)


def mean_f1(hits: Counts, false_alarms: Counts, misses: Counts) -> float:
    """The mean F1 of the classes or labels that were there or given; 0 where none was."""
    known = hits + false_alarms + misses > 0
    return float(metrics.f1(hits, false_alarms, misses)[known].mean()) if known.any() else 0.0
