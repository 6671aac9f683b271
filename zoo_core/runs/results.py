"""The result of a run, as the last line of its metrics holds it: checked plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_core.errors import ZooError, brief, printable
from zoo_core.json_checks import as_count, as_list, as_mapping, as_number, as_text
from zoo_core.runs.schema import RunFacts
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named

HELD_OUT = {"val", "test"}
OF_THRESHOLDS = ("macro_f1", "macro_f1_before", "thresholds_score", "thresholds_score_before")
CALIBRATION_LISTS = {"thresholds", "half_widths", "covered"}


def parse_result(line: Mapping[str, Any], facts: RunFacts, where: str) -> dict[str, Any]:
    """Check the result line of a run's metrics. Raises ZooError that names the file and the
    misfit."""
    try:
        if line["part"] is None and not HELD_OUT & set(facts.data.images):
            forgotten = _forgotten(line.get("forgotten"))
            counts = {name: as_count(line[name]) for name in ("best_epoch", "last_epoch")}
            numbers = {name: None if line.get(name) is None else as_number(line[name]) for name in ("lr", "seconds")}
            nothing = dict.fromkeys(("part", "metric", "score", "calibration"))
            return {**nothing, "forgotten": forgotten, **counts, **numbers}
        task = task_named(facts.task)
        figures = task.parse_figures(line, len(facts.classes))
        if facts.config.metric == "auto" or "metric" not in line:
            _check_score(line, task.metric.name, figures[task.metric.name])
        return {
            **line,
            **figures,
            "part": as_text(line["part"]),
            "images": as_count(line["images"]),
            "best_epoch": as_count(line["best_epoch"]),
            **{
                name: as_count(line[name])
                for name in ("groups", "last_epoch", "loss_rises_since")
                if line.get(name) is not None
            },
            **({"metric": as_text(line["metric"])} if "metric" in line else {}),
            **({"score": as_number(line["score"])} if "score" in line else {}),
            "higher_is_better": line.get("higher_is_better") is not False,  # older runs do not say so
            "score_interval": _interval(line.get("score_interval")),
            "calibration": _calibration(line.get("calibration"), facts.task),
            "forgotten": _forgotten(line.get("forgotten")),
            **{name: None if line.get(name) is None else as_number(line[name]) for name in ("lr", "score_error")},
            **({"baseline": _baseline(line["baseline"])} if "baseline" in line else {}),  # older runs have none
        }
    except KeyError as error:
        raise ZooError(f"the result in {where} has no {brief(error.args[0])}.") from error
    except (TypeError, ValueError) as error:
        raise ZooError(f"the result in {where} is not one of a run: {printable(str(error))}") from error


def _check_score(line: Mapping[str, Any], metric: str, figure: Any) -> None:
    """Raise TypeError unless the score is the task's own; results of zoo 0.1 name none."""
    if line.get("metric", metric) != metric:
        raise TypeError(f"{brief(line['metric'])} is not the metric {metric}")
    if as_number(line.get("score", figure)) != figure:
        raise TypeError(f"the score is {brief(line['score'])} and the {metric} {brief(figure)}")


def _calibration(value: object, task: TaskName) -> dict[str, Any] | None:
    """The figures of what was fitted to the validation images; older runs have none."""
    if value is None:
        return None
    data = as_mapping(value)
    lists = CALIBRATION_LISTS & set(data)
    names = ("coverage",) if not task_named(task).has_temperature else ("temperature", "ece", "ece_before")
    return {
        **data,
        "part": as_text(data["part"]),
        "is_crossed": data["is_crossed"] is True,
        **{name: as_number(data[name]) for name in names},
        **{name: [as_number(one) for one in as_list(data[name])] for name in lists if data[name] is not None},
        **{name: [_bin(one) for one in as_list(data[name])] for name in ("bins", "bins_before") if name in data},
        **{name: as_number(data[name]) for name in OF_THRESHOLDS if name in data},
        **({"thresholds_metric": as_text(data["thresholds_metric"])} if "thresholds_metric" in data else {}),
    }


def _forgotten(value: object) -> dict[str, Any] | None:
    """The scores of the run that a training started from, before and after; other runs have
    none."""
    if value is None:
        return None
    data = as_mapping(value)
    return {
        **{name: as_count(data[name]) for name in ("images", "trained_on", "gone")},
        **{name: None if data[name] is None else as_number(data[name]) for name in ("before", "after")},
        "metric": as_text(data["metric"]),
        "reason": None if data["reason"] is None else as_text(data["reason"]),
    }


def _bin(value: object) -> dict[str, float]:
    data = as_mapping(value)
    return {"count": as_count(data["count"]), **{name: as_number(data[name]) for name in ("probability", "right")}}


def _interval(value: object) -> list[float] | None:
    if value is None:
        return None
    low, high = as_list(value)
    return [as_number(low), as_number(high)]


def _baseline(value: object) -> dict[str, float]:
    data = as_mapping(value)
    return {"score": as_number(data["score"])} | ({"rmse": as_number(data["rmse"])} if "rmse" in data else {})
