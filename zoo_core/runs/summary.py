"""Runs in the plural: every run below a folder, and the differences between two."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.data.places import absolute_place
from zoo_core.errors import UsageError, ZooError
from zoo_core.runs.card import score_of
from zoo_core.runs.directory import CONFIG, METRICS, MODEL, Run, file_of, is_run, read_facts, read_metrics, read_result
from zoo_core.runs.schema import RunFacts, flat
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The line of one run. `score` and what follows it are None until the run has a result."""

    directory: str
    created: str
    """The time of its start, ISO 8601 in UTC."""
    task: TaskName
    backbone: str
    head: str
    strategy: str
    weights: str
    seed: int
    data: str
    data_place: str
    """The data as config.json names them: the absolute path of files, if the run was not published."""
    data_digests: tuple[str, ...]
    """Digests of the names, labels and contents of its parts, sorted: equal for equal data."""
    measured_digest: str | None
    """The digest of the part that the score was measured on; None without a result."""
    epochs: int
    """Finished epochs."""
    planned_epochs: int
    metric: str | None = None
    higher_is_better: bool = True
    score: float | None = None
    interval: tuple[float, float] | None = None
    """The 95 % interval of the score, where it was recorded."""
    images: int | None = None
    """The number of images that the score was measured on."""
    baseline: float | None = None
    seconds: float | None = None

    @property
    def finished(self) -> bool:
        return self.score is not None

    def rank(self) -> float:
        """The best has the smallest."""
        score = self.score or 0.0
        return -score if self.higher_is_better else score


def find_runs(folder: Path) -> tuple[list[RunSummary], list[str]]:
    """The runs in a folder and below it, oldest first, and a line for each that cannot be read.

    A run directory is not searched for further ones. Links to folders are not followed. Raises
    UsageError where there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}. `zoo finetune` puts its runs into ./runs.")
    runs: list[RunSummary] = []
    damaged: list[str] = []
    for root, folders, files in os.walk(folder, onerror=lambda error: damaged.append(_unreadable(error))):
        folders.sort()
        if CONFIG not in files:
            continue
        try:
            if is_run(Path(root)):
                folders.clear()
                runs.append(summarise(Path(root)))
        except ZooError as error:
            damaged.append(str(error))
    return sorted(runs, key=lambda run: (run.created, run.directory)), damaged


def summarise(directory: Path) -> RunSummary:
    """The line of the run in a directory. Raises UsageError when it is none, ZooError when it is
    damaged."""
    facts = read_facts(directory)
    lines = read_metrics(directory) if file_of(directory, METRICS).is_file() else []
    result = _result(directory, facts)
    metric, score = score_of(result) if result else (None, None)
    return RunSummary(
        directory=str(directory),
        created=facts.created,
        task=facts.task,
        backbone=facts.backbone.name,
        head=facts.head.name,
        strategy=facts.strategy.name,
        weights="none" if facts.start is None else facts.start.tag,
        seed=facts.config.seed,
        data=facts.data.title,
        data_place=facts.config.data_text,
        data_digests=tuple(sorted(facts.data.digests.values())),
        measured_digest=facts.data.digests.get(result["part"]) if result.get("part") else None,
        epochs=sum(line.get("event") == "epoch" for line in lines),
        planned_epochs=sum(phase["epochs"] for phase in facts.plan["phases"]),
        metric=metric,
        higher_is_better=result.get("higher_is_better", True),
        score=score,
        interval=task_named(facts.task).interval_of(result) if score is not None else None,
        images=result.get("images"),
        baseline=(result.get("baseline") or {}).get("score"),
        seconds=result.get("seconds"),
    )


@dataclass(frozen=True)
class Difference:
    """A setting or a figure in which two runs differ, by its dotted name in config.json or
    metrics.jsonl."""

    name: str
    first: Any
    second: Any


def differences_of(first: Path, second: Path) -> tuple[list[Difference], list[Difference]]:
    """The facts and the results in which two runs differ. Lists, such as the confusion matrix, are
    left out of results.

    Raises UsageError when one is no run directory, ZooError when one is damaged.
    """
    facts = [read_facts(directory) for directory in (first, second)]
    results = [_result(directory, one) for directory, one in zip((first, second), facts, strict=True)]
    return (
        _differences(*(flat(one.to_dict()) for one in facts)),
        _differences(*({name: one for name, one in flat(two).items() if not isinstance(one, list)} for two in results)),
    )


def _differences(first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    found = [Difference(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]
    return [one for one in found if one.first != one.second and one.name != "created"]


def _result(directory: Path, facts: RunFacts) -> dict[str, Any]:
    """The result of a finished run; empty for one that is not finished."""
    return read_result(Run(directory, facts)) if file_of(directory, MODEL).is_file() else {}


def _unreadable(error: OSError) -> str:
    return f"{error.filename} cannot be searched for runs: {error.strerror}."


def is_on(run: RunSummary, data: str) -> bool:
    """Whether a run's data are those of `--data`: the same place, as far as both are on this machine.

    Of a place that is gone, or of another machine, the end decides: "photos/" is then "/home/ada/photos".
    """
    asked, own = absolute_place(data), run.data_place
    if os.path.exists(asked) and os.path.exists(own):
        return os.path.samefile(asked, own)
    end = data.removeprefix("./").rstrip("/")
    return asked == own or end == run.data or own.rstrip("/").endswith(f"/{end}")


def best_runs(runs: list[RunSummary], count: int, *, of_one_place: bool = False) -> tuple[list[RunSummary], list[str]]:
    """The finished runs with the best scores, and a line for each reason why these scores do not
    compare. `of_one_place` says that all were chosen by the place of their data."""
    finished = sorted((run for run in runs if run.score is not None), key=RunSummary.rank)[:count]
    doubts = []
    metrics = sorted({run.metric or "" for run in finished})
    if len(metrics) > 1:
        doubts.append(f"the scores are of different kinds: {', '.join(metrics)}.")
    if len({run.measured_digest for run in finished}) > 1:
        advice = "" if of_one_place else "; --data PATH chooses runs on the same"
        doubts.append(f"the scores were measured on different images{advice}.")
    return finished, doubts
