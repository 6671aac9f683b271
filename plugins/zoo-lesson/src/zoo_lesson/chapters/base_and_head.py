"""The conv base and the head: the base stays as it is, and a new head is trained."""

from __future__ import annotations

import zoo_core
from zoo_core import PALETTE, Figure, Profile
from zoo_lesson import intervals, pictures
from zoo_lesson.chapter import Chapter, Finding
from zoo_lesson.lesson import Lesson

A_LOT, A_LITTLE = 0.3, 0.01  # shares of the parameters that divide the choices


def measure(lesson: Lesson) -> Finding:
    run = lesson.run("head")
    lesson.zoo(
        *("finetune", "--backbone", lesson.backbone, "--strategy", "head-only"),
        *("--data", lesson.photos.folder, "--out", run),
        unless=run,
    )
    result = lesson.zoo("evaluate", run)
    network = zoo_core.profile(run, catalog=lesson.catalog)
    base, head = sum(stage.params for stage in network.stages), network.head_params or 0
    share = head / (base + head)
    score, interval, blind = result["accuracy"], result["interval"], result["baseline"]["score"]
    sentence = (
        f"With the conv base of {lesson.backbone} as it was ({base:,} parameters, frozen) and a new head of {head:,} "
        f"({100 * share:.2g} % of all), {intervals.percent(score, interval)} of {result['images']} photos that it never "
        f"saw are answered rightly; always the same class would be right for {100 * blind:.1f} %."
    )
    return Finding(
        sentence=sentence,
        choice=0 if share >= A_LOT else 1 if share >= A_LITTLE else 2,
        figure=_draw(network, head, score, interval, blind),
        alt=f"The parameters of each stage and of the head as bars; below them the accuracy, {100 * score:.1f} %.",
        numbers={"base": base, "head": head, "accuracy": score, "interval": interval, "baseline": blind},
    )


def _draw(network: Profile, head: int, score: float, interval: list[float], blind: float) -> Figure:
    figure = pictures.figure(5.2)
    upper, lower = figure.subplots(2, height_ratios=(3.2, 1))
    names = [*(stage.name for stage in network.stages), "new head"]
    params = [*(stage.params for stage in network.stages), head]
    colours = [*[pictures.FROZEN] * len(network.stages), pictures.TRAINED]
    upper.barh(range(len(names)), params, color=colours, height=0.7)
    for row, count in enumerate(params):
        pictures.write(upper, count + 0.012 * max(params), row, f"{count:,}")
    upper.set_yticks(range(len(names)), names)
    upper.set_ylim(len(names) - 0.4, -0.6)
    upper.set_xlim(0, 1.22 * max(params))
    upper.set_xticks([])
    pictures.dress(upper, "Parameters: the conv base is frozen (grey), the head is trained (orange)")
    pictures.whiskers(lower, ["accuracy"], [score], [interval], [pictures.TRAINED])
    lower.axvline(100 * blind, color=PALETTE.soft, linestyle=":", linewidth=1.5)
    pictures.write(lower, 100 * blind + 1, 0.32, "always the same class", color=PALETTE.soft)
    pictures.dress(lower, "Photos answered rightly, %, with the 95 % interval", grid="x")
    return figure


BASE_AND_HEAD = Chapter(
    name="base-and-head",
    title="A conv base and a head",
    question="A network was trained on other classes than yours. What part of its parameters has to be trained anew?",
    choices=("nearly all, or at least a third", "between 1 % and a third", "less than 1 %"),
    explanation=(
        "A convolutional network has two parts. The conv base turns a photo into features, stage by stage: maps of what "
        "is where. The head turns the features into an answer. Published weights come with a head for the classes that "
        "they were trained on, such as the 1,000 of ImageNet.",
        "For other classes the old head is taken off and a new one is trained. If the base stays as it is, each photo "
        "goes through it once, its features are kept, and training the head takes seconds.",
    ),
    measure=measure,
)
