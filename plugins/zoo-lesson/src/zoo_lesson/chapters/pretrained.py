"""Why pretrained: the same network with pretrained and with random initial weights."""

from __future__ import annotations

from typing import Any

from zoo_core import PALETTE, Figure
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.chapters.amount import fractions
from zoo_lesson.chapters.strategies import EPOCHS, settings
from zoo_lesson.lesson import Lesson

FRACTIONS = (0.25, 1)
NONE = "none"
CLOSE, FAR = 0.05, 0.2  # of accuracy: the bounds of the choices


def measure(lesson: Lesson) -> Finding:
    shares = ",".join(map(str, fractions(lesson, FRACTIONS)))
    answer = lesson.zoo(
        *("compare", "--backbone", lesson.backbone, "--strategy", "full", "--weights", f"pretrained,{NONE}"),
        *("--fractions", shares, *settings(lesson)),
    )
    largest = {row["weights"] == NONE: row for row in answer["results"] if row["fraction"] == 1}
    pretrained, scratch = largest[False], largest[True]
    gap, interval = _advantage(answer["difference"])
    sentence = (
        f"After {EPOCHS} epochs on {pretrained['train_images']} photos, {lesson.backbone} with pretrained weights answers "
        f"{intervals.percent(pretrained['score'], pretrained['interval'])} of {pretrained['images']} test photos rightly, "
        f"with random weights {intervals.percent(scratch['score'], scratch['interval'])}: a difference of "
        f"{intervals.points(gap, interval)}."
    )
    return Finding(
        sentence=sentence,
        choice=0 if gap < CLOSE else 1 if gap < FAR else 2,
        figure=_draw(answer["results"]),
        alt="The accuracy with pretrained and with random weights, for each number of photos.",
        numbers={
            "pretrained": pretrained["score"],
            "scratch": scratch["score"],
            "difference": gap,
            "interval": interval,
        },
    )


def _advantage(difference: dict[str, Any] | None) -> tuple[float, tuple[float, float]]:
    """The accuracy with pretrained weights less that without, with its interval."""
    assert difference is not None  # two candidates answered the same photos
    low, high = difference["interval"]
    if difference["first"]["weights"] != NONE:
        return difference["difference"], (low, high)
    return -difference["difference"], (-high, -low)


def _draw(rows: list[dict[str, Any]]) -> Figure:
    figure = pictures.figure(3.4)
    axes = figure.subplots()
    ordered = sorted(rows, key=lambda row: (row["fraction"], row["weights"] == NONE))
    names = [f"{'random' if row['weights'] == NONE else 'pretrained'}, {row['train_images']} photos" for row in ordered]
    colours = [PALETTE.vermilion if row["weights"] == NONE else PALETTE.blue for row in ordered]
    pictures.whiskers(axes, names, [row["score"] for row in ordered], [row["interval"] for row in ordered], colours)
    axes.axvline(100 * rows[0]["baseline"], color=PALETTE.soft, linestyle=":", linewidth=1.5)
    axes.set_xlabel("dotted: always the same class")
    pictures.dress(axes, "Test photos answered rightly, %, with the 95 % interval", grid="x")
    return figure


PRETRAINED = Chapter(
    name="pretrained",
    title="Why pretrained weights",
    question="All of a network is trained on a few hundred photos. How far apart are pretrained and random initial weights?",
    choices=("less than 5 points, or random ones are ahead", "5 to 20 points", "more than 20 points"),
    explanation=(
        "Pretrained weights were trained on a million photos. Edges, textures and parts serve for other photos too, so "
        "that a few hundred of yours are enough for the rest. From random weights, all of that has to be learned from "
        "your photos alone.",
        "The comparison is of equal work: the same photos, the same epochs. Longer training from scratch narrows the "
        "gap, at many times the cost; enough photos of your own close it.",
    ),
    measure=measure,
)
