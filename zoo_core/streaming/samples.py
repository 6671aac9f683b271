"""Samples, and the shards that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from zoo_core.data.indexed import Shard


@dataclass(frozen=True)
class Sample:
    """An image in a shard, with its place there and its target."""

    name: str
    text: str
    """The target, as the shard writes it."""
    offset: int
    length: int
    content: bytes = b""
    problem: str | None = None
    """The reason why `content` is missing."""


class SampledShard(Shard, Protocol):
    """A shard whose samples can be listed, to index it."""

    @property
    def title(self) -> str:
        """The shard's name, for people."""

    @property
    def identity(self) -> str:
        """A text that stands for the content: an index of the shard is valid while it stays the
        same."""

    @property
    def remote(self) -> bool:
        """Whether the shard lies on this disk only while it is needed."""

    def samples(self, ignored: Counter[str]) -> Iterator[Sample]:
        """All samples in order; anything else in the shard is counted by kind in `ignored`.

        Raises ZooError when the shard cannot be fetched or is damaged.
        """
