"""Rows of a table on this disk as a shard; its images stand in the table or in files beside it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from zoo_core.data.decode import read_file
from zoo_core.errors import DataError
from zoo_core.streaming.columns import Columns
from zoo_core.streaming.samples import Sample


def content_of(value: Mapping[str, Any] | None) -> bytes:
    """The bytes of an image in a table, or in a file that the table names; b"" without an image.

    Raises DataError for a file that was not fetched from the Hub.
    """
    if value is None:
        return b""
    if value["bytes"] is not None:
        return bytes(value["bytes"])
    if not value["path"]:
        return b""
    if not _is_cached(value["path"]):
        raise DataError("is a file that does not belong to the data set")
    return read_file(Path(value["path"]))


def _is_cached(path: str) -> bool:
    """Whether a file lies, links followed, in a cache folder of the Hub's client or of `datasets`."""
    from datasets import config
    from huggingface_hub import constants

    real = os.path.realpath(path)
    folders = (constants.HF_HUB_CACHE, config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH)
    return any(Path(real).is_relative_to(os.path.realpath(folder)) for folder in folders)


@dataclass(frozen=True)
class TableShard:
    """The rows from `start` to `stop`; the offset of an image is the number of its row."""

    title: str
    identity: str
    table: Any
    columns: Columns
    start: int
    stop: int
    remote: ClassVar[bool] = False

    def samples(self, ignored: Counter[str]) -> Iterator[Sample]:
        for number in range(self.start, self.stop):
            row = self.table[number]
            name, text = f"{self.title}/{number}", self.columns.text_of(row)
            try:
                yield Sample(name, text, number, 0, content_of(row[self.columns.image]))
            except DataError as error:
                yield Sample(name, text, number, 0, problem=str(error))

    def content(self, offset: int, length: int) -> bytes:
        return content_of(self.table[offset][self.columns.image])
