"""Groups of images dealt into parts and folds: whole ones, each class as even as they allow.

Shapes: N images, G groups, K classes, P parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_ROUNDS = 20  # in which groups move; most deals rest after three


def joined(*names: Sequence[Hashable]) -> Ints:
    """A number (N) for each image, from 0 in the order of first images: the same for all that an
    equal name links, in any of these lists and over other images too."""
    parent = list(range(len(names[0])))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for own in names:
        first: dict[Hashable, int] = {}
        for index, name in enumerate(own):
            one, other = root(first.setdefault(name, index)), root(index)
            parent[max(one, other)] = min(one, other)
    numbers: Ints = np.unique([root(index) for index in range(len(parent))], return_inverse=True)[1].astype(np.int64)
    return numbers


@dataclass(frozen=True)
class Groups:
    """Images in groups that stay together. `classes` are those of each image: one, several or none;
    all images count as one more class."""

    number_N: Ints
    """The group of each image, from 0."""
    classes: Sequence[Collection[int]]

    def __len__(self) -> int:
        return int(self.number_N.max()) + 1

    @cached_property
    def counts(self) -> list[tuple[Ints, Floats]]:
        """The classes of each group, with the number of images of each."""
        counters = [Counter[int]() for _ in range(len(self))]
        everything = self.num_classes
        for number, own in zip(self.number_N.tolist(), self.classes, strict=True):
            counters[number].update([*own, everything])
        return [(np.array(list(one)), np.array(list(one.values()), np.float64)) for one in counters]

    @cached_property
    def num_classes(self) -> int:
        """K: one more than the largest class."""
        return 1 + max((label for own in self.classes for label in own), default=-1)

    def sizes(self) -> Floats:
        """The number of images in each group (G)."""
        return np.bincount(self.number_N).astype(np.float64)

    def dealt(self, shares_P: Sequence[float], seed: int) -> Ints:
        """The part of each group (G), chosen so that every part has its share of each class.

        With n images of class k in part p and N in all, the deal lowers the sum over p and k of
        ((n - share_p N) / N)^2: in an order that the seed decides each group goes where the sum is
        lowest, and then groups move, one at a time, as long as that lowers it.
        """
        totals_K = np.zeros(self.num_classes + 1)
        for classes, counts in self.counts:
            totals_K[classes] += counts
        excess_PK = -np.outer(shares_P, totals_K)
        part_G = np.full(len(self), -1)
        order = np.random.default_rng(seed).permutation(len(self)).tolist()
        for _ in range(MOST_ROUNDS):
            moved = False
            for group in order:
                classes, counts = self.counts[group]
                before = part_G[group]
                if before >= 0:
                    excess_PK[before, classes] -= counts
                cost_P = (excess_PK[:, classes] * (counts / totals_K[classes] ** 2)).sum(1)
                best = int(cost_P.argmin())
                if before >= 0 and cost_P[before] <= cost_P[best]:
                    best = before
                moved |= best != before
                part_G[group] = best
                excess_PK[best, classes] += counts
            if not moved:
                break
        return part_G

    def held_out(self, share: float, seed: int) -> npt.NDArray[np.bool_]:
        """Whether each group (G) is held out: as `dealt`, with every class among the others, and
        among those held out too where it has two groups that can be parted."""
        held_G: npt.NDArray[np.bool_] = self.dealt((1 - share, share), seed) == 1
        of_class: dict[int, list[int]] = {}
        for group in np.argsort(self.sizes(), kind="stable").tolist():  # the smallest move first
            for label in self.counts[group][0].tolist():
                of_class.setdefault(label, []).append(group)
        rarest_first = sorted(of_class, key=lambda label: (len(of_class[label]), label))
        trained = {label: sum(not held_G[group] for group in own) for label, own in of_class.items()}

        def move(group: int, *, held: bool) -> None:
            held_G[group] = held
            for label in self.counts[group][0].tolist():
                trained[label] += -1 if held else 1

        for label in rarest_first:
            if not trained[label]:
                move(of_class[label][0], held=False)
        for label in rarest_first:
            if trained[label] == len(of_class[label]):
                spare = (group for group in of_class[label] if all(trained[one] > 1 for one in self.counts[group][0]))
                chosen = next(spare, None)
                if chosen is not None:
                    move(chosen, held=True)
        return held_G

    def share(self, share: float, seed: int) -> npt.NDArray[np.bool_]:
        """Whether each group (G) belongs to a share of the images. A smaller share is part of a
        larger one, and every share has each class.

        The groups stand in decks, each in that of its rarest class, in an order that the seed
        decides; a share is the beginning of each deck.
        """
        totals = Counter[int]()
        for classes, counts in self.counts:
            totals.update(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
        decks: dict[int, list[int]] = {}
        for group in np.random.default_rng(seed).permutation(len(self)).tolist():
            rarest = min(self.counts[group][0].tolist(), key=lambda label: (totals[label], label))
            decks.setdefault(rarest, []).append(group)
        size_G, middle_G = self.sizes(), np.zeros(len(self))
        covered: set[int] = set()
        always = np.zeros(len(self), np.bool_)
        for label in sorted(decks):
            deck = decks[label]
            ends = np.cumsum(size_G[deck])
            middle_G[deck] = (ends - size_G[deck] / 2) / ends[-1]
            for group in deck:
                own = set(self.counts[group][0].tolist())
                always[group] = not own <= covered
                covered |= own
        chosen: npt.NDArray[np.bool_] = always | (middle_G < share)
        return chosen
