"""The guards of the Hub's client: every request and answer in this process passes through them.

They bound time, size, repetition and waiting, keep the token on the Hub's own host, and check the
headers that name files in the cache. The client follows some addresses by itself (redirects, the
next page, the check of an upload), so that the guards stand below it, on its HTTP library. Each
bound was tried against a server of faults (tests/hubserver).
"""

from __future__ import annotations

import importlib
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo_core.errors import HubError, OversizeError, UnreachableError
from zoo_core.hubclient.pace import keep_pace, seconds

CONNECT_SECONDS = 4.0
LONGEST_WAIT_SECONDS = 30
MAX_TRIES = 3
MAX_ANSWER_BYTES = 64 * 2**20  # the facts about a repository of 300,000 files
MAX_ANSWERS = 300  # pages of one list: as many files at a thousand a page
PASSING = (408, 429, 500, 502, 503, 504)  # statuses that another attempt may better
RESUME_STEP = 2**20  # a cut download resumes at the last whole step; the client's own is 10 MiB
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ETAG = re.compile(r'(W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')


class _Call(threading.local):
    """The bounds of the call that this thread makes.

    `failed` counts the requests in a row without a result, whichever layer repeats them; None:
    nobody counts. `answers` counts the requests for facts. `most` is the upper size of a file, None
    where an answer is expected.
    """

    failed: int | None = None
    answers = 0
    why = ""
    most: int | None = None


_call = _Call()


@contextmanager
def bounded_call(most: int | None = None) -> Iterator[None]:
    """Bound the requests of a block: the bodies of files by `most` bytes, the tries by MAX_TRIES.

    The client repeats some requests by itself, for minutes.
    """
    _call.failed, _call.answers, _call.most = 0, 0, most
    try:
        yield
    finally:
        _call.failed, _call.most = None, None


def guarded_client() -> Any:
    """Make a client of the Hub's HTTP library with all guards."""
    from huggingface_hub.utils._http import default_client_factory

    client = default_client_factory()
    httpx = _library_of(client)
    hooks = client.event_hooks
    hooks["request"] += [_limit_tries, _limit_time, _keep_token, _ask_uncompressed]
    hooks["response"] += [_check_wait, _check_headers, lambda response: _limit_body(response, httpx)]
    client.event_hooks = hooks
    keep_pace(client)
    return client


def _library_of(thing: object) -> Any:
    """The HTTP library of a client (httpx, or its successor)."""
    return importlib.import_module(type(thing).__module__.partition(".")[0])


def _limit_tries(request: Any) -> None:
    if _call.failed is None:
        return
    if _call.failed >= MAX_TRIES:
        raise UnreachableError(f"{origin_of(request.url)} {_call.why}. Try again later.")
    _call.answers += request.url.path.startswith("/api/")
    if _call.answers > MAX_ANSWERS:
        raise HubError(f"{origin_of(request.url)} has no end of answers. Do not trust that server.")
    _call.failed += 1
    _call.why = "does not answer"


def _limit_time(request: Any) -> None:
    limit = seconds()
    asked = {key: value for key, value in request.extensions.get("timeout", {}).items() if value}
    limits = {"connect": CONNECT_SECONDS, "read": limit, "write": limit, "pool": limit}
    request.extensions["timeout"] = {key: min(limits[key], asked.get(key, limits[key])) for key in limits}


def _keep_token(request: Any) -> None:
    """Remove the token from a request to another server than the Hub."""
    from huggingface_hub import constants

    hub = type(request.url)(constants.ENDPOINT)
    if (request.url.scheme, request.url.host, request.url.port) != (hub.scheme, hub.host, hub.port):
        request.headers.pop("authorization", None)


def _ask_uncompressed(request: Any) -> None:
    """Ask for plain bytes: a small compressed answer may fill the memory."""
    request.headers["accept-encoding"] = "identity"


def _check_wait(response: Any) -> None:
    wait = wait_asked(response)
    if wait > LONGEST_WAIT_SECONDS:
        raise UnreachableError(
            f"{origin_of(response.url)} asks to wait {wait} seconds (HTTP {response.status_code}). Try again later."
        )


def wait_asked(response: Any) -> int:
    """The seconds that a refusal asks to wait, in the two headers that the client obeys."""
    if response.status_code < 400:
        return 0
    asked = re.fullmatch(r"\s*([0-9]+)\s*", response.headers.get("retry-after", ""))
    limited = re.search(r";\s*t\s*=\s*([0-9]+)", response.headers.get("ratelimit", ""))
    return max((int(found[1][:9]) for found in (asked, limited) if found), default=0)


def _check_headers(response: Any) -> None:
    """Refuse etags and commits that cannot be one: the client names files of its cache after them.

    It takes them from the answer to a HEAD; after a redirect inside one server, from the last
    answer.
    """
    location = response.headers.get("location", "")
    if response.request.method != "HEAD" or (location.startswith("/") and not location.startswith("//")):
        return
    commit = response.headers.get("x-repo-commit")
    etag = response.headers.get("x-linked-etag") or response.headers.get("etag")
    bad_etag = etag is not None and response.status_code < 400 and not ETAG.fullmatch(etag)
    if bad_etag or (commit is not None and not COMMIT.fullmatch(commit)):
        header = "ETag" if bad_etag else "X-Repo-Commit"
        raise HubError(f"{origin_of(response.url)} answers with a malformed {header} header. Do not trust that server.")


def _limit_body(response: Any, httpx: Any) -> None:
    """Refuse a compressed body, and stop to read one beyond its upper size.

    Note whether a body arrives.
    """
    server = origin_of(response.url)
    if response.request.method != "HEAD" and response.headers.get("content-encoding", "identity") != "identity":
        raise HubError(f"{server} sends a compressed answer that was not asked for. Do not trust that server.")
    request, most = response.request, float(MAX_ANSWER_BYTES)
    if response.status_code in (200, 206) and request.method == "GET":
        if _call.most is not None:
            most = _call.most
        elif not request.url.path.startswith("/api/"):
            most = (
                math.inf
            )  # a file that another library, such as timm, gets by the same client: nothing states its size
    too_much = OversizeError(f"{server} sends more than the {most:,.0f} bytes that it may. Do not trust that server.")
    inner = response.stream
    passing = response.status_code in PASSING
    _call.why = f"answers HTTP {response.status_code}" if passing else "breaks off in the middle of its answers"

    class Limited(httpx.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            arrived = 0
            try:
                for chunk in inner:
                    arrived += len(chunk)
                    if arrived > most:
                        raise too_much
                    if arrived >= RESUME_STEP:
                        _note_success()
                    yield chunk
            except httpx.ReadError as error:  # a reset; the client resumes after the other type only
                raise httpx.RemoteProtocolError(str(error)) from error
            if not passing:
                _note_success()

        def close(self) -> None:
            inner.close()

    response.stream = Limited()


def _note_success() -> None:
    if _call.failed is not None:
        _call.failed = 0


def origin_of(url: Any) -> str:
    """The server of an address, without a user's name or password."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
