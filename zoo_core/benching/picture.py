"""The picture of a bench: accuracy against latency, or throughput where nothing is trained yet."""

from __future__ import annotations

from pathlib import Path

from zoo_core.benching.measured import Bench, Row
from zoo_core.drawing import ABOVE, PALETTE, Figure, picture_text, save_figure

SIZE = (9.0, 5.2)
COLOURS = (PALETTE.blue, PALETTE.vermilion, PALETTE.orange, PALETTE.grey, PALETTE.ink)
MARKERS = ("o", "s", "^", "D")


def draw(target: Path, bench: Bench) -> None:
    """Draw a dot for each format: to the left is faster, above is better. The bar across is the
    latency from the median to the 95th percentile, the upright one the interval of the score."""
    figure = Figure(figsize=SIZE)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.09, right=0.96, bottom=0.12, top=0.92)
    rows = [row for row in bench.measured if row.latency is not None]
    scored = bool(rows) and all(row.score is not None for row in rows)
    for number, row in enumerate(rows):
        assert row.latency is not None
        assert row.rate is not None
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
        height = row.score.metric.factor * row.score.value if row.score else row.rate
        axes.plot([row.latency.median, row.latency.p95], [height, height], color=colour, alpha=0.35)
        axes.plot([row.latency.median] * 2, _ends(row), color=colour, alpha=0.35, linewidth=4)
        axes.plot(row.latency.median, height, marker, color=colour, markersize=8, label=_name(row, bench))
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds of an image alone (median, and to the 95th percentile)")
    if scored and rows[0].score is not None:
        metric = rows[0].score.metric
        axes.set_ylabel(metric.unit)
        title = f"{metric.title[:1].upper()}{metric.title[1:]} against latency"
    else:
        axes.set_ylabel("images a second in the best batch")
        axes.set_ylim(bottom=0)
        title = "Throughput against latency"
    axes.set_title(f"{title}, {bench.cores} core{'' if bench.cores == 1 else 's'}", loc="left", **ABOVE)
    if len(rows) > 1:
        axes.legend(frameon=False)
    axes.grid(color=PALETTE.line)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, target)


def _ends(row: Row) -> tuple[float, float]:
    if row.score is None:
        return row.rates or (0.0, 0.0)
    value = row.score.value
    low, high = row.score.interval or (value, value)
    return row.score.metric.factor * low, row.score.metric.factor * high


def _name(row: Row, bench: Bench) -> str:
    models = {one.model for one in bench.rows}
    formats = {one.format for one in bench.rows}
    words = [row.model] if len(models) > 1 else []
    words += [row.format] if len(formats) > 1 or not words else []
    return picture_text(" ".join(words))
