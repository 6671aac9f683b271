"""Guards on every request of the Hub's own client: time-outs, a floor under the speed, caps on waiting and on repeating,
checked headers. What the client leaves open was tried against a server of faults (tests/hubserver).
"""

from __future__ import annotations

import importlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo_core.errors import HubError, UnreachableError

TIMEOUT_VARIABLE = "ZOO_HUB_TIMEOUT"
CONNECT_SECONDS = 4.0
SLOWEST_BYTES_PER_SECOND = 1024
LONGEST_WAIT_SECONDS = 30
MOST_TRIES = 3
PASSING = (408, 429, 500, 502, 503, 504)  # answers that another attempt may better
RESUME_STEP = 2**20  # a download that is cut goes on at the last whole step; the client's own is 10 MiB
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ETAG = re.compile(r'(W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')


class _Tries(threading.local):
    """Requests in a row that came to nothing, whichever layer repeats them. None: nobody counts."""

    failed: int | None = None
    why = ""


_tries = _Tries()


@contextmanager
def counted_tries() -> Iterator[None]:
    """Stop when too many requests in a row come to nothing: the client repeats some by itself, for minutes."""
    _tries.failed = 0
    try:
        yield
    finally:
        _tries.failed = None


def seconds() -> float:
    """How long the Hub may stay silent, and the window in which its speed is measured: `ZOO_HUB_TIMEOUT` or 10."""
    try:
        return max(0.1, float(os.environ.get(TIMEOUT_VARIABLE, "10")))
    except ValueError:
        raise HubError(
            f"{TIMEOUT_VARIABLE} must be a number of seconds, got '{os.environ[TIMEOUT_VARIABLE]}'."
        ) from None


def guarded_client() -> Any:
    from huggingface_hub.utils._http import default_client_factory

    client = default_client_factory()
    httpx = _library_of(client)
    hooks = client.event_hooks
    hooks["request"] += [_limit_tries, _limit_time]
    hooks["response"] += [_check_wait, _check_headers, lambda response: _watch_body(response, httpx)]
    client.event_hooks = hooks
    return client


def _library_of(thing: object) -> Any:
    """The HTTP library that the client is made with (httpx, or its successor)."""
    return importlib.import_module(type(thing).__module__.partition(".")[0])


def _limit_tries(request: Any) -> None:
    if _tries.failed is None:
        return
    if _tries.failed >= MOST_TRIES:
        raise UnreachableError(f"{origin_of(request.url)} {_tries.why}. Try again later.")
    _tries.failed += 1
    _tries.why = "does not answer"


def _limit_time(request: Any) -> None:
    limit = seconds()
    asked = {key: value for key, value in request.extensions.get("timeout", {}).items() if value}
    limits = {"connect": CONNECT_SECONDS, "read": limit, "write": limit, "pool": limit}
    request.extensions["timeout"] = {key: min(limits[key], asked.get(key, limits[key])) for key in limits}


def _check_wait(response: Any) -> None:
    wait = wait_asked(response)
    if wait > LONGEST_WAIT_SECONDS:
        raise UnreachableError(
            f"{origin_of(response.url)} asks to wait {wait} seconds (HTTP {response.status_code}). Try again later."
        )


def wait_asked(response: Any) -> int:
    """The seconds that a refusal asks to wait, in either of the two headers that the client obeys."""
    if response.status_code < 400:
        return 0
    asked = re.fullmatch(r"\s*([0-9]+)\s*", response.headers.get("retry-after", ""))
    limited = re.search(r";\s*t\s*=\s*([0-9]+)", response.headers.get("ratelimit", ""))
    return max((int(found[1][:9]) for found in (asked, limited) if found), default=0)


def _check_headers(response: Any) -> None:
    """Etags and commits name files in the cache: only what can be one is let through.

    The client takes them from the answer to a HEAD; on a redirect inside the same server, from the answer after it.
    """
    location = response.headers.get("location", "")
    if response.request.method != "HEAD" or (location.startswith("/") and not location.startswith("//")):
        return
    commit = response.headers.get("x-repo-commit")
    etag = response.headers.get("x-linked-etag") or response.headers.get("etag")
    bad_etag = etag is not None and response.status_code < 400 and not ETAG.fullmatch(etag)
    if bad_etag or (commit is not None and not COMMIT.fullmatch(commit)):
        what = "ETag" if bad_etag else "X-Repo-Commit"
        raise HubError(f"{origin_of(response.url)} answers with a malformed {what} header. Do not trust that server.")


def _watch_body(response: Any, httpx: Any) -> None:
    """Stop reading a body that trickles: a time-out starts anew with every byte. Note whether a body arrives."""
    inner = response.stream
    passing = response.status_code in PASSING
    _tries.why = f"answers HTTP {response.status_code}" if passing else "breaks off in the middle of its answers"

    class Watched(httpx.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            window, started, seen, arrived = seconds(), time.monotonic(), 0, 0
            try:
                for chunk in inner:
                    seen += len(chunk)
                    arrived += len(chunk)
                    passed = time.monotonic() - started
                    if passed > window:
                        if seen < SLOWEST_BYTES_PER_SECOND * passed:
                            speed = f"{seen / passed:.0f} bytes a second"
                            raise UnreachableError(f"{origin_of(response.url)} sends {speed}. Try again later.")
                        started, seen = time.monotonic(), 0
                    if arrived >= RESUME_STEP:
                        _note_success()
                    yield chunk
            except httpx.ReadError as error:  # a reset connection; the client resumes after the other kind only
                raise httpx.RemoteProtocolError(str(error)) from error
            if not passing:
                _note_success()

        def close(self) -> None:
            inner.close()

    response.stream = Watched()


def _note_success() -> None:
    if _tries.failed is not None:
        _tries.failed = 0


def origin_of(url: Any) -> str:
    """The server that an address is on, without a user's name or password."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
