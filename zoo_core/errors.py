"""The errors that a user can meet. Each message gives the cause, the options and a next step."""

from __future__ import annotations

import signal
from collections.abc import Iterable


class ZooError(Exception):
    """An error that the user can do something about. The command line exits with 1."""

    exit_code = 1


class UsageError(ZooError):
    """A wrong request: an unknown name, a bad option, a wrong type, a missing path. The command
    line exits with 2."""

    exit_code = 2


class PluginError(ZooError):
    """A plugin gave an unusable spec, module or plan; the message names its distribution."""


class WeightsError(ZooError):
    """Weights could not be found, fetched, verified or loaded."""


class HubError(WeightsError):
    """The Hub could not be reached, refused the request, or gave an answer that cannot be trusted."""


class UnreachableError(HubError):
    """No answer: there is no network, or the server is down."""


class SilentError(UnreachableError):
    """A server let nothing be heard: to ask it again at once costs the same time again."""


class OversizeError(HubError):
    """A server sends more bytes than it stated, or than the caller has room for."""


class FullError(HubError):
    """The disk is full."""


class DataError(ZooError):
    """The images cannot be used as they are."""


class UnlabelledError(DataError):
    """The images have no targets, which a training needs."""


class TrainingError(ZooError):
    """The training had to stop."""


class LettersWarning(UserWarning):
    """A picture lacks letters, for which this machine has no font."""


LOST = 75
"""The exit code of a process whose partner in a training ended; the partner's own error is the one
that counts."""


class LostError(TrainingError):
    """Another process of the same training ended."""

    exit_code = LOST


class Terminated(KeyboardInterrupt):
    """SIGTERM ends a command that has nothing to save.

    As a Ctrl-C it passes every `except Exception` on its way, and every handler of a plugin's
    SystemExit: neither hides it nor takes it for a fault of the code that it ended.
    """

    signum = signal.SIGTERM


def signal_of(error: KeyboardInterrupt) -> int:
    """The signal that raised it: a Ctrl-C where it does not say."""
    signum: int = getattr(error, "signum", signal.SIGINT)
    return signum


def interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C or the SIGTERM that led to an error, None where neither did."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return error
        error = error.__cause__ or error.__context__
    return None


NO_MEMORY = (  # of a CPU on Linux and on Windows, of the system, of oneDNN, and of a GPU's libraries
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "Cannot allocate memory",
    "could not create a primitive",
    "could not create a memory",
    "std::bad_alloc",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch ran out of memory.

    Torch has a type of its own for that on a GPU; elsewhere only its words say so.
    """
    typed = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return typed or any(words in str(error) for words in NO_MEMORY)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of `options`, or an empty string."""
    import difflib

    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def printable(name: str) -> str:
    """A name from outside, with every control character escaped: it cannot steer a terminal."""
    if name.isprintable():  # as nearly all are; a thousand specs ask for twenty texts each
        return name
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in name)


def shown(text: str) -> str:
    """The beginning of a text from outside, printable."""
    return printable(text[:80])


def brief(value: object) -> str:
    """A short text for any value from outside, however long or deep it is."""
    try:
        return printable(repr(value)[:80])
    except Exception:  # lists in lists, a number of 4,300 digits, or a plugin's own repr that fails
        return f"a {type(value).__name__} that cannot be shown"


def reason_of(error: BaseException) -> str:
    """The type and message of an error of foreign code, in one printable line: "KeyError: 'a'"."""
    try:
        text = printable(" ".join(str(error).split())).rstrip(".!")  # a sentence goes on after it
    except Exception:  # str() is foreign code too
        text = ""
    text = text if len(text) <= 300 else f"{text[:300]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
