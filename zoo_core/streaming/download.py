"""Shards behind addresses: what stands for their content, and how they come here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_core.errors import UsageError
from zoo_core.hubclient.client import attempt, guarded_api, scrubbed


def prepare(url: str) -> None:
    """Put the guards on the requests that follow, before threads make them: it closes all connections.

    Raises UsageError when an address holds a password: what a run was asked to do is written down.
    """
    if re.match(r"https?://[^/@]*@", url):
        raise UsageError(
            f"the address {scrubbed(url)} holds a password, which would be written into the run. Remove it."
        )
    guarded_api()


def identity_of(url: str) -> str:
    """What stands for a file's content: its address with the server's ETag, or with its length and time."""

    def ask() -> str:
        with _asked(url, {"Range": "bytes=0-0"}) as response:
            headers = response.headers
            length = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "")
            return f"{url} {headers.get('etag') or headers.get('last-modified', '')} {length}"

    return attempt(url, ask, place=_place(url))


def download(url: str, path: Path, most: int) -> None:
    """Fetch a file of at most so many bytes; the guards of every request to the Hub hold here too.

    Raises OversizeError as soon as the server sends more.
    """

    def stream() -> None:
        with _asked(url, {}) as response, path.open("wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)

    attempt(url, stream, place=_place(url), most=most)


def text_at(url: str, most: int) -> str | None:
    """The first bytes of a text file, as many as asked for; None where there is no such file."""

    def read() -> str | None:
        with _session().stream("GET", url) as response:
            if response.status_code in (
                403,
                404,
            ):  # 403: where nobody may list a folder, that is what a missing file gives
                return None
            response.raise_for_status()
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) >= most:
                    break
            return content[:most].decode("utf-8-sig", "replace")

    return attempt(url, read, place=_place(url))


@contextmanager
def _asked(url: str, headers: dict[str, str]) -> Iterator[Any]:
    with _session().stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        yield response


def _session() -> Any:
    """The Hub client's connections, which send no token by themselves."""
    from huggingface_hub.utils._http import get_session

    return get_session()


def _place(url: str) -> str:
    return "/".join(url.split("/")[:3])
