"""What shards hold, whatever kind they are of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from zoo_core.data.indexed import Shard


@dataclass(frozen=True)
class Sample:
    """An image as it stands in a shard: `offset` and `length` are its place, `text` is what is true of it.

    `problem` tells why there are no bytes to look at.
    """

    name: str
    text: str
    offset: int
    length: int
    content: bytes = b""
    problem: str | None = None


class SampledShard(Shard, Protocol):
    """A shard as the first pass reads it.

    `title` tells a person which it is; `identity` stands for its content: an index that was made of it stays right as
    long as it does not change. One `remote` lies here only while it is needed.
    """

    @property
    def title(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def remote(self) -> bool: ...

    def samples(self) -> Iterator[Sample]:
        """All images from start to end. Raises ZooError when the shard cannot be had or is damaged."""
