"""Asks the Hub through its own client, in bounded attempts, and explains its errors."""

from __future__ import annotations

import errno
import os
import re
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core.errors import FullError, HubError, SilentError, UnreachableError, printable
from zoo_core.hubclient.guard import PASSING, RESUME_STEP, bounded_call, guarded_client, origin_of, wait_asked

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # it passes by the guards and splits commits
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

PAUSES = (0.5, 1.5)  # between three attempts
REMEMBER_SECONDS = 60  # a server that did not answer is not asked again for so long

_unreachable: dict[str, float] = {}  # servers that did not answer, with the end of that minute


def endpoint() -> str:
    """The address of the Hub: the environment variable HF_ENDPOINT, or the real one."""
    from huggingface_hub import constants

    return scrubbed(constants.ENDPOINT)


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def guarded_api() -> HfApi:
    """The Hub's client, with guards on each of its requests in this process."""
    from huggingface_hub import HfApi, constants, set_client_factory
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    set_client_factory(guarded_client)
    constants.DOWNLOAD_CHUNK_SIZE = RESUME_STEP
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    # Its own message, with the line of code that gave it; a full disk is said below.
    warnings.filterwarnings("ignore", "Not enough free disk space", UserWarning)
    if not os.isatty(2):
        disable_progress_bars()
    return HfApi(library_name="zoo")


def attempt(subject: str, ask: Callable[[], T], *, place: str | None = None, most: int | None = None) -> T:
    """Ask a server, the Hub by default, up to three times while the failure may pass.

    `most` is the upper size of a file that is fetched, in bytes. Raises HubError with the subject,
    the cause and a next step; UnreachableError when a later attempt may succeed. A server that did
    not answer is not asked again for a minute.
    """
    place = place or endpoint()
    if time.monotonic() < _unreachable.get(place, 0):
        raise UnreachableError(f"{subject}: {_out_of_reach(place)}")
    with bounded_call(most):
        for pause in (*PAUSES, None):
            try:
                return ask()
            except HubError as error:
                raise type(error)(f"{subject}: {error}") from None
            except Exception as error:
                cause = _underlying(error)
                if pause is None or not transient(cause):
                    raise explained(subject, cause, place) from None
                response = getattr(cause, "response", None)
                time.sleep(pause if response is None else max(pause, wait_asked(response)))
    raise AssertionError("unreachable")


def checked_info(info: T) -> T:
    """Facts about a repository as the client has them, of any JSON. Raises TypeError for fields of other types."""
    facts: Any = info
    for file in facts.siblings or ():
        if not isinstance(file.rfilename, str) or not isinstance(file.size, int | None):
            raise TypeError("a file without a name or a size")
    if not isinstance(facts.sha, str | None):
        raise TypeError("no commit")
    return info


def _out_of_reach(place: str) -> str:
    return f"{place} cannot be reached. Check the network and that address."


def _underlying(error: Exception) -> Exception:
    """The cause of an error that only says that the cache has no such file."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    cause = error.__cause__
    hidden = isinstance(error, LocalEntryNotFoundError) or "download failed due to the above" in str(error)
    return _underlying(cause) if hidden and isinstance(cause, Exception) else error


def transient(error: Exception) -> bool:
    """Whether a later attempt may succeed."""
    error = _root(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"ConnectError", "ConnectTimeout"}:
        return False  # no server at that address
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status in PASSING or bool(kinds & {"TimeoutException", "NetworkError", "RemoteProtocolError"})


def _root(error: Exception) -> Exception:
    """The cause of a failed upload, which the client wraps in a RuntimeError."""
    while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def explained(subject: str, error: Exception, place: str) -> HubError:
    """Explain an error of the client in one line without secrets, with a next step."""
    from huggingface_hub import errors

    error = _root(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    server = _server_of(error, place)
    login = "`hf auth login`, or the environment variable HF_TOKEN, gives access."
    kind = HubError
    if isinstance(error, errors.GatedRepoError):
        text = f"its owner grants access on request. Ask on {place}, then: {login}"
    elif isinstance(error, errors.RepositoryNotFoundError):
        text = f"there is no such repository, or it is private. {login}"
    elif isinstance(error, errors.RevisionNotFoundError):
        text = "the repository has no such revision."
    elif isinstance(error, errors.RemoteEntryNotFoundError):
        text = "the repository has no such file."
    elif isinstance(error, errors.OfflineModeIsEnabled):
        text = "HF_HUB_OFFLINE forbids the network."
    elif status in PASSING:
        kind = UnreachableError
        text = f"{server} answers HTTP {status}. Try again later."
    elif status is not None and server == endpoint() and status in (401, 403, 404):
        text = {
            401: f"the token was refused (HTTP 401). {login}",
            403: f"the token does not allow that (HTTP 403). {login}",
            404: f"there is no such repository or file, or it is private (HTTP 404). {login}",
        }[status]
    elif status is not None:
        text = f"{server} answers HTTP {status}."
    elif kinds & {"ConnectError", "ConnectTimeout"}:
        if server == place:
            _unreachable[place] = time.monotonic() + REMEMBER_SECONDS
        kind = SilentError
        text = _out_of_reach(server)
    elif kinds & {"TimeoutException", "NetworkError", "RemoteProtocolError"}:
        is_silent = "TimeoutException" in kinds
        kind = SilentError if is_silent else UnreachableError
        broken = "does not answer" if is_silent else "breaks off in the middle of its answers"
        text = f"{server} {broken}. Try again later."
    elif isinstance(error, (errors.FileMetadataError, ValueError, KeyError, TypeError, AttributeError, RecursionError)):
        text = f"{server} does not answer as it should ({type(error).__name__}). Is its address right?"
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        kind = FullError
        text = f"{error.strerror}. Free space, or move the caches with HF_HOME and ZOO_CACHE."
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}." if error.filename else f"{error.strerror}."
    else:
        first = (str(error).splitlines() or [""])[0]
        text = f"{type(error).__name__}: {printable(first):.300}"
    return kind(f"{subject}: {scrubbed(text)}")


def _server_of(error: Exception, place: str) -> str:
    """The server of the failed answer: the one that was asked, or one that it redirected to."""
    asked: Any = getattr(error, "response", error)
    try:
        url = asked.request.url
    except (AttributeError, RuntimeError):
        return place
    return place if url.netloc.decode("ascii", "replace") in place else origin_of(url)


def scrubbed(text: str) -> str:
    """A text without tokens and without passwords in addresses."""
    from huggingface_hub import get_token

    token = get_token()
    if token:
        text = text.replace(token, "***")
    return re.sub(r"://[^/@\s]+@", "://***@", re.sub(r"hf_\w+", "hf_***", text))
