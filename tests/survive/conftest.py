"""Warm processes for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from survive.support import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()
