"""Pictures of results. Nothing that is drawn may stop what is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo_core.errors import printable, reason_of


@contextmanager
def optional_picture(picture: Path, message: Callable[[str], None]) -> Iterator[None]:
    """Draw one picture in a block. Where that fails, `message` is told which and why."""
    try:
        yield
    except Exception as error:  # a font, a backend, a full disk, or a task's or a plugin's own code
        message(f"{printable(str(picture))} could not be drawn ({reason_of(error)}); the results do not need it")
