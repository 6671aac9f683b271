"""The section of a report on its probabilities."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zoo_core.reporting.probabilities import probabilities
from zoo_core.tasks import task_named

BIN = {"count": 4, "probability": 0.75, "right": 0.5}


@pytest.mark.parametrize(
    ("calibration", "right"),
    [
        ({"bins": [BIN], "is_crossed": False}, "50.0 %"),
        ({"bins": [], "is_crossed": False}, "100.0 %"),
        ({"is_crossed": False}, "100.0 %"),
        (None, "100.0 %"),
    ],
)
def test_the_figures_of_the_card_are_shown_where_it_has_them(calibration: Any, right: str) -> None:
    """Seen to fail: a stranger's run without the bins ended the report in a traceback."""
    measured: Any = SimpleNamespace(
        task=task_named("classification"),
        result={"calibration": calibration},
        is_own=True,
        part_name="val",
        values_NK=np.array([[0.8, 0.2]] * 4),
        part=SimpleNamespace(targets=np.zeros(4, np.int64)),
        predictor=SimpleNamespace(objective=SimpleNamespace(fitted=SimpleNamespace(temperature=1.0))),
    )
    found = probabilities(measured)
    assert {row[2] for row in found["bins"]} == {right}
