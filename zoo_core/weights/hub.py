"""The Hub's own client, guarded: time-outs on every request, a floor under the speed, a cap on waiting, checked headers.

What the client does by itself and what it leaves open was tried against a server of faults (tests/hubserver).
"""

from __future__ import annotations

import importlib
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core.errors import HubError, UnreachableError

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # its uploads skip the checks below and split a commit
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

TIMEOUT_VARIABLE = "ZOO_HUB_TIMEOUT"
CONNECT_SECONDS = 4.0
SLOWEST_BYTES_PER_SECOND = 1024
LONGEST_WAIT_SECONDS = 30
PAUSES = (0.5, 1.5)  # between three attempts
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ETAG = re.compile(r'(W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')

_unreachable: set[str] = set()


def endpoint() -> str:
    """Where the Hub is: HF_ENDPOINT, or the real one."""
    from huggingface_hub import constants

    return scrubbed(constants.ENDPOINT)


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def guarded_api() -> HfApi:
    """The Hub's client with guards on every request it makes in this process."""
    from huggingface_hub import HfApi, set_client_factory
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    set_client_factory(_guarded_client)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its warnings repeat, at length, what the errors here say once
    if not os.isatty(2):
        disable_progress_bars()
    return HfApi(library_name="zoo")


def seconds() -> float:
    """How long the Hub may stay silent, and the window in which its speed is measured: `ZOO_HUB_TIMEOUT` or 10."""
    try:
        return max(0.1, float(os.environ.get(TIMEOUT_VARIABLE, "10")))
    except ValueError:
        raise HubError(
            f"{TIMEOUT_VARIABLE} must be a number of seconds, got '{os.environ[TIMEOUT_VARIABLE]}'."
        ) from None


def _guarded_client() -> Any:
    from huggingface_hub.utils._http import default_client_factory

    client = default_client_factory()
    httpx = _library_of(client)
    hooks = client.event_hooks
    hooks["request"].append(_limit_time)
    hooks["response"] += [_check_wait, _check_headers, lambda response: _limit_slowness(response, httpx)]
    client.event_hooks = hooks
    return client


def _library_of(thing: object) -> Any:
    """The HTTP library that the client is made with (httpx, or its successor)."""
    return importlib.import_module(type(thing).__module__.partition(".")[0])


def _limit_time(request: Any) -> None:
    limit = seconds()
    asked = {key: value for key, value in request.extensions.get("timeout", {}).items() if value}
    limits = {"connect": CONNECT_SECONDS, "read": limit, "write": limit, "pool": limit}
    request.extensions["timeout"] = {key: min(limits[key], asked.get(key, limits[key])) for key in limits}


def _check_wait(response: Any) -> None:
    wait = response.headers.get("retry-after", "")
    if response.status_code in (429, 503) and wait.isdigit() and int(wait) > LONGEST_WAIT_SECONDS:
        raise HubError(
            f"the Hub at {_host(response)} asks to wait {int(wait)} seconds (HTTP {response.status_code}). Try again later."
        )


def _check_headers(response: Any) -> None:
    """Etags and commits name files in the cache: only what can be one is let through."""
    if "/resolve/" not in response.url.path:
        return
    for name, pattern in (("x-linked-etag", ETAG), ("etag", ETAG), ("x-repo-commit", COMMIT)):
        value = response.headers.get(name)
        if value is not None and response.status_code < 500 and not pattern.fullmatch(value):
            raise HubError(f"{_host(response)} answered with a malformed {name} header. Do not trust that server.")


def _limit_slowness(response: Any, httpx: Any) -> None:
    """Stop reading a body that trickles: a time-out starts anew with every byte."""
    inner = response.stream

    class Paced(httpx.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            window, started, seen = seconds(), time.monotonic(), 0
            for chunk in inner:
                seen += len(chunk)
                passed = time.monotonic() - started
                if passed > window:
                    if seen < SLOWEST_BYTES_PER_SECOND * passed:
                        raise HubError(f"{_host(response)} sends {seen / passed:.0f} bytes a second. Try again later.")
                    started, seen = time.monotonic(), 0
                yield chunk

        def close(self) -> None:
            inner.close()

    response.stream = Paced()


def _host(response: Any) -> str:
    return str(response.url.host)


def attempt(what: str, ask: Callable[[], T], *, place: str | None = None) -> T:
    """Ask a server, the Hub by default, up to three times while the failure may pass.

    Raises HubError: what was wanted, what went wrong, what to do next. A place that nobody answers at is asked once.
    """
    place = place or endpoint()
    if place in _unreachable:
        raise UnreachableError(f"{what}: {place} cannot be reached.")
    for pause in (*PAUSES, None):
        try:
            return ask()
        except HubError as error:
            raise HubError(f"{what}: {error}") from None
        except Exception as error:
            if pause is None or not _may_pass(error):
                raise explained(what, error, place) from None
            time.sleep(pause)
    raise AssertionError("unreachable")


def _may_pass(error: Exception) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"ConnectError", "ConnectTimeout"}:
        return False  # nobody is there
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status in (408, 429, 500, 502, 503, 504) or bool(
        kinds & {"TimeoutException", "NetworkError", "RemoteProtocolError"}
    )


def explained(what: str, error: Exception, place: str) -> HubError:
    """Say what an error of the client means, in one line without anything secret in it."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    login = "`hf auth login`, or the environment variable HF_TOKEN, gives access."
    if isinstance(error, errors.GatedRepoError):
        text = f"its owner grants access on request. Ask on {place}, then: {login}"
    elif isinstance(error, errors.RepositoryNotFoundError):
        text = f"there is no such repository, or it is private. {login}"
    elif isinstance(error, errors.RevisionNotFoundError):
        text = "the repository has no such revision."
    elif isinstance(error, errors.EntryNotFoundError):
        text = "the repository has no such file."
    elif isinstance(error, errors.OfflineModeIsEnabled):
        text = "HF_HUB_OFFLINE forbids the network."
    elif status == 401:
        text = f"the token was refused (HTTP 401). {login}"
    elif status == 403:
        text = f"the token does not allow that (HTTP 403). {login}"
    elif status == 404:
        text = f"there is no such repository or file, or it is private (HTTP 404). {login}"
    elif status == 429:
        text = "the Hub asks to slow down (HTTP 429). Try again later."
    elif status is not None:
        text = f"{place} answers HTTP {status}. Try again later."
    elif kinds & {"ConnectError", "ConnectTimeout"}:
        _unreachable.add(place)
        return UnreachableError(f"{what}: {place} cannot be reached.")
    elif "TimeoutException" in kinds:
        return UnreachableError(f"{what}: {place} does not answer. Try again later.")
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}."
    else:
        text = scrubbed(f"{type(error).__name__}: {error}".splitlines()[0])
    return HubError(f"{what}: {text}")


def scrubbed(text: str) -> str:
    """A text without tokens and without passwords in addresses."""
    from huggingface_hub import get_token

    token = get_token()
    if token:
        text = text.replace(token, "***")
    return re.sub(r"://[^/@\s]+@", "://***@", re.sub(r"hf_\w+", "hf_***", text))
