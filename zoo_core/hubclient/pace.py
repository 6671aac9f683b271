"""The time-out of the Hub's client, and a floor under the speed of every answer, headers included.

The time-out of the client begins anew with every byte, so that one byte a second holds it for
hours. The pace is measured where bytes arrive: it holds for headers, bodies and the lengths between
chunks.
"""

from __future__ import annotations

import os
import time
from typing import Any

from zoo_core.errors import HubError, UnreachableError

TIMEOUT_VARIABLE = "ZOO_HUB_TIMEOUT"
DEFAULT_SECONDS = 10.0
LONGEST_SECONDS = 3600.0  # nobody waits longer for a silent server
SLOWEST_BYTES_PER_SECOND = 1024


def seconds() -> float:
    """The longest silence of a server, and the window in which its speed is measured, in seconds.

    Raises HubError when the environment variable `ZOO_HUB_TIMEOUT` is not a number of seconds.
    """
    text = os.environ.get(TIMEOUT_VARIABLE)
    if text is None:
        return DEFAULT_SECONDS
    try:
        asked = float(text)
    except ValueError:
        asked = 0.0
    if not 0 < asked <= LONGEST_SECONDS:
        raise HubError(
            f"{TIMEOUT_VARIABLE} must be a number of seconds, above 0 and at most {LONGEST_SECONDS:.0f}, got '{text}'."
        )
    return asked


class PacedStream:
    """A connection to a server.

    Once an answer has begun, each window of waiting brings enough bytes.

    The window is the time-out of one read; time in which nobody waits for the server does not
    count.
    """

    def __init__(self, stream: Any, server: str) -> None:
        self._stream = stream
        self._server = server
        self._answering = False
        self._waited = 0.0
        self._received = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read at most so many bytes. Raises UnreachableError when the server is too slow."""
        began = time.monotonic()
        content: bytes = self._stream.read(max_bytes, timeout)
        if self._answering:
            self._waited += time.monotonic() - began
        self._answering = True
        self._received += len(content)
        if self._waited > seconds():
            speed = self._received / self._waited
            if content and speed < SLOWEST_BYTES_PER_SECOND:
                raise UnreachableError(f"{self._server} sends {speed:.0f} bytes a second. Try again later.")
            self._waited, self._received = 0.0, 0
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write part of a request: the next read begins an answer."""
        self._answering, self._waited, self._received = False, 0.0, 0
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        return PacedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._server)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PacedBackend:
    """Opens connections that keep the pace."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, host: str, port: int, **settings: Any) -> PacedStream:
        return PacedStream(self._backend.connect_tcp(host, port, **settings), f"{host}:{port}")

    def connect_unix_socket(self, path: str, **settings: Any) -> PacedStream:
        return PacedStream(self._backend.connect_unix_socket(path, **settings), path)

    def sleep(self, duration: float) -> None:
        self._backend.sleep(duration)


def keep_pace(client: Any) -> None:
    """Let all connections of an httpx client keep the pace, those through proxies too."""
    for transport in {client._transport, *filter(None, client._mounts.values())}:
        try:
            pool = transport._pool
            pool._network_backend = PacedBackend(pool._network_backend)
        except AttributeError:
            raise HubError(
                f"the HTTP client {type(client).__module__} is newer than this zoo knows, so that it cannot be "
                "guarded. Install the versions of constraints.txt."
            ) from None
