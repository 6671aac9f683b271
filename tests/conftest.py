"""The fixtures that all tests share: the catalog, the command line as a user calls it, a folder of photos."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from warm_python import WarmPython

from helpers import Zoo, draw_blank, make_photos
from norms import with_norms
from survive.support import Forks
from zoo_core.catalog import Catalog, open_catalog

BLANK = {"bridges", "frozen", "hub", "library", "parity", "streaming", "survive", "training"}
"""The folders whose trainings leave their pictures blank: a picture takes longer than the training of a tiny network."""


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Everything that is installed, and the small network `norms`."""
    return with_norms(open_catalog())


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    warm = WarmPython()
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.parent.name in BLANK:
        draw_blank(monkeypatch.setattr)


@pytest.fixture
def zoo(tmp_path: Path, warm_python: WarmPython) -> Zoo:
    """Call the real command line in a process of its own, in a folder of its own."""

    def call(
        *arguments: object, env: dict[str, str] | None = None, timeout: float = 300, warnings: str = "error"
    ) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        own = {**os.environ, **(env or {})}
        return warm_python.run(words, cwd=tmp_path, env=own, timeout=timeout, warnings=warnings)

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two classes of ten small files each: reddish and bluish noise."""
    return make_photos(tmp_path / "photos")
