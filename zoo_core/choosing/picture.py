"""The picture of a comparison: each candidate with its interval and its cost, or learning
curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo_core.choosing.comparison import Comparison, Level
from zoo_core.choosing.grid import Candidate
from zoo_core.choosing.results import Results, Row
from zoo_core.drawing import ABOVE, CHARACTER, MAX_LABELLED, Figure, MaxNLocator, picture_text, save_figure
from zoo_core.tasks.metrics import Metric
from zoo_core.wording import short_seconds

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
"""Colours that the colour-blind tell apart (Okabe and Ito, 2008)."""
BEST, OTHERS, COST = "#0072B2", "#6B7B88", "#D9DEE2"
LONGEST = 60  # characters of a candidate beside an axis
MOST_CURVES = 10  # that can be followed by eye


def draw(target: Path, comparison: Comparison) -> None:
    """Draw learning curves where there are several shares of the images, else scores and seconds,
    to a PNG file."""
    results, metric = comparison.results, comparison.results.metric
    if metric is None:
        return
    curves = [curve for row in results.largest if (curve := results.curve(row.candidate))]
    if len(results.grid.shares) > 1 and curves:
        _draw_curves(target, comparison, curves[:MOST_CURVES], metric)
    elif results.largest:
        _draw_scores(target, results, results.largest[:MAX_LABELLED], metric)


def _draw_scores(target: Path, results: Results, rows: Sequence[Row], metric: Metric) -> None:
    """A dot with its interval for each candidate, the best on top, and beside it the seconds of a
    training."""
    names = [_name(row.candidate, results) for row in rows]
    places = np.arange(len(rows))[::-1]
    width, height = 10.0, 1.5 + 0.42 * len(rows)
    figure = Figure(figsize=(width, height))
    scores, costs = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    left = min(0.55, (0.3 + CHARACTER * max(map(len, names))) / width)
    figure.subplots_adjust(left=left, right=0.97, bottom=0.75 / height, top=1 - 0.5 / height, wspace=0.06)
    for place, row in zip(places, rows, strict=True):
        colour = BEST if row is rows[0] else OTHERS
        score = metric.factor * row.score
        low, high = (metric.factor * end for end in row.interval or (row.score, row.score))
        scores.plot([low, high], [place, place], color=colour, linewidth=6, alpha=0.3, solid_capstyle="round")
        scores.plot(score, place, "o", color=colour, markersize=8)
        text = metric.text(row.score) + ("" if row.is_complete else f"  ({row.trainings} of {row.planned})")
        scores.annotate(text, (score, place), (0, 8), textcoords="offset points", ha="center", fontsize=8, color=colour)
        costs.annotate(f" {_seconds(row.seconds)}", (row.seconds, place), va="center", fontsize=8, color="#444444")
    costs.barh(places, [row.seconds for row in rows], height=0.5, color=COST)
    scores.set_yticks(places, names)
    scores.set(xlabel=metric.unit, ylim=(-0.6, len(rows) - 0.2))
    scores.margins(x=0.08)
    scores.set_title(f"{metric.title[:1].upper()}{metric.title[1:]} on {rows[0].images:,} images", loc="left", **ABOVE)
    costs.set(xlabel="s", xlim=(0, 1.35 * max(max(row.seconds for row in rows), 1e-3)))
    costs.set_title("A training", loc="left", **ABOVE)
    costs.xaxis.set_major_locator(MaxNLocator(3))
    for axes in (scores, costs):
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    save_figure(figure, target)


def _draw_curves(target: Path, comparison: Comparison, curves: Sequence[Sequence[Row]], metric: Metric) -> None:
    """A line with a band for each candidate over the training images, dashed from scratch."""
    figure = Figure(figsize=(10, 5.2))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.08, right=0.97, bottom=0.12, top=0.92)
    for number, curve in enumerate(curves):
        colour, sizes = COLOURS[number % len(COLOURS)], [row.train_images for row in curve]
        low, high = zip(*[row.interval or (row.score, row.score) for row in curve], strict=True)
        axes.fill_between(
            sizes, metric.factor * np.array(low), metric.factor * np.array(high), color=colour, alpha=0.12
        )
        axes.plot(
            sizes,
            [metric.factor * row.score for row in curve],
            marker="o",
            color=colour,
            linestyle="-" if curve[-1].is_pretrained else "--",
            label=_name(curve[-1].candidate, comparison.results),
        )
    ticks = sorted({row.train_images for curve in curves for row in curve})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
    axes.minorticks_off()
    axes.set(xlabel="training images", ylabel=metric.unit)
    title = f"{metric.title[:1].upper()}{metric.title[1:]} on the same {curves[0][-1].images:,} images"
    axes.set_title(title, loc="left", **ABOVE)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    without = comparison.without_pretraining
    level = next((one for one in reversed(without.levels) if one.needed), None) if without else None
    if level is not None and level.needed is not None:
        _draw_level(axes, level, metric)
    axes.legend(loc="best", frameon=False)
    save_figure(figure, target)


def _draw_level(axes: object, level: Level, metric: Metric) -> None:
    """An arrow from the images of a pretrained network to those with which one from scratch is as
    good."""
    height = metric.factor * level.score
    axes.annotate(  # type: ignore[attr-defined]  # matplotlib's axes
        "", (level.needed, height), (level.train_images, height), arrowprops={"arrowstyle": "->", "color": "#444444"}
    )
    axes.annotate(  # type: ignore[attr-defined]
        f"as good from scratch with about {about(level.needed or 0):,}",
        (level.needed, height),
        (-6, 6),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color="#444444",
    )


def about(number: float) -> int:
    """A number of images to two digits: more would claim more than is known."""
    digits = max(0, len(str(int(number))) - 2)
    return int(round(number / 10**digits) * 10**digits)


def _seconds(seconds: float) -> str:
    return f"{short_seconds(seconds)} s" if seconds < 10 else f"{seconds:,.0f} s"


def _name(candidate: Candidate, results: Results) -> str:
    text = picture_text(candidate.title(results.grid.axes))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
