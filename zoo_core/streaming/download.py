"""Shards behind addresses: their identity, and their download."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_core.errors import UsageError
from zoo_core.hubclient.client import attempt, guarded_api, scrubbed


def prepare(url: str) -> None:
    """Guard the requests that follow; call it before threads start, because it closes all
    connections.

    Raises UsageError when an address holds a password, which a run would write into its config.
    """
    if re.match(r"https?://[^/@]*@", url):
        raise UsageError(
            f"the address {scrubbed(url)} holds a password, which would be written into the run. Remove it."
        )
    guarded_api()


def identity_of(url: str) -> str:
    """A text that stands for a file's content: address, ETag (or modification time) and length."""

    def ask() -> str:
        with _response(url, {"Range": "bytes=0-0"}) as response:
            headers = response.headers
            length = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "")
            return f"{url} {headers.get('etag') or headers.get('last-modified', '')} {length}"

    return attempt(url, ask, place=_host(url))


def download(url: str, path: Path, most: int) -> None:
    """Fetch a file of at most so many bytes; under the guards of every request to the Hub.

    Raises OversizeError as soon as the server sends more.
    """

    def stream() -> None:
        with _response(url, {}) as response, path.open("wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)

    attempt(url, stream, place=_host(url), most=most)


def text_at(url: str, most: int) -> str | None:
    """The first `most` bytes of a text file as text; None where there is no such file."""

    def read() -> str | None:
        with _session().stream("GET", url) as response:
            if response.status_code in (403, 404):  # 403: a server that lists no folder gives it for a missing file
                return None
            response.raise_for_status()
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) >= most:
                    break
            return content[:most].decode("utf-8-sig", "replace")

    return attempt(url, read, place=_host(url))


@contextmanager
def _response(url: str, headers: dict[str, str]) -> Iterator[Any]:
    with _session().stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        yield response


def _session() -> Any:
    """The connections of the Hub's client, which send no token by themselves."""
    from huggingface_hub.utils._http import get_session

    return get_session()


def _host(url: str) -> str:
    return "/".join(url.split("/")[:3])
