"""Transfer learning against fine-tuning: how much of a pretrained network to train."""

from __future__ import annotations

from typing import Any

from zoo_core import PALETTE, Figure
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.lesson import Lesson

EPOCHS = 4
COMPARED = {"head-only": "the head alone", "last:2": "the last two stages", "full": "everything"}
COLOURS = {"head-only": PALETTE.blue, "last:2": PALETTE.orange, "full": PALETTE.vermilion}


def settings(lesson: Lesson) -> tuple[object, ...]:
    """The settings of the trainings, which the chapter on pretrained weights shares."""
    small = ("--image-size", lesson.small_side, "--epochs", EPOCHS)
    return (*small, "--data", lesson.photos.folder, "--out", lesson.run("training"))


def measure(lesson: Lesson) -> Finding:
    answer = lesson.zoo("compare", "--backbone", lesson.backbone, "--strategy", ",".join(COMPARED), *settings(lesson))
    rows = {row["strategy"]: row for row in answer["results"]}
    told = ", ".join(
        f"{COMPARED[name]} {intervals.percent(rows[name]['score'], rows[name]['interval'])} in {rows[name]['seconds']:.0f} s"
        for name in COMPARED
    )
    differ, words = compared(answer["difference"])
    sentence = f"Trained for {EPOCHS} epochs on {rows['full']['train_images']} photos: {told}. {words}"
    best = next(place for place, name in enumerate(COMPARED) if name == answer["results"][0]["strategy"])
    return Finding(
        sentence=sentence,
        choice=best if differ else None,
        figure=_draw(rows),
        alt="Accuracy, seconds and trained parameters of the three strategies.",
        numbers={name: {key: row[key] for key in ("score", "interval", "seconds")} for name, row in rows.items()},
    )


def compared(difference: dict[str, Any] | None) -> tuple[bool, str]:
    """Whether the best two differ, and a sentence on it."""
    if difference is None:
        return False, "There is nothing to compare."
    first, second = (
        COMPARED.get(difference[side]["strategy"], difference[side]["strategy"]) for side in ("first", "second")
    )
    gap = intervals.points(difference["difference"], difference["interval"])
    if difference["differ"]:
        return True, f"Training {first} beats training {second} by {gap}."
    return False, f"Between the best two, {first} and {second}, lie {gap}: on these photos no sure difference."


def _draw(rows: dict[str, Any]) -> Figure:
    figure = pictures.figure(4.6)
    upper, lower = figure.subplots(2, height_ratios=(1.3, 1))
    names, colours = list(COMPARED.values()), [COLOURS[name] for name in COMPARED]
    own = [rows[name] for name in COMPARED]
    pictures.whiskers(upper, names, [row["score"] for row in own], [row["interval"] for row in own], colours)
    pictures.dress(upper, "Test photos answered rightly, %, with the 95 % interval", grid="x")
    lower.barh(range(len(own)), [row["seconds"] for row in own], color=colours, height=0.6)
    for place, row in enumerate(own):
        text = f" {row['seconds']:.0f} s, {row['trainable_parameters']:,} parameters"
        pictures.write(lower, row["seconds"], place, text)
    lower.set_xlim(0, 1.9 * max(row["seconds"] for row in own))
    lower.set_yticks(range(len(own)), names)
    lower.set_ylim(len(own) - 0.5, -0.5)
    pictures.dress(lower, "Seconds of a training on this machine, and what is trained", grid="x")
    return figure


STRATEGIES = Chapter(
    name="strategies",
    title="Transfer learning against fine-tuning",
    question="A pretrained network is to learn your classes from a few hundred photos. What is best to train?",
    choices=("the head alone", "the head and the last two stages", "everything"),
    explanation=(
        "Transfer learning keeps the conv base as it is and trains a new head. Fine-tuning goes on with some or all of "
        "the base, at a low learning rate, so that the features fit the new photos.",
        "With few photos that resemble those of the pretraining, the head alone is often as good, and much cheaper: the "
        "features are computed once. With more photos, or other kinds of them, fine-tuning wins. Which holds for your "
        "photos is a thing to measure; `zoo advise` does.",
    ),
    measure=measure,
)
