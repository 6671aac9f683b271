"""The views of images whose features a run caches, by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zoo_core.data.batches import Batches, ImageView

CacheItem = tuple[Batches, ImageView]


@dataclass(frozen=True)
class CacheItems:
    """The views of images whose features are cached, part after part: `(batches, views of each
    image)`.

    Items have numbers and are made when they are asked for: a list of a million would take more
    memory than the network.
    """

    parts: tuple[tuple[Batches, int], ...]

    def __len__(self) -> int:
        return sum(len(batches.part) * views for batches, views in self.parts)

    def __getitem__(self, number: int) -> CacheItem:
        for batches, views in self.parts:
            count = len(batches.part) * views
            if number < count:
                return batches, divmod(number, views)
            number -= count
        raise IndexError(number)

    def __iter__(self) -> Iterator[CacheItem]:
        return (self[number] for number in range(len(self)))

    def take(self, numbers: Iterable[int]) -> list[CacheItem]:
        """The items of these numbers."""
        return [self[int(number)] for number in numbers]
