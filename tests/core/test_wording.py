"""Texts with names that are written from the right: each name stands apart from the text beside it."""

from __future__ import annotations

import pytest

from zoo_core.html_tables import html_table
from zoo_core.wording import columns, isolated, number_text, shortened, told_apart

DRESS, RED, SHIRT = "\u0641\u0633\u062a\u0627\u0646", "\u0623\u062d\u0645\u0631", "\u05d7\u05d5\u05dc\u05e6\u05d4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"val/{DRESS}/05.jpg", f"val/\u2068{DRESS}\u2069/05.jpg"),
        (f"answered {DRESS} 78 %", f"answered \u2068{DRESS}\u2069 78 %"),
        (f"{DRESS} {RED} (7 %)", f"\u2068{DRESS} {RED}\u2069 (7 %)"),
        (f"{DRESS}, {SHIRT}.", f"\u2068{DRESS}\u2069, \u2068{SHIRT}\u2069."),
        ("Kleid 裤子 78 %", "Kleid 裤子 78 %"),
    ],
)
def test_a_name_from_the_right_is_set_apart_whole(text: str, expected: str) -> None:
    assert isolated(text) == expected


def test_a_notebook_sets_names_apart() -> None:
    assert f"\u2068{DRESS}\u2069 78 %" in html_table("x", ("answers",), [[f"{DRESS} 78 %"]])


@pytest.mark.parametrize("text", ["裤子" * 9 + "trousers" * 9, "a" * 60 + "裤", "裤" + "a" * 60])
@pytest.mark.parametrize("letters", [1, 8, 24])
def test_a_shortened_name_has_its_room(text: str, letters: int) -> None:
    assert columns(shortened(text, letters)) <= letters


def test_a_number_that_rounds_to_a_million_keeps_its_digits() -> None:
    assert [number_text(value) for value in (999_999.4, 999_999.7, 1_234_567.0, -0.5)] == [
        "999999",
        "999999.7",
        "1234567",
        "-0.5",
    ]


@pytest.mark.parametrize("letters", [8, 18, 24])
def test_names_that_are_shortened_are_told_apart_and_have_their_room(letters: int) -> None:
    names = ["Northern cardinal (bird), female", "Northern cardinal (bird), male", "x" * 200, "x" * 300, "裤子" * 30]
    short = told_apart(names, letters)
    assert len(set(short)) == len(names)
    assert all("…" in one and columns(one) <= letters + 3 for one in short)
    assert told_apart(["red", "裤子"], letters) == ["red", "裤子"]
