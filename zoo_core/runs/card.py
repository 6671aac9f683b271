"""The card of a run: what a person wants to know of the model, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from zoo_core.errors import printable
from zoo_core.runs.directory import PICTURES
from zoo_core.runs.schema import RunFacts
from zoo_core.specs import OUTPUTS, Task


@dataclass(frozen=True)
class _Words:
    """What a card calls things in a task."""

    kind: str
    caption: str
    columns: tuple[str, ...]


WORDS: dict[Task, _Words] = {
    "classification": _Words("An image classifier for", "Confusion matrix", ("class", "found", "images")),
    "multilabel": _Words(
        "A model that gives images",
        "Average precision of each label",
        ("label", "images", "average precision", "F1"),
    ),
    "regression": _Words(
        "A model that reads from images", "Predicted and true numbers", ("number", "RMSE", "MAE", "R2")
    ),
}


def render_card(facts: RunFacts, result: Mapping[str, Any], *, address: str | None = None) -> str:
    """Write the card of a run from its facts and the last line of its metrics.

    `address` is where it was published; without one the card speaks of the run directory.
    """
    environment = Environment(
        loader=PackageLoader("zoo_core", "resources"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = inline
    return environment.get_template("card.md.j2").render(
        facts=facts,
        result=result,
        address=address,
        distributions=sorted({"zoo-core", facts.backbone.distribution, facts.head.distribution}),
        words=WORDS[facts.task],
        outputs=OUTPUTS[facts.task],
        rows=_rows(facts, result),
        picture=PICTURES[facts.task],
        plan=plan_in_words(facts.plan),
    )


def inline(text: object) -> str:
    """A text from outside as one harmless line of Markdown."""
    line = printable(str(text))
    for character in "\\`*_{}[]<>()#!|~":
        line = line.replace(character, "\\" + character)
    return line


def plan_in_words(plan: Mapping[str, Any]) -> list[str]:
    """Say what learns in each phase of a plan, a sentence a phase."""
    names = [*plan["stages"], "head"]
    sentences = []
    for phase in plan["phases"]:
        rules = dict(zip(names, phase["rules"], strict=True))
        learning = [name for name in names if rules[name]["lr"] > 0]
        frozen = [name for name in names if name not in learning]
        epochs = "1 epoch" if phase["epochs"] == 1 else f"{phase['epochs']} epochs"
        partly = {name: f" ({rules[name]['parameters']})" for name in learning if rules[name]["parameters"] != "all"}
        what = ", ".join(name + partly.get(name, "") for name in learning)
        still = f"; frozen: {', '.join(frozen)}" if frozen else "" if partly else "; nothing is frozen"
        sentences.append(f"{epochs}: {what} {'learns' if len(learning) == 1 else 'learn'}{still}.")
    return sentences


def score_of(result: Mapping[str, Any]) -> tuple[str, float]:
    """The name and the value of a result's score; runs of zoo 0.1 have an accuracy and no `metric`."""
    return result.get("metric", "accuracy"), result.get("score", result.get("accuracy"))


def _rows(facts: RunFacts, result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What the table says of each class (images found, images), label (images, average precision, F1) or number."""
    if facts.task == "classification":
        counts = zip(facts.classes, result["confusion"], strict=True)
        return [(name, str(row[index]), str(sum(row))) for index, (name, row) in enumerate(counts)]
    keys = {"multilabel": ("positives", "average_precisions", "f1s"), "regression": ("rmses", "maes", "r2s")}
    columns = (result[key] for key in keys[facts.task])
    return [(name, *map(_told, figures)) for name, *figures in zip(facts.classes, *columns, strict=True)]


def _told(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.4g}"
