"""The baseline of a chosen metric, before a training that would end with it."""

from __future__ import annotations

import numpy as np

from zoo_core.data.sources import PartName, Source
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import ChosenMetric

MEASURED: tuple[PartName, ...] = ("val", "test")


def check_baseline(metric: ChosenMetric, source: Source) -> None:
    """Raise PluginError, which names the metric's distribution, where it has no figure for the best
    constant answer: the result needs one, and a training would fail after its last epoch."""
    answer_K = task_named(source.task).constant(source.parts["train"].targets, len(source.classes))
    for name in MEASURED:
        if name in source.parts:
            targets = source.parts[name].targets
            metric.compute(np.broadcast_to(answer_K, (len(targets), len(answer_K))), targets)
