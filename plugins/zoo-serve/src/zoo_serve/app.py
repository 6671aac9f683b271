"""The requests that a server answers, as an ASGI application."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

from zoo_core import AnswerFormat, Predictor
from zoo_serve.bodies import images_in, parsed, printable
from zoo_serve.engine import Counts, Engine, Wish
from zoo_serve.limits import MAX_HEADER, Limits, Refusal
from zoo_serve.logs import log
from zoo_serve.metrics import Metrics
from zoo_serve.protocol_v2 import ModelFacts

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Found = tuple[str, bytes]
"""A media type and a body."""

JSON = "application/json"
MAX_HELD = 512 * 2**20  # bytes of the bodies of all requests that are not answered yet
UNREAD = 2.0  # seconds in which the rest of a refused body is read, so that its sender sees the answer
OPEN = ("/health", "/ready", "/v2/health/live", "/v2/health/ready")  # without a token, and not logged


class Gone(Exception):
    """Whoever asked has closed the connection."""


@dataclass
class App:
    """Answers of one model."""

    predictor: Predictor
    engine: Engine
    metrics: Metrics
    facts: ModelFacts
    limits: Limits
    wish: Wish
    token: str | None = None
    is_stopping: bool = False

    def __post_init__(self) -> None:
        model = f"/v2/models/{self.facts.name}"
        self.gets: dict[str, Callable[[], Found]] = {
            "/health": lambda: _json({"status": "alive"}),
            "/ready": self._ready,
            "/metrics": lambda: ("text/plain; version=0.0.4; charset=utf-8", self.metrics.text().encode()),
            "/v2": lambda: _json(self.facts.server()),
            "/v2/health/live": lambda: _json({"live": True}),
            "/v2/health/ready": self._ready,
            model: lambda: _json(self.facts.model()),
            f"{model}/ready": self._ready,
        }
        self.posts: dict[str, Callable[[Mapping[str, Any], str, bytes], Awaitable[Found]]] = {
            "/predict": self._predict,
            "/": self._predict,
            f"{model}/infer": self._infer,
        }
        self.classes = AnswerFormat.of(self.predictor, top=len(self.predictor.classes), has_values=False)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        began = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"].rstrip("/") or "/"
        body = Body(receive, headers, self.limits, self.engine.counts)
        more: dict[str, str] = {}
        try:
            kind, content = await self._answer(scope, path, headers, body)
            status = 200
        except Refusal as refusal:
            status, more = refusal.status, refusal.headers
            kind, content = _json({"error": refusal.reason})
            await body.skip()
        except Gone:
            self.metrics.add(self._label(path), 499, 0)
            return
        except Exception as error:  # a fault of ours or of a plugin's network: one line, and no traceback
            log("error", path=printable(path), error=f"{type(error).__name__}: {error}"[:300])
            status, (kind, content) = 500, _json({"error": "the model failed; the server's log has the reason."})
        finally:
            self.engine.counts.held_bytes -= body.held
        seconds = time.perf_counter() - began
        self.metrics.add(self._label(path), status, seconds)
        if path not in OPEN:
            log("request", method=scope["method"], path=printable(path), status=status,
                ms=round(1000 * seconds, 1), bytes=body.bytes)  # fmt: skip
        more |= {"Connection": "close"} if self.is_stopping or not body.is_read else {}
        await _send(send, status, kind, b"" if scope["method"] == "HEAD" else content, len(content), more)

    def _label(self, path: str) -> str:
        return path if path in self.gets or path in self.posts else "other"

    async def _answer(self, scope: Mapping[str, Any], path: str, headers: Mapping[str, str], body: Body) -> Found:
        method = scope["method"]
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER:
            raise Refusal(431, f"the header has more than {MAX_HEADER:,} bytes, which are the most.")
        if path not in OPEN:
            self._check_token(headers)
        if path not in self.gets and path not in self.posts:
            known = ", ".join(("POST /predict", *(f"GET {one}" for one in ("/health", "/ready", "/metrics", "/v2"))))
            raise Refusal(404, f"there is nothing at {printable(path)}. There are {known}.")
        if path in self.gets:
            if method not in ("GET", "HEAD"):
                raise Refusal(405, f"{printable(path)} is read with GET.", {"Allow": "GET, HEAD"})
            return self.gets[path]()
        if method != "POST":
            raise Refusal(405, f"{printable(path)} is asked with POST: send an image.", {"Allow": "POST"})
        query = scope["query_string"].decode("latin-1")
        with self.engine.place():  # before its body is read
            return await self.posts[path](headers, query, await body.whole())

    def _check_token(self, headers: Mapping[str, str]) -> None:
        if self.token is None:
            return
        given = headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            told = "Authorization: Bearer TOKEN"
            raise Refusal(401, f"this server asks for a token: {told}.", {"WWW-Authenticate": "Bearer"})

    def _ready(self) -> Found:
        if self.is_stopping:
            raise Refusal(503, "the server is stopping.")
        return _json({"ready": True})

    async def _predict(self, headers: Mapping[str, str], query: str, body: bytes) -> Found:
        """The answers as `zoo predict --json` prints them."""
        images, names = images_in(headers.get("content-type", ""), body, self.limits)
        found = await self.engine.answers(images, names, self._wished(query))
        return _json({"model": self.facts.name, "predictions": [self.classes.to_dict(one) for one in found]})

    async def _infer(self, headers: Mapping[str, str], query: str, body: bytes) -> Found:
        if "inference-header-content-length" in headers:
            raise Refusal(400, "tensors come as JSON here: binary ones are not read.")
        request = parsed(body)
        images, names = self.facts.read(request, self.limits)
        return _json(self.facts.answer(request, await self.engine.answers(images, names, self.wish)))

    def _wished(self, query: str) -> Wish:
        """The settings of a request: those of the server, or `?top=3&threshold=0.5`."""
        wish = self.wish
        try:
            for name, values in parse_qs(query, keep_blank_values=True, max_num_fields=10).items():
                if name == "top" and 1 <= int(values[-1]) <= 10**6:
                    wish = replace(wish, top=int(values[-1]))
                elif name == "threshold" and 0 <= float(values[-1]) <= 1:
                    wish = replace(wish, threshold=float(values[-1]))
                else:
                    raise ValueError
        except ValueError:
            raise Refusal(400, "a query may have top, from 1 on, and threshold, from 0 to 1.") from None
        return wish


class Body:
    """The body of a request, which is read within the limits or not at all."""

    def __init__(self, receive: Receive, headers: Mapping[str, str], limits: Limits, counts: Counts) -> None:
        self.receive, self.limits, self.counts = receive, limits, counts
        self.told = headers.get("content-length", "")
        self.bytes = self.held = 0
        self.is_read = self.told in ("", "0") and "transfer-encoding" not in headers

    async def whole(self) -> bytes:
        """All of it. Raises Refusal for too many bytes, before they are read where their number is
        told, and for a sender that is too slow."""
        most = self.limits.max_bytes
        if self.told.isdecimal() and int(self.told[:20]) > most:
            raise Refusal(413, f"the body has {self.told[:20]} bytes, and {most:,} are the most.")
        try:
            return await asyncio.wait_for(self._read(most), self.limits.timeout)
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {self.limits.timeout:g} s.") from None

    async def _read(self, most: int) -> bytes:
        pieces = []
        while not self.is_read:
            pieces.append(await self._next())
            self.held += len(pieces[-1])
            self.counts.held_bytes += len(pieces[-1])
            if self.counts.held_bytes > MAX_HELD:
                raise Refusal(503, "too many bytes of images wait already. Try again soon.", {"Retry-After": "1"})
            if self.bytes > most:
                raise Refusal(413, f"the body has more than {most:,} bytes, which are the most.")
        return b"".join(pieces)

    async def _next(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece: bytes = message.get("body", b"")
        self.bytes += len(piece)
        self.is_read = not message.get("more_body", False)
        return piece

    async def skip(self) -> None:
        """Read on for a moment without keeping anything: some senders look for the answer last."""
        with suppress(TimeoutError, Gone):
            await asyncio.wait_for(self._skip(), UNREAD)

    async def _skip(self) -> None:
        while not self.is_read:
            await self._next()


def _json(value: Any) -> Found:
    return JSON, json.dumps(value).encode()


async def _send(send: Send, status: int, kind: str, content: bytes, length: int, more: Mapping[str, str]) -> None:
    headers = {"Content-Type": kind, "Content-Length": str(length), "X-Content-Type-Options": "nosniff", **more}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})
