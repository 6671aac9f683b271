"""The images of a data set in one list, part after part, with the words that a report needs.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from zoo_core.checking.report import Suspect
from zoo_core.data.sources import Part, PartName, Source, Targets
from zoo_core.tasks import task_named


@dataclass(frozen=True)
class ImageList:
    """All images of a source that can be read."""

    source: Source

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(part.images.name(index) for part, index in self.positions())

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        return tuple(part.images.digest(index) for part, index in self.positions())

    @cached_property
    def parts(self) -> tuple[PartName, ...]:
        return tuple(name for name, part in self.source.parts.items() for _ in range(len(part)))

    @cached_property
    def groups(self) -> tuple[str | None, ...]:
        """The group of each image, None without groups."""
        return tuple(part.groups[index] if part.groups else None for part, index in self.positions())

    @cached_property
    def targets(self) -> Targets:
        """(N) indices of classes, or (N, K); K is 0 without labels."""
        return np.concatenate([part.targets for part in self.source.parts.values()])

    @property
    def has_classes(self) -> bool:
        """Whether every image has exactly one class."""
        return task_named(self.source.task).single_label

    @property
    def target_word(self) -> str:
        """The word for the targets of an image: class, labels or numbers."""
        task = task_named(self.source.task)
        return task.output if task.single_label else task.outputs

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class, the labels or the numbers of each image in words; empty without labels."""
        if not self.source.classes:
            return ("",) * len(self)
        task = task_named(self.source.task)
        return tuple(task.target_text(target, self.source.classes) for target in self.targets)

    def read(self, index: int, at_least: int) -> Image.Image:
        """An image; if reduced, both sides keep `at_least` pixels."""
        for part in self.source.parts.values():
            if index < len(part):
                return part.images.read(index, at_least=at_least)
            index -= len(part)
        raise IndexError(index)

    def positions(self) -> Iterator[tuple[Part, int]]:
        return ((part, index) for part in self.source.parts.values() for index in range(len(part)))

    def suspect(
        self, index: int, detail: str, *, score: float, other: int | None = None, suggestion: str = ""
    ) -> Suspect:
        """A finding about an image, which may be like another one."""
        return Suspect(
            detail=detail,
            image=self.names[index],
            part=self.parts[index],
            label=self.labels[index],
            index=index,
            other=other,
            score=score,
            suggestion=suggestion,
        )
