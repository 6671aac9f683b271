"""A check of the conformance kit: one small function, its line "to mend it", and the failures
that a plugin declares."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Generic, TypeVar

from zoo_core.errors import ZooError, reason_of

S = TypeVar("S")


@dataclass(frozen=True)
class Rule(Generic[S]):
    """A rule that every spec of one kind keeps: `run` raises AssertionError, or any error, for
    one that does not."""

    run: Callable[[S], None]
    mend: str

    @property
    def title(self) -> str:
        return self.run.__name__.replace("_", " ")

    @property
    def meaning(self) -> str:
        """Its docstring as one line."""
        return " ".join((self.run.__doc__ or "").split())


def rule(mend: str) -> Callable[[Callable[[S], None]], Rule[S]]:
    """Make a rule of a function; `mend` says how a plugin comes to keep it."""
    return lambda run: Rule(run, mend)


@dataclass(frozen=True)
class Check:
    """A rule for one spec. Calling it raises AssertionError with the fault, its place, and the way
    to mend it.

    `expected` is the reason of a failure that the plugin declares: then it is an error when the
    check passes.
    """

    name: str
    rule: Rule[Any]
    spec: Any
    package: str
    expected: str | None = None

    def __call__(self) -> None:
        failure = self.failure()
        if self.expected is None and failure is not None:
            raise AssertionError(failure)
        if self.expected is not None and failure is None:
            raise AssertionError(
                f"{self.name}: declared to fail ({self.expected}), and it passes.\n  To mend it: take it out."
            )

    def failure(self) -> str | None:
        """The fault with its place and the way to mend it; None for a spec that keeps the rule."""
        try:
            self.rule.run(self.spec)
        except (Exception, SystemExit) as error:
            told = str(error) if isinstance(error, AssertionError | ZooError) else reason_of(error)
            return f"{self.name}: {told}{_place(error, self.package)}\n  To mend it: {self.rule.mend}"
        return None

    def __str__(self) -> str:
        return self.name


def checks_of(
    rules: tuple[Rule[S], ...], spec: S, package: str, expected: Mapping[str, str], *, name: str
) -> list[Check]:
    """The checks of one spec. `expected` maps patterns of names ("mynet*: can be exported") to
    reasons."""
    checks = []
    patterns = [
        (pattern, why) for pattern, why in expected.items() if "*" in pattern or "?" in pattern or "[" in pattern
    ]
    for one in rules:
        title = f"{name}: {one.title}"
        reason = expected.get(title) or next((why for pattern, why in patterns if fnmatchcase(title, pattern)), None)
        checks.append(Check(title, one, spec, package, reason))
    return checks


def _place(error: BaseException, package: str) -> str:
    """ " (in mynet/model.py, line 7)" for the innermost line of the plugin that led to an error,
    or nothing."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for one in reversed(chain):
        for frame, line in reversed(list(traceback.walk_tb(one.__traceback__))):
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
                return f" (in {package}/{Path(frame.f_code.co_filename).name}, line {line})"
    return ""
