"""The limits of a server, and its refusals."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_HEADER = 32_768  # bytes of the header of a request


@dataclass(frozen=True)
class Limits:
    """The bounds of a request and of the server."""

    max_bytes: int = 20_000_000
    """Of the body of a request."""
    max_pixels: int = 80_000_000
    """Of an image."""
    max_images: int = 32
    """Of a request."""
    max_waiting: int = 256
    """Images that are accepted and not yet answered."""
    max_batch: int = 32
    timeout: float = 30.0
    """Seconds for the body of a request, and for its answer."""


@dataclass
class Refusal(Exception):
    """A request that gets no answer: an HTTP status and a sentence that says why."""

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.reason
