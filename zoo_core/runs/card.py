"""The card of a run: what a person wants to know of the model, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from zoo_core.errors import printable
from zoo_core.runs.schema import RunFacts
from zoo_core.tasks import task_named
from zoo_core.tasks.metrics import Baseline
from zoo_core.tasks.task import Task


def render_card(facts: RunFacts, result: Mapping[str, Any], *, address: str | None = None) -> str:
    """Write the card of a run from its facts and the last line of its metrics.

    `address` is where it was published; without one the card speaks of the run directory.
    """
    task = task_named(facts.task)
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
        task=task,
        baseline=_baseline_text(task, result),
        rows=task.card_rows(result, facts.classes),
        plan=plan_in_words(facts.plan),
    )


def _baseline_text(task: Task[Any], result: Mapping[str, Any]) -> str | None:
    """The baseline and whether the result beats it, None for a result that was written without one."""
    if "baseline" not in result:
        return None
    return "\n".join(task.baseline_sentences(result, Baseline(**result["baseline"])))


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
