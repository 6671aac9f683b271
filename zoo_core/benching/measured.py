"""The figures of a bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_core.tasks.metrics import Interval, Metric

LEAST_FOR_99 = 100  # images: of fewer the 99th percentile is the slowest one


@dataclass(frozen=True)
class Latency:
    """Milliseconds of an image that comes alone, from the bytes of its file to the answer."""

    median: float
    p95: float
    p99: float | None
    """None where too few images were measured."""
    images: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        median, p95, p99 = (1000 * float(value) for value in np.percentile(seconds, (50, 95, 99)))
        return cls(median, p95, p99 if len(seconds) >= LEAST_FOR_99 else None, len(seconds))


@dataclass(frozen=True)
class Score:
    """The accuracy of a format, or the figure that counts for its task."""

    metric: Metric
    value: float
    interval: Interval | None
    images: int

    def __str__(self) -> str:
        beside = f" ({self.metric.interval_text(self.interval)})" if self.interval else ""
        return f"{self.metric.text(self.value)}{beside}"


@dataclass(frozen=True)
class Row:
    """A format of a model, or the problem that it has."""

    model: str
    format: str
    problem: str | None = None
    device: str | None = None
    latency: Latency | None = None
    network_ms: float | None = None
    """The median of the network alone, of images that come alone."""
    batch: int | None = None
    """The one with the most images a second."""
    rate: float | None = None
    """Images a second with it: the median of the rounds."""
    rates: tuple[float, float] | None = None
    """The slowest and the fastest round."""
    peak_bytes: int | None = None
    peak_bytes_alone: int | None = None
    """The most memory of the process, with its best batch and with images alone."""
    bytes: int | None = None
    start_up: float | None = None
    """Seconds from the start of a process to its first answer."""
    score: Score | None = None
    cost: float | None = None
    """Of a million images, in the currency of the price."""

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON has it."""
        latency, score = self.latency, self.score
        return {
            "model": self.model,
            "format": self.format,
            "device": self.device,
            "median_ms": latency and latency.median,
            "p95_ms": latency and latency.p95,
            "p99_ms": latency and latency.p99,
            "latencies": latency and latency.images,
            "network_ms": self.network_ms,
            "batch": self.batch,
            "images_per_second": self.rate,
            "slowest_and_fastest": self.rates,
            "peak_bytes": self.peak_bytes,
            "peak_bytes_alone": self.peak_bytes_alone,
            "bytes": self.bytes,
            "start_up_seconds": self.start_up,
            "metric": score and score.metric.name,
            "score": score and score.value,
            "score_interval": score and score.interval,
            "images": score and score.images,
            "cost_per_million": self.cost,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Bench:
    """All formats of a bench, and the images and the cores that they had."""

    data: str
    part: str | None
    """None for made-up images."""
    timed: int
    """The number of images whose time was measured."""
    cores: int
    rounds: int
    seconds: float
    price: float | None
    rows: tuple[Row, ...]

    @property
    def measured(self) -> list[Row]:
        """The rows without a problem."""
        return [row for row in self.rows if row.problem is None]

    def to_dict(self) -> dict[str, Any]:
        """The bench as JSON has it."""
        own = {name: getattr(self, name) for name in ("data", "part", "timed", "cores", "rounds", "seconds", "price")}
        return {**own, "rows": [row.to_dict() for row in self.rows]}
