"""Rows of CSV that any reader gives back, whatever their cells hold."""

from __future__ import annotations

import csv
from typing import Any, TextIO


class _Lines:
    """Ends each row with a line feed alone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> int:
        return self._stream.write(row.removesuffix("\r\n") + "\n")


def csv_writer(stream: TextIO) -> Any:
    """A csv.writer whose rows end with a line feed. A cell with a carriage return is quoted, which
    csv.writer does only where rows end with one."""
    return csv.writer(_Lines(stream), lineterminator="\r\n")
