"""The kit finds the faults of trackers; a sound one passes."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from conformance.planted import failures_of
from zoo_core import TrackedRun, TrackerSpec, hookimpl


class Sound:
    def __init__(self, options: Any, run: TrackedRun) -> None:
        self.id, self.place = run.id or f"{run.name}-{id(self)}", "memory"

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        pass

    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        pass


class Placeless(Sound):
    def __init__(self, options: Any, run: TrackedRun) -> None:
        self.id = run.name


class Forgetful(Sound):
    def __init__(self, options: Any, run: TrackedRun) -> None:
        self.id, self.place = str(id(self)), "memory"


class Validated(Sound):
    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        assert figures["val_loss"] >= 0


class Hopeful(Sound):
    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        assert figures["accuracy"] >= 0


class Loud(Sound):
    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        print("the run is at https://example.org")


class Drawing(Sound):
    def __init__(self, options: Any, run: TrackedRun) -> None:
        self.id, self.place = run.id or str(random.random()), "memory"


def failures(monkeypatch: pytest.MonkeyPatch, start: type) -> list[str]:
    module = ModuleType("zoo_kit_test")
    spec = TrackerSpec(name="kit-test", start="zoo_kit_test:start", summary="s")
    vars(module).update({"start": start, "zoo_trackers": hookimpl(lambda: [spec])})
    monkeypatch.setitem(sys.modules, "zoo_kit_test", module)
    return failures_of(module)


def test_a_sound_one_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(monkeypatch, Sound) == []


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (Placeless, "its place is None"),
        (Forgetful, "became"),
        (Validated, "'val_loss'"),
        (Hopeful, "'accuracy'"),
        (Loud, "it printed 'the run is at https://example.org"),
        (Drawing, "draws from the generator of Python"),
    ],
)
def test_a_planted_fault_is_found_and_the_way_to_mend_it_told(
    monkeypatch: pytest.MonkeyPatch, start: type, words: str
) -> None:
    found = failures(monkeypatch, start)
    assert any(words in one and "To mend it: " in one for one in found), found
