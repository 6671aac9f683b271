"""The parts that a run trains on, validates with and measures, as its settings make them from the
data's own parts.

All of it follows from the images, their targets and the seed, so that a resumed run has the same
parts.

Shapes: N images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.groups import NONE, check_groups, groups_of, with_groups
from zoo_core.data.parts import EarlierSplit
from zoo_core.data.sources import Images, Part, PartName, Source, content_of, windows_of
from zoo_core.errors import DataError, UsageError, printable, shown
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks import task_named

NO_FOLD = "none"
FEWEST_FOLDS = 2


@dataclass(frozen=True)
class Joined:
    """The images of several lists, one list after the other."""

    lists: tuple[Images, ...]

    def __len__(self) -> int:
        return sum(map(len, self.lists))

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        images, own = self._place(index)
        return images.read(own, at_least=at_least)

    def content(self, index: int) -> bytes | None:
        return content_of(*self._place(index))

    def name(self, index: int) -> str:
        images, own = self._place(index)
        return images.name(own)

    def digest(self, index: int) -> bytes:
        images, own = self._place(index)
        return images.digest(own)

    def _place(self, index: int) -> tuple[Images, int]:
        for images in self.lists:
            if index < len(images):
                return images, index
            index -= len(images)
        raise IndexError(index)


def arranged(source: Source, config: FinetuneConfig, earlier: EarlierSplit | None = None) -> Source:
    """The source with the parts of a run; `earlier` is a split to repeat.

    A fold becomes the test part, a validation part is held out where there is none, and the
    training part keeps its share. Raises UsageError for a wrong fold, DataError when there are too
    few images or groups, or when a group is in two parts.
    """
    if earlier is not None and not earlier.is_grouped:  # zoo 0.2 passed over a column of groups
        source = with_groups(source, NONE)
    if config.fold != NO_FOLD:
        source = _with_fold(source, config.fold, config.seed)
    if earlier is None:
        check_groups(source, config.group_by)
    source = source.with_validation(share=config.val_share, seed=config.seed, kind=earlier.kind if earlier else None)
    return _with_share(source, config.train_share, config.seed)


def parse_fold(text: str) -> tuple[int, int]:
    """ "2/5" as (2, 5). Raises UsageError for a text that names no fold."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count or count < FEWEST_FOLDS:
        raise UsageError(f"--fold is a fold and their number, such as 2/5 for the second of five, got '{shown(text)}'.")
    return number, count


def pooled(parts: Sequence[Part]) -> Part:
    """The images of several parts as one."""
    if len(parts) == 1:
        return parts[0]
    groups = tuple(group for part in parts for group in part.groups or ())
    images = Joined(tuple(part.images for part in parts))
    return Part(images, np.concatenate([part.targets for part in parts]), groups or None)


def fold_numbers(part: Part, count: int, seed: int, *, by_class: bool) -> npt.NDArray[np.int64]:
    """The fold (N) of each image, counted from 0: the images of each class are dealt like cards.

    Images of equal content are one card, so that no training sees a copy of an image that it is
    measured on; so are those of one group. Raises DataError where there are fewer cards than folds.
    """
    if part.groups is not None:
        groups = groups_of(part, "classification" if by_class else None)
        if len(groups) < count:
            raise DataError(f"{len(groups)} groups are too few for {count} folds.")
        return groups.dealt([1 / count] * count, seed)[groups.number_N]
    copies: dict[bytes, list[int]] = {}
    for index in range(len(part)):
        copies.setdefault(part.images.digest(index), []).append(index)
    if len(copies) < count:
        raise DataError(f"{len(copies)} different images are too few for {count} folds.")
    decks: dict[int, list[list[int]]] = {}
    for card in copies.values():
        decks.setdefault(int(part.targets[card[0]]) if by_class else 0, []).append(card)
    generator, numbers, dealt = np.random.default_rng(seed), np.empty(len(part), dtype=np.int64), 0
    for label in sorted(decks):
        for place in generator.permutation(len(decks[label])):
            numbers[decks[label][place]] = dealt % count  # the next class goes on where this one ends
            dealt += 1
    return numbers


def _with_fold(source: Source, text: str, seed: int) -> Source:
    """The source with a fold of its training and validation images as test part, and the others to
    train on.

    Its own test part is left out: it stays new for a last measurement.
    """
    number, count = parse_fold(text)
    own = [source.parts[name] for name in ("train", "val") if name in source.parts]
    if "train" not in source.parts:
        return source  # which `with_validation` refuses
    if any(windows_of(part.images) is not None for part in own):
        raise UsageError(f"folds need images that all fit on this disk, and {printable(source.title)} is streamed.")
    both = pooled(own)
    held_out = fold_numbers(both, count, seed, by_class=task_named(source.task).single_label) == number - 1
    parts: dict[PartName, Part] = {"train": _taken(both, ~held_out), "test": _taken(both, held_out)}
    return replace(source, parts=parts)


def _with_share(source: Source, share: float, seed: int) -> Source:
    """The source with a share of its training images: of each class where images have one class,
    else of all.

    A class keeps at least one image, or group. The images stand in an order that the seed decides,
    and a share is its beginning.
    """
    if share == 1:
        return source
    train, is_classified = source.parts["train"], task_named(source.task).single_label
    if train.groups is not None:
        groups = groups_of(train, source.task)
        taken_N = groups.share(share, seed)[groups.number_N]
        return replace(source, parts={**source.parts, "train": _taken(train, taken_N)})
    labels = train.targets if is_classified else np.zeros(len(train), dtype=np.int64)
    least = 1 if is_classified else 2  # a spread of numbers needs two
    chosen: list[int] = []
    for label in np.unique(labels).tolist():
        members = np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels == label))
        chosen += members[: max(least, round(share * len(members)))].tolist()
    return replace(source, parts={**source.parts, "train": train.take(sorted(chosen))})


def _taken(part: Part, mask: npt.NDArray[np.bool_]) -> Part:
    chosen: Sequence[int] = np.flatnonzero(mask).tolist()
    return part.take(chosen)
