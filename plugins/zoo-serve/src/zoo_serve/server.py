"""The HTTP server: uvicorn with a stop that finishes what it has accepted."""

from __future__ import annotations

import asyncio
import errno
import selectors
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from zoo_core import UsageError
from zoo_serve.app import App
from zoo_serve.limits import MAX_HEADER
from zoo_serve.logs import log, take_over

HEADER_SECONDS = 10.0
CLOSING_SECONDS = 1.0  # for requests that are on their way on open connections


class Protocol(H11Protocol):
    """A connection that is closed where no request comes whole within some seconds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._close_unless_asked)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def _close_unless_asked(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Stops by SIGTERM or Ctrl-C: it says that it is not ready, answers what it has, and ends. A
    second signal ends it at once."""

    def __init__(self, app: App, host: str, port: int, started: Callable[[int], object]) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=MAX_HEADER,
            backlog=1024,
        )
        super().__init__(config)
        self.app, self._tell = app, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell(self.servers[0].sockets[0].getsockname()[1])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn would send the signal to this process once more at the end."""
        kinds = (signal.SIGTERM, signal.SIGINT)
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = self.app.is_stopping = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no connections; answer, on those that are open, what comes within a moment."""
        log("stopping", waiting=self.app.engine.counts.pending)
        await asyncio.sleep(0.05)
        end = self._now() + CLOSING_SECONDS
        for server in self.servers:
            while _has_made(server.sockets) and self._now() < end:
                await asyncio.sleep(0.005)  # in which they are taken over
            server.close()
        while self.server_state.connections and self._now() < end and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def run(app: App, taken: socket.socket, started: Callable[[int], Any]) -> None:
    """Serve at an address that is taken until a signal."""
    take_over()
    host, port = taken.getsockname()[:2]
    asyncio.run(Server(app, host, port, started).serve(sockets=[taken]))


def _has_made(sockets: Iterable[socket.socket]) -> bool:
    """Whether the system has made connections at these sockets that are not taken over yet."""
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        return bool(selector.select(0))


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address. Raises UsageError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"there is no address '{host}': {error.strerror or error}. Give another --host.") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.set_inheritable(True)
    except OSError as error:
        made.close()
        raise UsageError(f"{host}:{port} cannot be had: {error.strerror or error}. {_way_out(error)}") from None
    return made


def _way_out(error: OSError) -> str:
    match error.errno:
        case errno.EADDRNOTAVAIL:
            return (
                "It is no address of this machine: give another --host, such as 127.0.0.1, or 0.0.0.0 for all of them."
            )
        case errno.EADDRINUSE:
            return "Give another --port; 0 takes any free one."
        case errno.EACCES | errno.EPERM:
            return "Give another --port, from 1024 on."
        case _:
            return "Give another --host or --port."
