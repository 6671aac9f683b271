"""The card of a run: the model's worth, its use and its training, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from zoo_core.data.groups import ALIKE, BY_GROUPS, groups_in_words
from zoo_core.data.places import short_title
from zoo_core.discovery import CORE
from zoo_core.errors import printable
from zoo_core.installing import install_command, place_of
from zoo_core.runs.ending import LAST_COUNTS, ending_in_words
from zoo_core.runs.schema import RunFacts
from zoo_core.runs.started import forgotten_in_words, listed, rows_in_words
from zoo_core.settings import Decision, FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.settings.resolved import LEFT_OPEN
from zoo_core.tasks import task_named
from zoo_core.tasks.fitted import too_many_outputs
from zoo_core.tasks.losses import chosen_loss_in_words
from zoo_core.tasks.metrics import Baseline
from zoo_core.tasks.task import Task

FIT_WORDS = {"crop": "", "pad": ", the whole image padded", "squash": ", the whole image squashed"}
UNFITTED = "No temperature, no thresholds and no limit to strangers were fitted: that needs held-out images."
SAID_ELSEWHERE = {
    *("backbone", "data", "strategy", "head", "weights", "epochs", "batch_size", "lr", "size", "task", "augment"),
    *("from_run", "seed", "optimizer", "balance", "loss", "views", "cache_gb"),
}
"""The settings of which other sentences of a card tell, and the size of the cache."""
MAX_ROWS = 500  # classes, labels or numbers in the table of a card; a page with more is not read


def render_card(
    facts: RunFacts, result: Mapping[str, Any], *, address: str | None = None, page: str | None = None
) -> str:
    """Write the card of a run from its facts and the last line of its metrics.

    `address` is where it was published; without one the card speaks of the run directory. `page` is
    the name of a page about it, beside the card.
    """
    task = task_named(facts.task)
    measured = result["part"] is not None
    distributions = sorted({CORE, facts.backbone.distribution, facts.head.distribution})
    rows = task.card_rows(result, facts.classes) if measured else []
    return _template().render(
        facts=facts,
        fit_words=FIT_WORDS,
        result=result,
        measured=measured,
        address=address,
        page=page,
        install=address and _install(distributions),
        distributions=distributions,
        task=task,
        headline=_headline(task, result) if measured else None,
        calibration=_calibration_text(task, facts, result) if measured else UNFITTED,
        baseline=_baseline_text(task, result) if measured else None,
        ending=_ending_text(task, facts, result),
        rows=rows[:MAX_ROWS],
        more=len(rows) - MAX_ROWS,
        known=listed(facts.classes),
        plan=plan_in_words(facts.plan),
        lr=_lr_text(facts, result),
        loss=chosen_loss_in_words(facts.config.loss),
        asked=asked_in_words(facts.config, facts.decisions),
        decisions=decision_lines(facts.decisions),
        cached=cached_in_words(facts),
        rows_kept=facts.head_rows and rows_in_words(facts.head_rows, facts.task, short_title(facts.config.from_run)),
        forgotten=result.get("forgotten") and forgotten_in_words(result["forgotten"], facts.task),
        groups=groups_in_words(facts.data.groups, facts.data.images, facts.config.group_by),
        alike=(BY_GROUPS if result.get("groups") else ALIKE) if measured else None,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("zoo_core", "resources"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        optimized=False,  # it would take longer than it saves in one card
    )
    environment.filters["inline"] = inline
    return environment.get_template("card.md.j2")


def decision_lines(decisions: Mapping[str, Decision]) -> list[str]:
    """The decisions about the training, a line each, without those that follow from others."""
    settings = settings_of(FinetuneConfig)
    shown = [
        name
        for name in decisions
        if name in settings and (name not in LEFT_OPEN or name in ("views", "lr", "patience", "threads"))
    ]
    return [f"{settings[name].option}: {decisions[name]}" for name in shown]


def asked_in_words(config: FinetuneConfig, decisions: Mapping[str, Decision]) -> str:
    """The settings that somebody gave and nothing else in a card tells: "fit pad, ema 0.9"."""
    asked = []
    for name, declared in settings_of(FinetuneConfig).items():
        value = getattr(config, name)
        if not (name in SAID_ELSEWHERE or name in decisions or declared.per_machine or value == declared.default):
            asked.append(f"{declared.option} {short_title(value) if name == 'fix_list' else value}")
    return ", ".join(asked)


def cached_in_words(facts: RunFacts) -> str | None:
    """The cached views and split points in a sentence, None for runs that recorded none."""
    if facts.views is None or facts.split_points is None:
        return None
    if not facts.views:
        return "Every epoch saw fresh views of the images; no features were cached."
    places = " and ".join(dict.fromkeys(point for point in facts.split_points if point != "none"))
    views = "1 view" if facts.views == 1 else f"{facts.views} views"
    return f"Features of {views} of each image were cached after {places}."


def _lr_text(facts: RunFacts, result: Mapping[str, Any]) -> str:
    """The peak learning rate of the head, and how it was found; older runs did not record that of a
    range test."""
    lr = facts.config.lr
    if lr is not None and lr != "auto":
        return str(lr)
    if lr is None and "lr" not in facts.decisions:  # trained in a loop of the user's own
        return "unknown (a training loop of its own)"
    way = "by trials" if lr is None else "by a range test"
    return f"{result['lr']:.2g} ({way})" if result.get("lr") else way


def _headline(task: Task[Any], result: Mapping[str, Any]) -> str | None:
    """The score by the metric that was chosen, None where that is the task's own."""
    metric, interval = task.metric_of(result), result.get("score_interval")
    if metric == task.metric:
        return None
    beside = f", 95 % interval {metric.interval_text(interval)}" if interval else ""
    title = metric.title[:1].upper() + metric.title[1:]
    return f"{title}, the figure that counted: **{metric.text(task.score_of(result))}**{beside}."


def _calibration_text(task: Task[Any], facts: RunFacts, result: Mapping[str, Any]) -> str | None:
    """The fit to the validation images, or the reason why so many outputs have none."""
    if result.get("calibration"):
        return task.card_calibration(result["calibration"])
    return too_many_outputs(sum(facts.data.images.get(part, 0) for part in ("val", "test")), len(facts.classes))


def _baseline_text(task: Task[Any], result: Mapping[str, Any]) -> str | None:
    """The baseline and whether the result beats it, None for a result that was written without one."""
    if "baseline" not in result:
        return None
    return "\n".join(task.baseline_sentences(result, Baseline(**result["baseline"])))


def _ending_text(task: Task[Any], facts: RunFacts, result: Mapping[str, Any]) -> str | None:
    """The end of the training, None for a result that was written without its last epoch."""
    if result.get("last_epoch") is None:
        return None
    if "val" not in facts.data.images:
        return LAST_COUNTS
    return ending_in_words(
        best=result["best_epoch"],
        last=result["last_epoch"],
        planned=sum(phase["epochs"] for phase in facts.plan["phases"]),
        rises_since=result.get("loss_rises_since"),
        rule=facts.config.best_epoch,
        metric=task.metric_of(result),
        error=result.get("score_error"),
    )


def _install(distributions: Sequence[str]) -> str:
    """The command for the reader of a published card, who has another machine."""
    command = install_command(*distributions, here=False)
    return f"{command}  #{place_of(CORE, command)}".removesuffix("  #")


def inline(text: object) -> str:
    """A text from outside as one harmless line of Markdown."""
    line = printable(str(text))
    for character in "\\`*_{}[]<>()#!|~":
        line = line.replace(character, "\\" + character)
    return line


def plan_in_words(plan: Mapping[str, Any]) -> list[str]:
    """The trainable and the frozen parts in each phase of a plan, a sentence a phase."""
    names = [*plan["stages"], "head"]
    sentences = []
    for phase in plan["phases"]:
        rules = dict(zip(names, phase["rules"], strict=True))
        trained = [name for name in names if rules[name]["lr"] > 0]
        frozen = [name for name in names if name not in trained]
        epochs = "1 epoch" if phase["epochs"] == 1 else f"{phase['epochs']} epochs"
        partly = {name: f" ({rules[name]['parameters']})" for name in trained if rules[name]["parameters"] != "all"}
        parts = ", ".join(name + partly.get(name, "") for name in trained)
        still = f"; frozen: {', '.join(frozen)}" if frozen else "" if partly else "; nothing is frozen"
        epochs += ", added to the finished run" if phase.get("restarts") else ""
        sentences.append(f"{epochs}: {parts} {'is' if len(trained) == 1 else 'are'} trained{still}.")
    return sentences


def score_of(result: Mapping[str, Any]) -> tuple[str, float]:
    """The name and the value of a result's score; runs of zoo 0.1 have an accuracy and no `metric`."""
    return result.get("metric", "accuracy"), result.get("score", result.get("accuracy"))
