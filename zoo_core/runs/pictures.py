"""Pictures of results. Nothing that is drawn may stop what is computed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo_core.errors import LettersWarning, printable, reason_of


@contextmanager
def letters_told(message: Callable[[str], None]) -> Iterator[None]:
    """Draw pictures in a block. `message` is told which letters they lack, in place of a
    warning."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", LettersWarning)
        yield
    for one in told:
        if issubclass(one.category, LettersWarning):
            message(str(one.message))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


@contextmanager
def optional_picture(picture: Path, message: Callable[[str], None]) -> Iterator[None]:
    """Draw one picture in a block. Where that fails, `message` is told which and why; else which
    letters it lacks."""
    try:
        with letters_told(message):
            yield
    except Exception as error:  # a font, a backend, a full disk, or a task's or a plugin's own code
        message(f"{printable(str(picture))} could not be drawn ({reason_of(error)}); the results do not need it")
