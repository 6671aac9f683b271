"""The kit finds the faults of augmentations; sound ones pass."""

from __future__ import annotations

import itertools
import random
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conformance.planted import failures_of
from zoo_core import AugmentSpec, augmentations, hookimpl
from zoo_core.testing import plugin_checks

CALLS = itertools.count()


def turned(options: Any, image: Image.Image, chance: random.Random) -> Image.Image:
    return image.rotate(90 * chance.randrange(4))


def failures(monkeypatch: pytest.MonkeyPatch, apply: Any) -> list[str]:
    module = ModuleType("zoo_kit_test")
    spec = AugmentSpec(name="kit-test", apply="zoo_kit_test:apply", summary="s")
    vars(module).update({"apply": apply, "zoo_augmentations": hookimpl(lambda: [spec])})
    monkeypatch.setitem(sys.modules, "zoo_kit_test", module)
    return failures_of(module)


def test_a_sound_one_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(monkeypatch, turned) == []


@pytest.mark.parametrize(
    ("apply", "words"),
    [
        (lambda options, image, chance: image, "no view differs"),
        (lambda options, image, chance: np.asarray(image), "gave ndarray"),
        (lambda options, image, chance: image.convert("RGB").rotate(90), "(1, 1) L gave (1, 1) RGB"),
        (lambda options, image, chance: image.rotate(30, expand=True), "(1, 1) RGB gave (3, 3) RGB"),
        (lambda options, image, chance: turned(options, image, random), "draws from the generator of Python"),
        (lambda options, image, chance: image.rotate(90 * int(torch.randint(4, ()))), "the generator of torch"),
        (
            lambda options, image, chance: image.rotate(90 * (next(CALLS) % 3)),
            "other pixels when they are computed again",
        ),
    ],
)
def test_a_planted_fault_is_found_and_the_way_to_mend_it_told(
    monkeypatch: pytest.MonkeyPatch, apply: Any, words: str
) -> None:
    found = failures(monkeypatch, apply)
    assert any(words in one and "To mend it: " in one for one in found), found


def test_zoos_own_augmentations_pass() -> None:
    checks = [check for check in plugin_checks(augmentations) if check.name.startswith(("crop: ", "color: ", "rand: "))]
    assert len(checks) == 18
    for check in checks:
        check()
