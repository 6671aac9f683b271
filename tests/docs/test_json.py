"""docs/json.md names exactly the fields that the commands print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers import Zoo, make_photos, make_table
from zoo_core.cli.json_answers import JSON_VERSION

TEXT = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
ROWS = re.findall(r"^\| (`zoo .*?) \| (.*) \|$", TEXT, re.MULTILINE)
COMMANDS = [
    "list backbones",
    "list heads",
    "list strategies",
    "list datasets",
    "list metrics",
    "list exporters",
    "list runners",
    "list weights",
    "plugins",
    "plugin search",
    "history",
    "cache",
    "plan --backbone lenet5 --strategy full --data fashion-small",
    "finetune --backbone lenet5 --epochs 1 --out run",
]


def documented(command: str) -> set[str]:
    """All words that stand in code marks in the row of a command."""
    name = command.partition(" --")[0]
    row = next(fields for commands, fields in ROWS if re.search(rf"`zoo {name}[ `]", commands))
    return {word for code in re.findall(r"`([^`]*)`", row) for word in code.split()}


def test_the_documented_fields_of_features_are_those_that_are_printed(zoo: Zoo, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", count=2)
    for command, *more in (("embed",), ("similar", photos / "red" / "0.jpg")):
        answer = json.loads(zoo(command, "lenet5", *more, "--data", photos, "--json").stdout)
        assert printed(answer) - {"version"} == documented(command)


def test_the_documented_fields_of_a_check_are_those_that_are_printed(zoo: Zoo, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", count=2)
    (photos / "red" / "0.jpg").write_bytes(b"no image")
    answer = json.loads(zoo("check", photos, "--backbone", "none", "--json").stdout)
    assert printed(answer) - {"version"} == documented("check") - {"error", "warning", "note"}


TASKS = re.findall(r"^\| (\w+) \| `\w+` \| (.*) \| (.*) \| (.*) \|$", TEXT, re.MULTILINE)
FIGURES, ROWS_OF_IT, ANSWER = 1, 2, 3
COLUMNS = {"classification": "path,kind", "multilabel": "path,tags", "regression": "path,warmth"}


def of_task(task: str, column: int) -> set[str]:
    """All words that stand in code marks in a cell of a task's row."""
    (row,) = [row for row in TASKS if row[0] == task]
    return {word for code in re.findall(r"`([^`]*)`", row[column]) for word in code.split()}


def printed(value: object) -> set[str]:
    """All keys in a JSON value, however deep; settings and a calibration are told of elsewhere."""
    if isinstance(value, list):
        return set().union(*(printed(item) for item in value))
    if isinstance(value, dict):
        own = {key: item for key, item in value.items() if key not in ("calibration", "settings")}
        return set(value) | set().union(*(printed(item) for item in own.values()))
    return set()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documented_fields_are_those_that_are_printed(zoo: Zoo, command: str) -> None:
    answer = json.loads(zoo(*command.split(), "--json").stdout)
    assert answer.pop("version") == JSON_VERSION
    words = documented(command) - {"measured", "expected"}
    found = printed(answer) - {"event"}
    if command.startswith("finetune"):
        words |= of_task("classification", FIGURES)
        (paragraph,) = re.findall(r"^`calibration` (?:.+\n)+", TEXT, re.MULTILINE)
        of_labels_and_numbers = {"thresholds", "macro_f1", "macro_f1_before", "coverage", "half_widths", "covered"}
        of_labels_and_numbers |= {"thresholds_metric", "thresholds_score", "thresholds_score_before"}
        told = {word for code in re.findall(r"`([^`]*)`", paragraph) for word in code.split()}
        assert printed(answer["result"]["calibration"]) == told - of_labels_and_numbers - {"calibration"}
    if command.startswith("list "):
        kind = command.removeprefix("list ")
        words -= {"heads", "strategies", "metrics", "exporters", "runners", "augmentations", "trackers"} - {kind}
    assert found == words


@pytest.mark.parametrize("task", COLUMNS)
def test_the_documented_fields_of_a_task_are_those_that_are_printed(zoo: Zoo, tmp_path: Path, task: str) -> None:
    describe = {"classification": "{kind}", "multilabel": "{kind}|any", "regression": "{number}.5"}[task]
    data = make_table(
        tmp_path / "photos", COLUMNS[task], lambda kind, number: describe.format(kind=kind, number=number), count=4
    )
    trained = zoo("finetune", "--backbone", "lenet5", "--data", data, "--epochs", 1, "--out", "run", "--json")
    measured = zoo("evaluate", "run", "--data", data, "--json")
    predicted = zoo("predict", "run", tmp_path / "photos" / "red" / "0.jpg", "--json")
    for command, answer, cells in (
        ("finetune", trained, (FIGURES,)),
        ("evaluate", measured, (FIGURES, ROWS_OF_IT)),
        ("predict", predicted, (ANSWER,)),
    ):
        words = documented(command).union(*(of_task(task, cell) for cell in cells))
        found = printed(json.loads(answer.stdout)) - {"version", "event"}
        told_nothing = task == "multilabel" and command == "predict" and found == documented(command)
        assert found == words or told_nothing, command


def test_the_version_in_the_document_is_the_one_that_is_printed() -> None:
    assert f"`version` is {JSON_VERSION}:" in TEXT


def test_a_run_that_goes_on_prints_what_a_new_one_does(zoo: Zoo, photos: Path, tmp_path: Path) -> None:
    zoo("finetune", "--backbone", "lenet5", "--data", photos, "--epochs", 1, "--out", "run")
    (tmp_path / "run" / "model.safetensors").unlink()  # it is not finished without its weights
    answer = json.loads(zoo("resume", "run", "--json").stdout)
    assert answer.pop("version") == JSON_VERSION
    assert printed(answer) - {"event"} == documented("resume") | of_task("classification", FIGURES)
    assert documented("resume") == documented("finetune")
