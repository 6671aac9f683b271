"""One HTTP server of the test Hub: reads requests, finds their endpoint, lets faults strike, answers."""

import socket
import socketserver
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from .answers import Answer, HubError
from .calls import Call, Route
from .faults import Fault
from .store import User

if TYPE_CHECKING:
    from .server import TestHub

DRIPS_PER_SECOND = 10
BLOCK = 1 << 20
ENDLESS_BLOCKS = 1 << 10  # a test that fails ends all the same


class Listener(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1 from birth until `stop`, which leaves no thread and no socket."""

    request_queue_size = 64  # several processes with eight download threads each may knock at once

    def __init__(self, hub: "TestHub", routes: Sequence[Route]) -> None:
        self.hub = hub
        self.routes = routes
        self._open_sockets: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        # The poll interval is how long `stop` may have to wait.
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        for open_socket in list(self._open_sockets):
            with suppress(OSError):  # its own thread may just have closed it
                open_socket.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        self._open_sockets.add(accepted)
        return accepted, address

    def shutdown_request(self, request: Any) -> None:
        self._open_sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints an error of the server's own; a client that went away is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Connection(BaseHTTPRequestHandler):
    """One client's connection. It stays open from request to request, as with the real Hub."""

    server: Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body, written after the head, waits 40 ms

    def respond(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub = self.server.hub
        fault = hub.receive(self.command, self.path, headers)
        body = self.read_body()
        if hub.stopping.wait(fault.delay):
            self.close_connection = True
            return
        answer = fault.refusal() or self.work(headers, body)
        if fault.drop_answer:
            self.close_connection = True
            return
        self.send(fault.spoil(answer), fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(self.read_chunks())
        return self.read_exactly(int(self.headers.get("Content-Length", 0)))

    def read_chunks(self) -> Iterator[bytes]:
        size = None
        while size != 0:
            size = int(self.rfile.readline() or b"0", 16)
            yield self.read_exactly(size + len(b"\r\n"))[:size]

    def read_exactly(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionAbortedError("the client went away in the middle of a body")
        return data

    def work(self, headers: dict[str, str], body: bytes) -> Answer:
        """Runs the endpoint that the path leads to; no two run at once."""
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        hub = self.server.hub
        with hub.store.lock:
            try:
                user = self.user(headers)
                request = (self.command, path, query, headers, body)
                call = Call(hub.store, hub.url, hub.cdn_url, hub.page_size, user, *request)
                for route in self.server.routes:
                    arguments = route.arguments(self.command, path)
                    if arguments is not None:
                        return route.endpoint(call, **arguments)
                raise HubError(404, "No such endpoint")
            except HubError as refusal:
                return refusal.answer()

    def user(self, headers: dict[str, str]) -> User | None:
        """Returns who sent the request, None without a token. An unknown token is a 401 everywhere."""
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            return None
        if token not in self.server.hub.store.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.server.hub.store.users[token]

    def send(self, answer: Answer, fault: Fault) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not fault.endless:
            self.send_header("Content-Length", str(max(0, len(answer.body) + fault.wrong_length)))
        if fault.drip_head is not None:
            head, self._headers_buffer = b"".join(self._headers_buffer), []
            self.drip(head, fault.drip_head)
        self.end_headers()
        if self.command != "HEAD":
            body = answer.body[: fault.cut_after]
            if fault.drip is None:
                self.wfile.write(body)
            else:
                self.drip(body, fault.drip)
            if fault.endless:
                self.send_zeros()
        if fault.ends_connection:
            self.close_connection = True

    def send_zeros(self) -> None:
        with suppress(ConnectionError):
            for _ in range(ENDLESS_BLOCKS):
                self.wfile.write(bytes(BLOCK))

    def drip(self, body: bytes, bytes_per_second: int) -> None:
        """Sends bytes at this rate, until the Hub stops."""
        size = max(1, bytes_per_second // DRIPS_PER_SECOND)
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            if self.server.hub.stopping.wait(size / bytes_per_second):
                self.close_connection = True
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: what arrived stands in `TestHub.requests`."""
