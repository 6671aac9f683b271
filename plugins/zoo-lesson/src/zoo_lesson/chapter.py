"""A chapter of the lesson: a question, a guess, and what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core import Figure
    from zoo_lesson.lesson import Lesson


@dataclass(frozen=True)
class Finding:
    """The result of a chapter on the reader's photos."""

    sentence: str
    """One sentence with its interval, made from the numbers."""
    choice: int | None
    """The place of the choice that the numbers speak for; None where they leave it open."""
    figure: Figure
    alt: str
    """The picture in words, for those who do not see it."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """The measured numbers, for programs."""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A question that is asked first, and the function that answers it."""

    name: str
    title: str
    question: str
    choices: tuple[str, ...]
    explanation: tuple[str, ...]
    """The lecture's own words, in paragraphs."""
    measure: Callable[[Lesson], Finding]
