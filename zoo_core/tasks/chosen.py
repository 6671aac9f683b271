"""The metric that counts in a run: the task's own, or one of the catalog that somebody chose.

It chooses the best epoch, orders runs and heads every result, with a 95 % interval.

Shapes: N images, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property, partial
from typing import Any, Self, cast

from zoo_core.catalog import Catalog, Choice, attributing_errors, open_catalog, owner_of
from zoo_core.discovery import CORE
from zoo_core.errors import PluginError, UsageError, ZooError, brief
from zoo_core.result_specs import MetricSpec
from zoo_core.specs import TaskName, resolve
from zoo_core.tasks.bootstrap import Compute, Sample, Targets
from zoo_core.tasks.grouped import group_numbers
from zoo_core.tasks.metrics import Counts, Evaluation, FloatArray, Interval, Metric, wilson
from zoo_core.wording import counted


@dataclass(frozen=True, eq=False)
class ChosenMetric:
    """A metric of the catalog at work: how it is shown, and the function that computes it."""

    shown: Metric
    compute: Compute
    at_threshold: bool = False
    """Whether it depends on the thresholds of labels."""

    def score(self, answers_NK: FloatArray, targets: Targets) -> Score:
        """The score of answers. Raises PluginError, which names the metric's distribution."""
        return Score(self.shown, self.compute(answers_NK, targets), Sample(self.compute, answers_NK, targets))


@dataclass(frozen=True, eq=False)
class Score:
    """A score by a chosen metric, with the answers and targets from which its interval follows."""

    metric: Metric
    value: float
    sample: Sample

    @cached_property
    def interval(self) -> Interval | None:
        """Wilson's for a proportion of images that count for themselves, else that of a
        bootstrap."""
        images = len(self.sample.targets)
        if self.metric.is_proportion and self.sample.groups_N is None:
            return wilson(self.value * images, images)
        return self.sample.interval()

    @property
    def error(self) -> float | None:
        """The standard error of a proportion, else that of a bootstrap."""
        if self.metric.is_proportion:
            return self.metric.standard_error(self.value, len(self.sample.targets))
        return replace(self.sample, groups_N=None).error()


class Headline:
    """The score of an evaluation: that of the chosen metric, or the task's own.

    `groups_N` numbers the group of each image, by which intervals go; None where each image counts
    for itself. The standard error, which compares the epochs of one training on the same images,
    takes each image for itself.
    """

    chosen: Score | None
    groups_N: Counts | None
    own_metric: Metric

    def grouped(self, groups: Sequence[str | None] | None) -> Self:
        """The evaluation of images that belong to these groups (N); the same for None."""
        if groups is None:
            return self
        groups_N, chosen = group_numbers(groups), self.chosen
        if chosen is not None:
            chosen = replace(chosen, sample=replace(chosen.sample, groups_N=groups_N))
        grouped: Any = replace(cast(Any, self), chosen=chosen, groups_N=groups_N)
        return cast(Self, grouped)

    @property
    def groups(self) -> int | None:
        """The number of groups, None without."""
        return None if self.groups_N is None else int(self.groups_N.max()) + 1

    @property
    def own_score(self) -> float:
        raise NotImplementedError

    @property
    def own_interval(self) -> Interval | None:
        raise NotImplementedError

    @property
    def own_error(self) -> float | None:
        raise NotImplementedError

    @property
    def shown(self) -> Metric:
        return self.own_metric if self.chosen is None else self.chosen.metric

    @property
    def metric(self) -> str:
        return self.shown.name

    @property
    def score(self) -> float:
        return self.own_score if self.chosen is None else self.chosen.value

    @property
    def score_interval(self) -> Interval | None:
        return self.own_interval if self.chosen is None else self.chosen.interval

    @property
    def standard_error(self) -> float | None:
        return self.own_error if self.chosen is None else self.chosen.error


class Resampled(Headline):
    """An evaluation whose own score is no share of images, so that a bootstrap tells how sure it
    is."""

    @property
    def sample(self) -> Sample:
        raise NotImplementedError

    @cached_property
    def own_interval(self) -> Interval | None:
        return self.sample.interval()

    @property
    def own_error(self) -> float | None:
        return replace(self.sample, groups_N=None).error()


def chosen_metric(text: str, task: TaskName, own: Metric, catalog: Catalog) -> ChosenMetric | None:
    """The metric that a setting names ("NAME" or "NAME:options"), None where it is the task's
    `own`.

    Raises UsageError for one that is unknown or of another task.
    """
    if text == "auto":
        return None
    choice = catalog.metric(text)
    check_measures(choice, task)
    is_own = choice.entry.distribution == CORE and choice.spec.name == own.name.replace("_", "-")
    return None if is_own else ChosenMetric(shown_as(choice), partial(measured, choice), choice.spec.at_threshold)


def shown_as(choice: Choice[MetricSpec]) -> Metric:
    """How a metric of the catalog is shown; its name is the text by which it is chosen."""
    spec = choice.spec
    title = spec.title or spec.name.replace("-", " ")
    for option in fields(choice.options):
        title = title.replace(f"{{{option.name}}}", str(getattr(choice.options, option.name)))
    return Metric(
        name=str(choice),
        title=title,
        short=title,
        unit="%" if spec.percent else title,
        factor=100 if spec.percent else 1,
        decimals=1 if spec.percent else 3,
        higher_is_better=spec.higher_is_better,
        is_proportion=spec.is_proportion,
    )


@cache
def metric_named(name: str, higher_is_better: bool = True) -> Metric:
    """How the metric of a result is shown, also where the plugin that brought it is not here.

    Plugins are looked through only for a metric that is not zoo's own.
    """
    for with_plugins in (False, True):
        with suppress(ZooError):
            return shown_as(open_catalog(with_plugins=with_plugins).metric(name))
    return Metric(name, name, name, unit=name, factor=1, decimals=3, higher_is_better=higher_is_better)


def score_text(evaluation: Evaluation, where: str) -> str:
    """The score of an evaluation in words, with its interval."""
    metric, interval = evaluation.shown, evaluation.score_interval
    beside = "" if interval is None else f"; 95 % interval {metric.interval_text(interval)}"
    title = metric.title[:1].upper() + metric.title[1:]
    return f"{title} {where}: {metric.text(evaluation.score)} ({images_text(evaluation)}{beside})"


def images_text(evaluation: Evaluation, noun: str = " images") -> str:
    """The number of images, and that of their groups if they have any: 240 images in 12 groups."""
    groups = "" if evaluation.groups is None else f" in {counted(evaluation.groups, 'group')}"
    return f"{evaluation.images}{noun}{groups}"


def own_interval_text(evaluation: Headline) -> str:
    """The interval of a score by the task's own metric, as one of the figures beside it."""
    interval = evaluation.own_interval if evaluation.chosen is None else None
    return "" if interval is None else f"95 % interval {evaluation.own_metric.interval_text(interval)}; "


def result_figures(evaluation: Evaluation) -> dict[str, Any]:
    """The score of an evaluation and every figure beside it, as JSON has them."""
    interval = evaluation.score_interval
    return {
        "images": evaluation.images,
        "groups": evaluation.groups,
        "metric": evaluation.metric,
        "higher_is_better": evaluation.shown.higher_is_better,
        "score": evaluation.score,
        "score_interval": None if interval is None else list(interval),
        "loss": evaluation.loss,
        **evaluation.figures(),
    }


def check_measures(metric: Choice[MetricSpec], task: TaskName) -> None:
    """Raise UsageError for a metric that cannot measure a task."""
    if task not in metric.spec.tasks:
        raise UsageError(
            f"the metric '{metric.spec.name}' is for {' and '.join(metric.spec.tasks)}, and this run is for {task}. "
            "`zoo list metrics` shows all."
        )


def measured(metric: Choice[MetricSpec], answers_NK: FloatArray, targets: Targets) -> float:
    """The figure of a metric, which gets copies of answers and targets.

    Raises PluginError, which names its distribution, where it gives no finite number, or a share
    of the images that is none.
    """
    with attributing_errors(metric.entry):
        compute = resolve(metric.spec.compute)
        figure: Any = compute(metric.options, answers=answers_NK.copy(), targets=targets.copy())
        number = float(figure)
    if not math.isfinite(number):
        raise PluginError(f"{owner_of(metric.entry)} gives {brief(figure)} for {len(answers_NK)} images.")
    if metric.spec.is_proportion and not 0 <= number <= 1:
        raise PluginError(
            f"{owner_of(metric.entry)} gives {number:g} for {len(answers_NK)} images, and no share between 0 and 1, "
            "as its is_proportion promises."
        )
    return number
