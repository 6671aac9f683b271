"""Numbers as people say them."""

from __future__ import annotations

import pytest

from zoo_core.wording import short_seconds


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0.0"), (0.00002, "0.001"), (0.041, "0.04"), (0.1, "0.1"), (2.25, "2.2"), (75.0, "75.0")],
)
def test_fewer_seconds_than_a_tenth_are_not_nought(seconds: float, told: str) -> None:
    assert short_seconds(seconds) == told
