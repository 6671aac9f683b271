"""What the generated tests are generated from: options of any dataclass, configs, JSON, names."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from hypothesis import strategies as st

from zoo_core.catalog import open_catalog
from zoo_core.options import NoOptions
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.config import MAX_EPOCHS
from zoo_core.specs import BackboneSpec, FreezeSpec, HeadSpec

WORDS = st.from_regex(r"[A-Za-z][\w.-]{0,8}", fullmatch=True).filter(lambda word: word.lower() != "none")
NUMBERS = st.one_of(st.floats(0, 1), st.floats(allow_nan=False), st.sampled_from([1e-300, 0.5, 1.0]))
COUNTS = st.one_of(st.integers(1, 9), st.integers(-3, 10**30))


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that an option may have."""
    if isinstance(kind, types.UnionType):
        inner = [part for part in typing.get_args(kind) if part is not type(None)]
        return st.none() | values_of(inner[0])
    if typing.get_origin(kind) is typing.Literal:
        return st.sampled_from(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return st.lists(values_of(typing.get_args(kind)[0]), min_size=1, max_size=4).map(tuple)
    return {int: COUNTS, float: NUMBERS, bool: st.booleans(), str: WORDS}[kind]


def options_of(options: type) -> st.SearchStrategy[Any]:
    """Options that their dataclass accepts."""
    hints = typing.get_type_hints(options)
    fields = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(options)}

    def accepted(values: dict[str, Any]) -> Any:
        try:
            return options(**values)
        except ValueError:
            return None

    return st.fixed_dictionaries(fields).map(accepted).filter(lambda made: made is not None)


def installed() -> list[tuple[type, str]]:
    """(kind of spec, name with its distribution) of everything installed that takes options."""
    catalog = open_catalog()
    kinds = (BackboneSpec, HeadSpec, FreezeSpec)
    entries = [
        (kind, entry) for kind in kinds for entry in catalog.entries(kind) if entry.spec.options is not NoOptions
    ]
    return [(kind, f"{entry.distribution}:{entry.spec.name}") for kind, entry in entries]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)

ODD_CHARACTERS = st.one_of(
    st.characters(),
    st.sampled_from("/\\|`*_[]<>#$%{}~^&;'\" .-=,:\n\t\r\x00\x1b\x7f\x9b\u200b\u200d\u202e\u2066\ufeff\udcff"),
    st.sampled_from("éeE\u0301ßſİﬁ猫👩🚀ש"),
)
ODD = st.text(ODD_CHARACTERS, max_size=30)
NAMES = st.text(ODD_CHARACTERS, min_size=1, max_size=12) | st.sampled_from(["..", "$x_{1}$", "{{ 7*7 }}", "a" * 300])

CONFIGS = st.builds(
    FinetuneConfig,
    backbone=st.text(max_size=9),
    strategy=st.text(max_size=9),
    epochs=st.integers(1, MAX_EPOCHS),
    lr=st.floats(0, 100, exclude_min=True),
    base_lr=st.none() | st.floats(0, 100, exclude_min=True),
    warmup=st.floats(0, 1),
    size=st.none() | st.integers(1, 8192),
    seed=st.integers(0, 2**32 - 1),
    augment=st.sampled_from(["none", "flip", "crop-flip", "crop+flip+color:0.2+rotate:20.0"]),
    bad_images=st.sampled_from(["fail", "skip"]),
    out=st.none() | st.text(max_size=9),
)
