"""The page of a report: sections in the order in which a reader asks, and one template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from zoo_core.catalog import Catalog
from zoo_core.errors import printable
from zoo_core.freezing.plan import Plan
from zoo_core.html_tables import on_page
from zoo_core.reporting.charts import (
    Dot,
    confusion_chart,
    curves,
    feature_map,
    plan_chart,
    scatter,
)
from zoo_core.reporting.examples import (
    Example,
    confused_pairs,
    evenly,
    least_sure,
    matrix_of,
    percent,
    plain,
    words_of,
    worst,
)
from zoo_core.reporting.gather import Measured, in_the_plane
from zoo_core.reporting.images import TINY, HeatMaps, thumbnail
from zoo_core.reporting.labels import Doubt
from zoo_core.reporting.probabilities import probabilities
from zoo_core.runs.card import cached_in_words, decision_lines, plan_in_words
from zoo_core.runs.schema import flat
from zoo_core.tasks.chosen import result_figures
from zoo_core.tasks.task import Task
from zoo_core.wording import counted, quoted

MOST_IN_MATRIX = 30  # classes whose names and counts stay readable
MOST_ROWS = 500  # of the table of classes
MOST_DOUBTS = 24
MOST_DOTS, MOST_TINY = 3000, 1000  # dots of the map, and those with an image: 1 MB
MOST_NAMED = 24  # classes in the legend of the map
COLOURS = 8  # that people with any eyes tell apart
MOST_COLUMNS = 9  # of numbers with a chart
PART_WORDS = {"val": "validation ", "test": "test ", "all": ""}
Watch = Callable[[int, int], None]


def render(
    measured: Measured,
    doubts: list[Doubt] | str | None,
    catalog: Catalog,
    watch: Watch | None = None,
    *,
    with_images: bool = True,
) -> str:
    """The page as text. Every name is escaped; `watch` is told (sections done, of how many)."""
    maps = HeatMaps(measured, catalog)
    makers: list[Callable[[], dict[str, Any]]] = [
        lambda: _opening(measured),
        lambda: _curves(measured),
        lambda: _confusion(measured, with_images),
        lambda: _errors(measured, maps) if with_images else {"wrong": None},
        lambda: {"unsure": _with_maps(measured, least_sure(measured), maps) if with_images else []},
        lambda: _doubts(measured, doubts),
        lambda: _outputs(measured),
        lambda: probabilities(measured),
        lambda: _map(measured, with_images),
        lambda: _settings(measured),
    ]
    values: dict[str, Any] = {}
    for number, make in enumerate(makers, 1):
        values |= make()
        if watch:
            watch(number, len(makers))
    environment = Environment(
        loader=PackageLoader("zoo_core", "resources"),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=on_page,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text: str = environment.get_template("report.html.j2").render(values)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _opening(measured: Measured) -> dict[str, Any]:
    facts, task = measured.facts, measured.task
    where = f"on the {PART_WORDS[measured.part_name]}images of {printable(Path(measured.source.title).name)}"
    about = f"{facts.backbone.name}, head {facts.config.head}, strategy {facts.config.strategy}"
    outputs = [printable(name) for name in facts.classes]
    few = ", ".join(outputs[:12]) + (f" and {len(outputs) - 12} more" if len(outputs) > 12 else "")
    held_out = "They were held out of the training; the validation images chose the best epoch."
    if not measured.result.get("best_epoch"):
        held_out = "The run says that they were held out; zoo has no record of the training."
    if not measured.is_own:
        held_out = "They were given to the report; whether the run was trained on some of them, `zoo evaluate` tells."
    elif measured.part_name == "test":
        held_out = "They were held out and decided nothing."
    return {
        "title": printable(measured.repository or measured.directory.resolve().name),
        "about": printable(about),
        "question": f"{_question(task)} {counted(len(outputs), task.output, task.outputs)}: {few}.",
        "result": task.headline(measured.evaluation, where),
        "held_out": held_out,
        "baseline": task.baseline_sentences(result_figures(measured.evaluation), measured.baseline),
        "images": measured.evaluation.images,
    }


def _question(task: Task[Any]) -> str:
    if task.answers_with_all:
        return "How large are the numbers of an image?"
    return f"Which {task.output if task.single_label else task.outputs} does an image have?"


def _wrong_words(task: Task[Any]) -> str:
    """The caption of the worst errors."""
    if task.answers_with_all:
        return "The numbers that are farthest off, each measured by its own spread; then the true ones."
    if task.single_label:
        return "The answer with its probability, and the truth with its own."
    return (
        "Labels that are answered and not there, or are there and missed, with their probabilities; then the labels of "
        "the image."
    )


def _curves(measured: Measured) -> dict[str, Any]:
    epochs = measured.epochs
    if not epochs:
        return {"curves": [], "epochs": []}
    best = int(measured.result.get("best_epoch", 1))
    if epochs[-1]["val_loss"] is None:  # no image was held out to measure an epoch
        drawn = [curves({"train": [float(line["train_loss"]) for line in epochs]}, best=best, unit="loss")]
        rows = [[str(line["epoch"]), f"{line['train_loss']:.4f}", "-", "-"] for line in epochs]
        return {
            "curves": drawn,
            "epochs": rows,
            "best": best,
            "score": measured.task.metric.title,
            "is_measured": False,
        }
    metric = measured.task.metric_of(measured.result)
    scores = {metric.title: [float(line["val_score"]) for line in epochs]}
    losses = {name: [float(line[f"{name}_loss"]) for line in epochs] for name in ("train", "val")}
    drawn = [
        curves(scores, best=best, unit=metric.unit, factor=metric.factor),
        curves(losses, best=best, unit="loss"),
    ]
    rows = [
        [str(line["epoch"]), f"{line['train_loss']:.4f}", f"{line['val_loss']:.4f}", metric.text(line["val_score"])]
        for line in epochs
    ]
    return {"curves": drawn, "epochs": rows, "best": best, "score": metric.title, "is_measured": True}


def _confusion(measured: Measured, with_images: bool) -> dict[str, Any]:
    task = measured.task
    drawn: list[Markup] = []
    if task.single_label and len(measured.facts.classes) <= MOST_IN_MATRIX:
        drawn = [confusion_chart(matrix_of(measured), measured.facts.classes)]
    elif task.answers_with_all:
        chosen = evenly(len(measured.part), MOST_DOTS)
        drawn = [
            scatter(name, measured.part.targets[chosen, column].tolist(), measured.values_NK[chosen, column].tolist())
            for column, name in enumerate(measured.facts.classes[:MOST_COLUMNS])
        ]
    pairs = [
        {
            "words": f"{pair.count} of {pair.of} images of {printable(pair.true)} are answered with {printable(pair.answer)}",
            "images": [image for index in pair.examples if with_images and (image := _image(measured, index))],
        }
        for pair in confused_pairs(measured)
    ]
    columns = len(measured.facts.classes)
    left_out = f"The first {MOST_COLUMNS} of {columns} columns." if columns > MOST_COLUMNS else ""
    return {"confusion": drawn, "pairs": pairs, "scattered": task.answers_with_all, "charts_left_out": left_out}


def _errors(measured: Measured, maps: HeatMaps) -> dict[str, Any]:
    found, count = worst(measured)
    shown = f" The first {len(found)} of {count:,} images." if count > len(found) else ""
    return {"wrong": _with_maps(measured, found, maps), "wrong_words": _wrong_words(measured.task) + shown}


def _with_maps(measured: Measured, examples: Sequence[Example], maps: HeatMaps) -> list[dict[str, Any]]:
    drawn = maps.of(measured.part, [one.index for one in examples], [one.output for one in examples])
    return [
        {"image": _image(measured, one.index), "map": heat, "true": one.true, "answer": one.answer}
        for one, heat in zip(examples, drawn, strict=True)
    ]


def _image(measured: Measured, index: int) -> dict[str, str] | None:
    data = thumbnail(measured.part, index)
    return data and {"data": data, "name": printable(measured.part.images.name(index))}  # type: ignore[return-value]


def _doubts(measured: Measured, doubts: list[Doubt] | str | None) -> dict[str, Any]:
    if doubts is None or isinstance(doubts, str):
        return {"doubts": None, "why_no_doubts": doubts, "num_doubts": 0}
    names = [printable(name) for name in measured.source.classes]
    shown = [
        {
            "image": {"data": thumbnail(one.part, one.index), "name": printable(one.part.images.name(one.index))},
            "label": f"{names[one.label]} {percent(one.own)}",
            "like": f"{names[one.like]} {percent(one.other)}",
        }
        for one in doubts[:MOST_DOUBTS]
    ]
    return {"doubts": shown, "num_doubts": len(doubts), "why_no_doubts": None}


def _outputs(measured: Measured) -> dict[str, Any]:
    rows = [measured.task.screen_row(row) for row in measured.evaluation.by_output(measured.facts.classes)]
    return {
        "columns": list(rows[0]),
        "rows": [plain(row) for row in rows[:MOST_ROWS]],
        "more_rows": max(0, len(rows) - MOST_ROWS),
        "outputs": measured.task.outputs,
    }


def _map(measured: Measured, with_images: bool) -> dict[str, Any]:
    places_N2 = in_the_plane(measured.vectors_NF)
    chosen = evenly(len(measured.part), MOST_DOTS)
    with_image = {chosen[place] for place in evenly(len(chosen), MOST_TINY)} if with_images else set()
    dots = []
    for index in chosen:
        words, is_right = words_of(measured, index, with_name=with_images)
        colour = int(measured.part.targets[index]) % COLOURS if measured.task.single_label else 0
        image = thumbnail(measured.part, index, TINY) if index in with_image else None
        dots.append(Dot(float(places_N2[index, 0]), float(places_N2[index, 1]), colour, is_right, words, image))
    return {
        "map": feature_map(dots, TINY * 3),
        "dots": len(dots),
        "dots_with_image": len(with_image),
        "legend": _legend(measured.facts.classes) if measured.task.single_label else [],
        "repeat": len(measured.facts.classes) > COLOURS,
        "named": MOST_NAMED if len(measured.facts.classes) > MOST_NAMED else 0,
    }


def _legend(names: Iterable[str]) -> list[dict[str, str]]:
    return [
        {"colour": f"c{number % COLOURS}", "name": printable(name)}
        for number, name in enumerate(names)
        if number < MOST_NAMED
    ]


def _settings(measured: Measured) -> dict[str, Any]:
    facts, plan = measured.facts, Plan.from_dict(measured.facts.plan)
    phases = [(phase.epochs, [rule.lr for rule in phase.rules]) for phase in plan.phases]
    chart: Markup = plan_chart(plan.parts, phases)
    every = {name: value for name, value in flat(facts.to_dict()).items() if not name.startswith(("plan", "decisions"))}
    run = quoted(measured.address)
    return {
        "plan": chart,
        "plan_in_words": [printable(line) for line in plan_in_words(facts.plan)],
        "cached": cached_in_words(facts) or "",
        "findings": [printable(one) for one in facts.data.findings],
        "decisions": [printable(line) for line in decision_lines(facts.decisions)],
        "facts": [(name, printable(_text(value))) for name, value in every.items()],
        "commands": [
            f"zoo predict {run} photo.jpg",
            f"zoo evaluate {run} --data photos/",
            f"zoo explain {run} photo.jpg",
        ],
        "library": f"zoo_core.load({measured.address!r}).predict('photo.jpg')",
    }


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 300 else f"{text[:299]}…"
