"""Names from outside: a class's is refused or comes through everything, and none can steer a terminal."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from properties.generated import NAMES, ODD
from properties.test_round_trips import GOOD_RUN
from zoo_core.data.classes import check_classes
from zoo_core.data.folders import read_folders
from zoo_core.errors import DataError, brief, printable
from zoo_core.paths import json_text
from zoo_core.runs.card import inline, render_card
from zoo_core.runs.schema import parse_facts
from zoo_core.tasks.classification import ClassEvaluation, Classification


@given(text=ODD)
def test_what_is_printable_stays_and_the_rest_is_escaped(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert (shown == text) == text.isprintable()
    shown.encode("utf-8")
    assert brief(text).isprintable()


@given(text=ODD)
def test_json_can_be_written_anywhere_and_reads_back(text: str) -> None:
    written = json_text({text: [text]}).encode("utf-8")
    assert json.loads(written) == {text: [text]}


@given(text=ODD)
def test_no_text_breaks_out_of_its_place_in_a_card(text: str) -> None:
    line = inline(text)
    assert line.isprintable()
    assert not re.search(r"(?<!\\)(\\\\)*[`*_{}\[\]<>()#!|~]", line)


@settings(max_examples=120)
@given(names=st.lists(NAMES, min_size=2, max_size=3, unique=True))
@example(names=["a", "A"])
@example(names=["\u1e9e", "ss"])
@example(names=["0", "/0"])  # a name that leaves the folder makes nothing outside of it
def test_folders_with_any_names_are_classes_or_an_error_that_can_be_shown(names: list[str]) -> None:
    assume(not any(Path(name).is_absolute() or ".." in Path(name).parts for name in names))
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            try:
                (Path(root) / name).mkdir()
            except (OSError, ValueError):  # the file system refuses it first
                assume(False)
            Image.new("L", (1, 1)).save(Path(root) / name / "1.png")
        try:
            classes = read_folders(Path(root)).classes
        except DataError as refused:
            message = str(refused)
        else:
            message = ""
            check_classes(classes, "again")
            assert set(classes) <= {Path(name).parts[0] for name in names}
        assert message.isprintable()


@settings(max_examples=12, suppress_health_check=[HealthCheck.filter_too_much])  # each draws a picture
@given(names=st.lists(NAMES, min_size=2, max_size=4, unique=True))
@example(names=["0", "\ud800"])  # half of a character
@example(names=["0", "\u9fa6"])  # a letter without a font, which a warning names
@pytest.mark.filterwarnings("ignore::zoo_core.errors.LettersWarning")
@example(names=["$\\frac$", "b"])  # a formula that cannot be drawn, were it taken for one
def test_classes_that_pass_come_through_facts_card_and_pictures(names: list[str]) -> None:
    try:
        check_classes(names, "here")
    except DataError:
        assume(False)
    facts = replace(parse_facts(GOOD_RUN, "x"), classes=tuple(names))
    assert parse_facts(json.loads(json_text(facts.to_dict())), "x").classes == tuple(names)
    right = np.arange(len(names))
    evaluation = ClassEvaluation.of(right, right, len(names), loss=1.0)
    result = {
        "part": "val",
        "images": len(names),
        "correct": len(names),
        "accuracy": 1.0,
        "interval": [0.0, 1.0],
        "best_epoch": 1,
        "confusion": evaluation.confusion.tolist(),
    }
    parts = [line for line in render_card(facts, result).split("\n") if line.startswith("| ")]
    assert len(parts) == len(names) + 1
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", part)) == 7 for part in parts)
    with tempfile.TemporaryDirectory() as folder:
        Classification().draw(Path(folder) / "confusion.png", evaluation, names)
