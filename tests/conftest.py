"""The fixtures that all tests share: the catalog, the command line as a user calls it, a folder of photos."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import Zoo, make_photos
from zoo_core.catalog import Catalog, open_catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Everything that is installed."""
    return open_catalog()


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    """Call the real command line in a process of its own, in a folder of its own."""

    def call(
        *arguments: object, env: dict[str, str] | None = None, timeout: float = 300, warnings: str = "error"
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", warnings, "-m", "zoo_core", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two classes of ten small files each: reddish and bluish noise."""
    return make_photos(tmp_path / "photos")
