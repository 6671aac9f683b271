"""Warm processes and a catalog with a small network for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from survive.norms import with_norms
from survive.support import Forks
from zoo_core.catalog import Catalog, open_catalog


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return with_norms(open_catalog())
