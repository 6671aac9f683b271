"""Run directories: their config, the results of each task, and the cards that are made of both."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from fuzz.mutations import damaged_json
from fuzz.target import Case, expect, fresh, target
from zoo_core.errors import printable
from zoo_core.hub.bundle import PublishOptions, _card, without_local_paths
from zoo_core.hub.search import _found
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import Run, read_json, read_result
from zoo_core.runs.schema import READABLE, RunFacts, parse_facts
from zoo_core.specs import TASKS

RUN: dict[str, Any] = {
    "format": "zoo-run",
    "version": 1,
    "created": "2026-01-01T00:00:00+00:00",
    "zoo_core": "1",
    "torch": "2",
    "config": {"backbone": "net", "epochs": 2, "lr": 0.01, "data": "photos", "size": 32},
    "backbone": {"name": "net", "distribution": "zoo-net", "version": "1"},
    "head": {"name": "mlp:hidden=8", "distribution": "zoo-core", "version": "1"},
    "strategy": {"name": "last:1", "distribution": "zoo-core", "version": "1"},
    "start": {"tag": "t", "source": "hf:a/b", "sha256": "0" * 64, "revision": None, "data": "d", "licence": "MIT"},
    "classes": ["cats", "dogs"],
    "preprocessing": {"size": 32, "crop": 0.875, "interpolation": "bilinear", "mean": [0.5], "std": [0.5]},
    "data": {
        **{"title": "photos", "images": {"train": 8, "val": 2}, "digests": {"val": "0" * 64}},
        **{"split": {"kind": "stratified", "seed": 0, "val_share": 0.2}, "skipped": 1, "findings": ["Leakage: 1"]},
    },
    "plan": {
        "stages": ["stem", "body"],
        "phases": [{"epochs": 2, "rules": [{"lr": 0.0}, {"lr": 0.5, "statistics": "update"}, {"lr": 1.0}]}],
    },
    "task": "classification",
    "decisions": {"epochs": {"value": 2, "because": "it is short"}},
    "views": 4,
    "split_points": ["stem"],
}
SHARED: dict[str, Any] = {
    **{"event": "result", "part": "val", "images": 2, "score": 0.5, "loss": 0.7, "best_epoch": 1, "lr": 0.01},
    **{"seconds": 1.0, "baseline": {"score": 0.5}, "last_epoch": 1, "loss_rises_since": 1},
}
FIGURES: dict[str, dict[str, Any]] = {
    "classification": {
        **{"metric": "accuracy", "correct": 1, "accuracy": 0.5, "interval": [0.1, 0.9]},
        **{"confusion": [[1, 0], [1, 0]]},
    },
    "multilabel": {
        **{"metric": "mean_average_precision", "mean_average_precision": 0.5, "micro_f1": 0.5, "macro_f1": 0.5},
        **{"positives": [1, 0], "average_precisions": [0.5, None], "f1s": [0.5, None]},
    },
    "regression": {
        **{"metric": "r2", "r2": 0.5, "rmse": 1.0, "mae": 1.0, "rmses": [1.0, 1.0], "maes": [1.0, 1.0]},
        **{"r2s": [0.5, 0.5], "baseline": {"score": 0.0, "rmse": 2.0}},
    },
}
OF_MANY: dict[str, Any] = {"confusion": None, "found": [1, 0], "positives": [1, 1], "confusions": [[1, 0, 1]]}
"""In place of a confusion matrix, where there are many classes."""
LIVE = re.compile(r"(?<!\\)\]\(//evil|(?<!\\)<(evil|!--evil)|^\s*# evil|^---", re.MULTILINE)
"""The text INJECTION where it is not escaped."""
FRONT = re.compile(r"---\n(.*?)\n---\n\n", re.DOTALL)
MOST_OUTPUTS = 100  # of runs whose cards are rendered here


def result_of(task: str, outputs: int = 2) -> dict[str, Any]:
    """A good result with so many outputs."""
    figures = {**SHARED, **FIGURES[task]}
    lists = {
        name: (value * outputs)[:outputs]
        for name, value in figures.items()
        if name.endswith("s") and isinstance(value, list)
    }
    confusion = {"confusion": [[1] * outputs] * outputs} if task == "classification" else {}
    return {**figures, **lists, **confusion}


def check_card(text: str) -> None:
    """A card can be written, and no text from outside is live in it."""
    text.encode("utf-8")
    live = LIVE.search(text)
    expect(live is None, f"a card with {text[max(0, live.start() - 40) : live.end() + 40]!a}" if live else "")


@target("config.json", weight=4)
def config(folder: Path) -> Case:
    """Facts that were read are written as they were, and make a card."""

    def check(content: bytes) -> None:
        facts = parse_facts(read_json(fresh(folder / "config.json", content)), "config.json")
        written = json.loads(json.dumps(facts.to_dict()))
        expect(parse_facts(written, "config.json") == facts, "facts that are others when they are read again")
        _check_as_written(json.loads(content), written, "")
        if len(facts.classes) <= MOST_OUTPUTS:
            check_card(render_card(facts, result_of(facts.task, len(facts.classes))))

    return Case(_configs(), check, damaged_json)


@target("Hub card", weight=2)
def hub_card(folder: Path) -> Case:
    """The header of a published card names the backbone and the score that it was made of."""

    def check(content: bytes) -> None:
        facts = without_local_paths(parse_facts(json.loads(content), "config.json"))
        result = result_of(facts.task, len(facts.classes))
        card = _card(facts, result, "a/b", PublishOptions(dataset="x/y"))
        front = FRONT.match(card)
        expect(front is not None, "a card without a header")
        check_card(card[front.end() :])  # type: ignore[union-attr]
        data = yaml.load(front[1], yaml.CSafeLoader)  # type: ignore[index]
        found = _found({"id": "a/b", "cardData": data})
        expect(found.backbone == printable(facts.backbone.name)[:60], "another backbone in the header")
        expect(found.accuracy == (0.5 if facts.task == "classification" else None), "another accuracy in the header")
        expect("evil" not in data, "a key of the header that came with a text")

    return Case(_configs(), check, _damaged_document)


def _damaged_document(content: bytes, chance: Any) -> bytes:
    """A config that is JSON at least: its bytes are another target's."""
    while True:
        other = damaged_json(content, chance)
        try:
            if len(json.loads(other)["classes"]) <= MOST_OUTPUTS:
                return other
        except (ValueError, KeyError, TypeError, RecursionError):
            continue


def _configs() -> tuple[bytes, ...]:
    return tuple(json.dumps({**RUN, "task": task}).encode() for task in TASKS)


def _check_as_written(given: Any, read: Any, place: str) -> None:
    """Every value that a file gives stands in the facts; those that it lacks have their defaults."""
    if isinstance(given, dict):
        for key, value in given.items():
            if place == ".config" and key not in read:
                continue  # an old spelling of a setting
            expect((isinstance(read, dict) and key in read) or not place, f"{place}.{key} is lost")
            if key in read:
                _check_as_written(value, read[key], f"{place}.{key}")
        return
    if isinstance(given, list):
        expect(isinstance(read, list) and len(read) == len(given), f"{place} has another length")
        for one, other in zip(given, read, strict=True):
            _check_as_written(one, other, place)
        return
    same = given in READABLE if place == ".version" else given == read and type(given) is type(read)
    expect(same, f"{place} was {given!a:.60} and reads {read!a:.60}")


LATER = ("lr", "score_error", "score_interval", "calibration", "forgotten")
"""Figures that results of older versions lack."""


def make_result(task: str, folder: Path) -> Case:
    """Figures that were read are those that were written; the card shows them and nothing live."""
    facts: RunFacts = parse_facts({**RUN, "task": task}, "config.json")
    epoch = {"event": "epoch", "epoch": 1, "phase": 1, "lr": 0.1, "train_loss": 0.7, "val_loss": 0.7, "seconds": 1.0}

    def check(content: bytes) -> None:
        fresh(folder / "metrics.jsonl", content)
        found = read_result(Run(folder, facts))
        given = next(
            line
            for line in map(json.loads, filter(str.strip, content.decode().splitlines()))
            if line.get("event") == "result"
        )
        baseline = {name: given["baseline"][name] for name in found.get("baseline", {})}
        expected = {**given, **{name: given.get(name) for name in LATER}, "higher_is_better": True}
        expected |= {"baseline": baseline} if "baseline" in given else {}
        expect(found == expected, "other figures than in the file")
        expect(_has_no_flags(found, given), "a flag read as a number")
        check_card(render_card(facts, found, address="a/b"))

    lines = [json.dumps({**SHARED, **FIGURES[task]})]
    if task == "classification":
        lines.append(json.dumps({**SHARED, **FIGURES[task], **OF_MANY}))
    return Case((f"{json.dumps(epoch)}\n{lines[0]}".encode(), *(line.encode() for line in lines)), check, damaged_json)


def _has_no_flags(found: dict[str, Any], given: dict[str, Any]) -> bool:
    figures = [key for key in found if key in {**SHARED, **FIGURES["classification"]} or key in FIGURES["regression"]]
    checked = [key for key in figures if key not in ("event", "loss", "seconds")]
    return all(not isinstance(found[key], bool) for key in checked)


for task in TASKS:
    target(f"result {task}", weight=4)(partial(make_result, task))
