"""Intervals of 95 %, and the words for them.

Shapes: N photos or other things that were drawn, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zoo_core import wilson

Floats = npt.NDArray[np.float64]
RESAMPLES = 2000  # another seed then moves an end of an interval by some 2 % of its width


def of_mean(values: npt.ArrayLike) -> tuple[float, float]:
    """The bootstrap's interval of the mean of N values (Efron 1979): its percentiles in resamples."""
    values_N = np.asarray(values, np.float64)
    return _ends(values_N[_drawn(len(values_N))].mean(1))


def of_ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> tuple[float, float]:
    """The bootstrap's interval of the ratio of two means over the same N things, drawn as pairs."""
    drawn_RN = _drawn(len(np.asarray(above)))
    means = [np.asarray(values, np.float64)[drawn_RN].mean(1) for values in (above, below)]
    return _ends(means[0] / means[1])


def of_share(count: int, total: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    return wilson(count, total)


def percent(share: float, interval: Sequence[float]) -> str:
    """A share with its interval: "82.1 % (78.0 to 85.6)"."""
    return f"{100 * share:.1f} % ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def points(difference: float, interval: Sequence[float]) -> str:
    """A difference of shares with its interval: "+3.2 points (-0.5 to +6.9)"."""
    return f"{100 * difference:+.1f} points ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"


def times(ratio: float, interval: Sequence[float]) -> str:
    """A ratio with its interval: "3.4 times (3.2 to 3.6)"."""
    digits = 1 if ratio < 20 else 0
    return f"{ratio:.{digits}f} times ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def _drawn(count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def _ends(values_R: Floats) -> tuple[float, float]:
    low, high = np.percentile(values_R, [2.5, 97.5])
    return float(low), float(high)
