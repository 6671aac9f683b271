"""What is written reads back as it was, and what was written by nobody gives an error of ours or nothing worse."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.generated import CONFIGS, JSON, installed, options_of
from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError, ZooError
from zoo_core.options import format_options, parse_options, split_name
from zoo_core.runs.schema import RunFacts, parse_facts
from zoo_core.settings import FinetuneConfig


@dataclass(frozen=True)
class Everything:
    """An option of every type there is."""

    word: str
    count: int = 3
    share: float = 0.5
    on: bool = False
    mode: Literal["a", "b"] = "a"
    widths: tuple[int, ...] = (1,)
    rates: tuple[float, ...] = (1.0,)
    maybe: int | None = None
    perhaps: str | None = None


@given(made=options_of(Everything))
def test_options_of_every_type_read_back_as_they_were(made: Everything) -> None:
    name, text = split_name(format_options("x", made))
    assert (name, parse_options("x", Everything, text)) == ("x", made)


@pytest.mark.parametrize(("kind", "name"), installed(), ids=str)
@settings(max_examples=25)
@given(data=st.data())
def test_the_options_of_all_that_is_installed_read_back_as_they_were(
    catalog: Catalog, kind: type[Any], name: str, data: st.DataObject
) -> None:
    spec = next(e.spec for e in catalog.entries(kind) if f"{e.distribution}:{e.spec.name}" == name)
    made = data.draw(options_of(spec.options))
    distribution = name.partition(":")[0]
    assert catalog.choose(kind, f"{distribution}:{format_options(spec.name, made)}").options == made


@given(text=st.text() | st.from_regex(r"[a-z]{1,6}=?[0-9a-z.+]{0,5}(,[a-z]{1,6}=[0-9.]{1,4})?", fullmatch=True))
def test_any_text_is_options_or_wrong_usage(text: str) -> None:
    try:
        made = parse_options("x", Everything, text)
    except UsageError:
        return
    assert isinstance(made, Everything)


@given(config=CONFIGS)
def test_a_config_is_the_same_after_json_and_back(config: FinetuneConfig) -> None:
    assert FinetuneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


SETTINGS = [field.name for field in fields(FinetuneConfig)]


@settings(max_examples=300)
@given(data=st.dictionaries(st.sampled_from(SETTINGS) | st.text(max_size=5), JSON, max_size=4), named=st.booleans())
def test_any_json_is_a_config_or_wrong_usage(data: dict[str, Any], named: bool) -> None:
    try:
        config = FinetuneConfig.from_dict({**data, **({"backbone": "x"} if named else {})})
    except UsageError:
        return
    assert FinetuneConfig.from_dict(config.to_dict()) == config


GOOD_RUN: dict[str, Any] = {
    "format": "zoo-run",
    "version": 1,
    "created": "2026-01-01T00:00:00+00:00",
    "zoo_core": "1",
    "torch": "2",
    "config": {"backbone": "net"},
    "backbone": {"name": "net", "distribution": "zoo-net", "version": "1"},
    "head": {"name": "linear", "distribution": "zoo-core", "version": "1"},
    "strategy": {"name": "full", "distribution": "zoo-core", "version": "1"},
    "start": {"tag": "t", "source": "s", "sha256": "0" * 64},
    "classes": ["a", "b"],
    "preprocessing": {"size": 32, "crop": 1.0, "interpolation": "bilinear", "mean": [0.5], "std": [0.5]},
    "data": {"title": "t", "images": {"val": 1}, "digests": {"val": "x"}, "split": {"kind": "given"}},
    "plan": {"stages": ["s"], "phases": [{"epochs": 1, "rules": [{"lr": 0}, {"lr": 1.0}]}]},
}


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as the keys that lead to it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(*path, key), *places(inner, (*path, key))]]


@settings(max_examples=500)
@given(place=st.sampled_from(places(GOOD_RUN)), value=JSON)
def test_facts_with_anything_anywhere_are_facts_or_an_error_that_names_the_file(
    place: tuple[Any, ...], value: object
) -> None:
    changed = json.loads(json.dumps(GOOD_RUN))
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        facts = parse_facts(changed, "config.json")
    except ZooError as refused:
        message = str(refused)
    else:
        message = "config.json is fine"
        assert isinstance(facts, RunFacts)
        assert parse_facts(json.loads(json.dumps(facts.to_dict())), "again") == facts
    assert message.startswith("config.json ")
    assert message.isprintable()


def test_the_facts_that_are_changed_are_good_ones() -> None:
    assert parse_facts(GOOD_RUN, "config.json").classes == ("a", "b")
