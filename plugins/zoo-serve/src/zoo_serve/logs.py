"""Logs: one JSON object a line on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


def log(event: str, **facts: Any) -> None:
    """Write a line."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    sys.stderr.write(json.dumps({"time": moment, "event": event, **facts}) + "\n")


class JsonHandler(logging.Handler):
    """The warnings of the HTTP library as lines of the same kind."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        more = {} if error is None else {"error": f"{type(error).__name__}: {error}"[:300]}
        log(record.levelname.lower(), message=record.getMessage().split("\n")[0][:300], **more)


def take_over() -> None:
    """Send the warnings of uvicorn and asyncio through `log`."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [JsonHandler()] if name in ("uvicorn", "asyncio") else []
        logger.propagate = name not in ("uvicorn", "asyncio")
        logger.setLevel(logging.WARNING)
