"""How much data: the accuracy by the number of photos that a head is trained on."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core import PALETTE, Figure
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.intervals import Floats
from zoo_lesson.lesson import Lesson

FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1)
SEEDS = 3
TRAINED = 0.8  # of the photos; the others choose the weight decay
NONE = 1e-6  # of an error: without any before and after, none goes away
A_QUARTER, A_HALF = 0.25, 0.5  # of the errors that go away: the bounds of the choices


def fractions(lesson: Lesson, wanted: tuple[float, ...]) -> tuple[float, ...]:
    """The shares of the photos that leave every class one photo at least."""
    return tuple(share for share in wanted if share * TRAINED * lesson.photos.fewest >= 1)


def measure(lesson: Lesson) -> Finding:
    shares = ",".join(map(str, fractions(lesson, FRACTIONS)))
    answer = lesson.zoo(
        *(
            "compare",
            "--backbone",
            lesson.backbone,
            "--strategy",
            "head-only",
            "--head",
            "logreg",
            "--fractions",
            shares,
        ),
        *("--seeds", SEEDS, "--data", lesson.photos.folder, "--out", lesson.run("amount")),
    )
    rows = answer["results"]
    quarter = min(rows, key=lambda row: abs(row["fraction"] - 0.25))
    first, last = rows[0], rows[-1]
    errors = [wrong(lesson.run("amount"), row["fraction"]) for row in (quarter, last)]
    gone, interval = lost(*errors)
    shown = [row for place, row in enumerate((first, quarter, last)) if row not in (first, quarter, last)[:place]]
    told = ", ".join(f"{_told(row)} with {row['train_images']} photos to train on" for row in shown)
    change = f"{intervals.percent(gone, interval)} of the errors go away"
    if gone < 0:
        change = f"the errors become {intervals.percent(-gone, (-interval[1], -interval[0]))} more"
    steps = f"from {quarter['train_images']} to {last['train_images']} photos"
    sentence = f"Test photos answered rightly: {told}; {steps} {change}."
    return Finding(
        sentence=sentence,
        choice=choice_of(interval),
        figure=_draw(rows),
        alt="The accuracy with its interval by the number of photos, which grows by doublings.",
        numbers={"results": [{key: row[key] for key in ("train_images", "score", "interval")} for row in rows]},
    )


def wrong(folder: Path, fraction: float) -> Floats:
    """The share of the trainings on so much of the photos that answer each test photo (N) wrongly."""
    trainings = []
    for path in sorted(folder.glob(f"*-share-{fraction:g}/answers.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            trainings.append([row["class"] != row["answer"] for row in csv.DictReader(stream)])
    shares_N: Floats = np.asarray(trainings, np.float64).mean(0)
    return shares_N


def lost(before_N: Floats, after_N: Floats) -> tuple[float, tuple[float, float]]:
    """The share of the errors that go away, with its interval: the photos are the same for both."""
    above, below = after_N + NONE, before_N + NONE
    low, high = intervals.of_ratio(above, below)
    return 1 - above.mean() / below.mean(), (1 - high, 1 - low)


def choice_of(interval: tuple[float, float]) -> int | None:
    """The choice in whose bounds the whole interval lies; None where it reaches into another."""
    low, high = (0 if share < A_QUARTER else 1 if share < A_HALF else 2 for share in interval)
    return low if low == high else None


def _told(row: dict[str, Any]) -> str:
    return intervals.percent(row["score"], row["interval"])


def _draw(rows: list[dict[str, Any]]) -> Figure:
    figure = pictures.figure(3.6)
    axes = figure.subplots()
    photos = [row["train_images"] for row in rows]
    scores = [100 * row["score"] for row in rows]
    axes.fill_between(
        photos,
        [100 * row["interval"][0] for row in rows],
        [100 * row["interval"][1] for row in rows],
        color=PALETTE.blue,
        alpha=0.2,
        linewidth=0,
    )
    axes.plot(photos, scores, "o-", color=PALETTE.blue, linewidth=2.2, markersize=7)
    for x, y in zip(photos, scores, strict=True):
        axes.annotate(
            f"{y:.0f}", (x, y), (0, 9), textcoords="offset points", ha="center", size=pictures.TEXT, color=PALETTE.ink
        )
    axes.axhline(100 * rows[-1]["baseline"], color=PALETTE.soft, linestyle=":", linewidth=1.5)
    pictures.write(axes, photos[0], 100 * rows[-1]["baseline"] + 4, "always the same class", color=PALETTE.soft)
    axes.set_xscale("log")
    axes.set_xticks(photos, [str(count) for count in photos])
    axes.minorticks_off()
    axes.set_ylim(0, 105)
    axes.set_xlabel("photos that the head is trained on")
    pictures.dress(axes, "Test photos answered rightly, %, with the 95 % interval", grid="y")
    return figure


AMOUNT = Chapter(
    name="amount",
    title="How much data",
    question="You label four times as many photos. What happens to the errors?",
    choices=("less than a quarter of them goes away", "between a quarter and a half", "more than half"),
    explanation=(
        "Accuracy grows with the number of photos, and ever more slowly: roughly, each doubling brings as much as the "
        "doubling before it, and later less. The curve says whether labelling more photos is worth the work.",
        "A head on pretrained features starts high with a few photos of each class, for the features need not be "
        "learned. The smaller shares are part of the larger ones, and each is drawn three times.",
    ),
    measure=measure,
)
