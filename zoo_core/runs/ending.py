"""The end of a training in words: why it stopped, and by which rule its best epoch was chosen."""

from __future__ import annotations

from collections.abc import Sequence

from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import BestEpoch
from zoo_core.tasks.metrics import Metric

LAST_COUNTS = "No image was held out to choose an epoch by: the last one counts."


def loss_rises_since(epochs: Sequence[EpochReport]) -> int | None:
    """The epoch with the lowest validation loss, None where that of the last epoch is no higher, or
    none was measured."""
    if epochs[-1].val_loss is None:
        return None
    lowest = min(epochs, key=lambda report: report.loss)
    return lowest.epoch if epochs[-1].loss > lowest.loss else None


def error_of_best(epochs: Sequence[EpochReport]) -> float | None:
    """The standard error of the best validation score, None where none is known."""
    return next((one.val_error for one in reversed(epochs) if one.val_error is not None), None)


def rule_in_words(rule: BestEpoch, metric: Metric, error: float | None) -> str:
    """The rule by which the best epoch is chosen; `steady` is the best score where no standard
    error is known. Runs of before recorded none of proportions, which follow from the score."""
    best = "highest" if metric.higher_is_better else "lowest"
    if rule == "steady" and (error or metric.is_proportion):
        return f"the latest whose {metric.title} is within one standard error of the {best}"
    return f"the one with the {best} {metric.title}"


def no_improvement(rule: BestEpoch, metric: Metric, *, highest: int | None, rises_since: int | None) -> str:
    """The reason why patience was lost: `highest` counts the score alone, `steady` the validation
    loss too. Without the epoch with the best score the loss alone is named."""
    counts_loss = rule == "steady" and rises_since is not None
    of_loss = f"validation loss has risen since epoch {rises_since}" if counts_loss else None
    better = "higher" if metric.higher_is_better else "lower"
    of_score = None if highest is None else f"no {metric.title} was {better} than that of epoch {highest}"
    return ", and ".join(filter(None, (of_loss, of_score))) or "nothing improved"


def ending_in_words(
    *,
    best: int,
    last: int,
    planned: int,
    rises_since: int | None,
    rule: BestEpoch,
    metric: Metric,
    error: float | None = None,
) -> str:
    """Two sentences: the reason of an early stop, then the best epoch and its rule."""
    chosen = (
        f"Best epoch {best}: {rule_in_words(rule, metric, error)}." if last > 1 else f"Best epoch {best}, the only one."
    )
    if last == planned:
        return chosen
    highest = best if rule == "highest" else None
    reason = no_improvement(rule, metric, highest=highest, rises_since=rises_since)
    return f"{reason[0].upper()}{reason[1:]}; stopped after epoch {last} of {planned}. {chosen}"
