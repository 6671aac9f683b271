"""The errors a user can meet. Each says what happened, what the options are and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Something stopped the work and the user can do something about it. The command line exits with 1."""

    exit_code = 1


class UsageError(ZooError):
    """The request itself is wrong: an unknown name, a bad option, a missing path. The command line exits with 2."""

    exit_code = 2


class PluginError(ZooError):
    """A plugin handed over something that cannot be used; the message names its distribution."""


class WeightsError(ZooError):
    """Weights could not be found, fetched, verified or loaded."""


class HubError(WeightsError):
    """The Hub could not be reached, refused, or answered something that cannot be trusted."""


class UnreachableError(HubError):
    """Nobody answers: there is no network, or the server is down."""


class OversizeError(HubError):
    """A server sends more bytes than it stated, or than the caller has room for."""


class FullError(HubError):
    """The disk is full."""


class DataError(ZooError):
    """The images cannot be used as they are."""


class TrainingError(ZooError):
    """The training had to stop."""


LOST = 75
"""The exit code of a process whose partner in a training ended: what the partner said is what counts."""


class LostError(TrainingError):
    """Another process of the same training ended."""

    exit_code = LOST


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of `options`, or an empty string."""
    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def printable(name: str) -> str:
    """A name from outside, in which nothing can steer a terminal."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in name)


def brief(value: object) -> str:
    """A value from outside for a message, however long or deep it is."""
    try:
        return printable(repr(value)[:80])
    except Exception:  # lists in lists, a number of 4,300 digits, or a plugin's own repr that fails
        return f"a {type(value).__name__} that cannot be shown"


def reason_of(error: BaseException) -> str:
    """What an error of somebody else's code says, in one line that can be shown: "KeyError: 'a'"."""
    try:
        text = printable(" ".join(str(error).split()))
    except Exception:  # even that is somebody else's code
        text = ""
    text = text if len(text) <= 300 else f"{text[:300]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
