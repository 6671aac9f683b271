"""What the tests share: the command line as a user calls it, and small folders of real image files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo_core.catalog import Catalog, open_catalog

Zoo = Callable[..., subprocess.CompletedProcess[str]]


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


def make_photos(root: Path, *, classes: tuple[str, ...] = ("blue", "red"), count: int = 10, size: int = 40) -> Path:
    """Write PNG and JPEG files of noise, tinted by class, that a small network can tell apart."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 120, (size, size, 3), dtype=np.uint8)
            pixels[..., 2 * (label == 0)] += 120
            Image.fromarray(pixels).save(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
    return root
