"""Intervals and standard errors of any figure, from resamples of the images.

Shapes: N images, K outputs, G groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.errors import PluginError
from zoo_core.tasks.metrics import Counts, FloatArray, Interval

Targets = npt.NDArray[Any]
Compute = Callable[[FloatArray, Targets], float]
RESAMPLES = 400  # the ends of an interval then move by some 5 % of its width with another seed
RESAMPLES_OF_ERROR = 100  # a standard error then moves by some 7 % with another seed
FEWEST = 10  # images, or groups: of fewer, resamples repeat the same few, and of a single one they are all the same
FEWEST_RESAMPLES = 100  # of fewer, the ends are too uncertain to be shown
MOST_NUMBERS = 60_000_000
"""Answers in all resamples together, which take some 5 s; more make an interval narrow anyway."""
PER_OUTPUT = 1000  # answers whose time the call for a class or label takes, however few images there are


@dataclass(frozen=True, eq=False)
class Sample:
    """A figure, and the answers (N, K) and targets of which it is computed.

    `groups_N` numbers the group of each image, and is None where each counts for itself.
    """

    compute: Compute
    answers_NK: FloatArray
    targets: Targets
    groups_N: Counts | None = None

    def interval(self, seed: int = 0) -> Interval | None:
        """The 95 % percentile interval of the figure over resamples of the images, or of whole
        groups (Efron, 1979). None as `figures` has it."""
        figures = self.figures(RESAMPLES, seed)
        if figures is None:
            return None
        low, high = np.percentile(figures, [2.5, 97.5])
        return float(low), float(high)

    def error(self, seed: int = 0) -> float | None:
        """The standard error of the figure: its standard deviation over resamples (Efron, 1979).
        None as `figures` has it."""
        figures = self.figures(RESAMPLES_OF_ERROR, seed)
        return None if figures is None else float(np.std(figures, ddof=1))

    def figures(self, most: int, seed: int) -> list[float] | None:
        """The figure in at most so many resamples, of which those without one are left out.

        None with fewer than 10 images, or groups, with too many images for at least 100 resamples,
        and where most of them have none.
        """
        images, outputs = self.answers_NK.shape
        if (images if self.groups_N is None else self.groups_N.max() + 1) < FEWEST:
            return None
        count = min(most, MOST_NUMBERS // (outputs * (images + PER_OUTPUT)))
        if count < FEWEST_RESAMPLES:
            return None
        draw = _drawing(self.targets) if self.groups_N is None else _drawing_groups(self.groups_N)
        generator, figures = np.random.default_rng(seed), []
        for _ in range(count):
            drawn = draw(generator)
            try:
                figures.append(self.compute(self.answers_NK[drawn], self.targets[drawn]))
            except PluginError:  # such as a class that is missing
                continue
        return figures if 2 * len(figures) >= count else None


def _drawing(targets: Targets) -> Callable[[np.random.Generator], Counts]:
    """A function that draws as many images as there are.

    Images with one class each are drawn within their classes, whose sizes a stratified split has
    fixed: a class of two images would be missing in every seventh resample.
    """
    strata_N = targets if targets.ndim == 1 else np.zeros(len(targets), np.int64)
    order_N = np.argsort(strata_N, kind="stable")
    _, firsts, places_N, sizes = np.unique(
        strata_N[order_N], return_index=True, return_inverse=True, return_counts=True
    )
    return lambda generator: order_N[firsts[places_N] + generator.integers(sizes[places_N])]


def _drawing_groups(groups_N: Counts) -> Callable[[np.random.Generator], Counts]:
    """A function that draws the images of as many groups as there are."""
    sizes_G = np.bincount(groups_N)
    members = np.split(np.argsort(groups_N, kind="stable"), np.cumsum(sizes_G)[:-1])
    return lambda generator: np.concatenate(
        [members[one] for one in generator.integers(len(members), size=len(members))]
    )
