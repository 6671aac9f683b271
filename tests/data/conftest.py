"""A CSV file beside photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import make_photos

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write lines to a CSV file beside a folder of images: a/0.jpg to a/3.png and b/0.jpg to b/3.png."""
    make_photos(tmp_path / "photos", classes=("a", "b"), count=4, size=8)

    def to_file(*lines: str, encoding: str = "utf-8") -> Path:
        file = tmp_path / "photos" / "photos.csv"
        file.write_text("\n".join(lines) + "\n", encoding=encoding)
        return file

    return to_file
