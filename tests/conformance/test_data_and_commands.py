"""The kit finds the faults of data sets and commands; sound ones pass."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest

from conformance.planted import failures_of
from zoo_core import ArrayImages, CommandSpec, DatasetSpec, Part, Source, hookimpl
from zoo_core.testing.dataset_rules import _loaded

NUMBERS = itertools.count()


def source(*, images: int = 4, targets: int = 4, label: int = 1, pixels: Callable[[], int] = lambda: 0) -> Source:
    targets_N = np.arange(targets) % 2 * label
    stored = ArrayImages("x", np.full((images, 8, 8), pixels(), dtype=np.uint8))
    return Source("x", ("a", "b"), {"train": Part(stored, targets_N)})


@click.command()
def sound() -> None:
    """Do it."""


@click.command()
def without_help() -> None:
    pass


def failures(monkeypatch: pytest.MonkeyPatch, load: Any, command: Any) -> list[str]:
    module = ModuleType("zoo_kit_test")
    facts = {"summary": "s", "images": 4, "classes": 2, "licence": "MIT", "url": "https://example.org"}
    datasets = [DatasetSpec(name="kit-test", load="zoo_kit_test:load", **facts)]
    commands = [CommandSpec(name="kit-test", command="zoo_kit_test:command", summary="s")]
    hooks = {"zoo_datasets": hookimpl(lambda: datasets), "zoo_commands": hookimpl(lambda: commands)}
    vars(module).update(load=load, command=command, **hooks)
    monkeypatch.setitem(sys.modules, "zoo_kit_test", module)
    _loaded.cache_clear()
    return failures_of(module)


def test_a_sound_data_set_and_a_sound_command_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(monkeypatch, source, sound) == []


@pytest.mark.parametrize(
    ("load", "command", "words"),
    [
        (lambda: [], sound, "it gives a list, not a zoo_core.Source"),
        (lambda: source(images=6, targets=6), sound, "it has (6, 2) images and classes, and its spec says otherwise"),
        (lambda: source(images=3), sound, "the part 'train' has 3 images and 4 targets"),
        (lambda: source(label=2), sound, "the targets [0, 2] are not the positions of the classes"),
        (lambda: source(label=0), sound, "the targets [0] are not the positions of the classes"),
        (lambda: source(pixels=lambda: next(NUMBERS)), sound, "is another one when the data set is loaded again"),
        (source, lambda: None, "'zoo_kit_test:command' is a function"),
        (source, without_help, "its help is empty"),
    ],
)
def test_a_planted_fault_is_found_and_the_way_to_mend_it_told(
    monkeypatch: pytest.MonkeyPatch, load: Any, command: Any, words: str
) -> None:
    found = failures(monkeypatch, load, command)
    assert any(words in one and "To mend it: " in one for one in found), found
