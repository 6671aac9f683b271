"""What a person should know of a data set before believing a figure that was measured on it."""

from __future__ import annotations

from collections import Counter

from zoo_core.data.sources import Part, Source
from zoo_core.errors import printable
from zoo_core.tasks import task_named

IMBALANCE = 10  # times that the largest class may be larger than the smallest before it is told
EXAMPLES = ", for example "


def findings(source: Source) -> tuple[str, ...]:
    """Sentences about images that stand in two parts or under two classes, and about classes of very unequal size.

    Images are the same when their content is, whatever they are called.
    """
    train = source.parts["train"]
    told: list[str | None] = []
    if task_named(source.task).single_label:
        told = [_two_classes(train), _imbalance(train, source.classes)]
    first_in_train = {train.images.digest(index): index for index in reversed(range(len(train)))}
    for name, part in source.parts.items():
        if name != "train":
            told.append(_leakage(name, part, train, first_in_train))
    return tuple(text for text in told if text)


def without_examples(finding: str) -> str:
    """A finding without names of files, which may be nobody else's business."""
    return finding.partition(EXAMPLES)[0].removesuffix(".") + "."


def _leakage(name: str, part: Part, train: Part, first_in_train: dict[bytes, int]) -> str | None:
    pairs = [
        (index, first_in_train[digest])
        for index in range(len(part))
        if (digest := part.images.digest(index)) in first_in_train
    ]
    if not pairs:
        return None
    names = [f"{_name(part, own)} is {_name(train, other)}" for own, other in pairs[:2]]
    return (
        f"Leakage: {len(pairs)} of the {len(part)} {name} images are also training images; "
        f"the {name} accuracy is too good{EXAMPLES}{' and '.join(names)}."
    )


def _two_classes(train: Part) -> str | None:
    found: dict[bytes, dict[int, int]] = {}  # content -> class -> the first image of it
    for index, label in enumerate(train.targets):
        found.setdefault(train.images.digest(index), {}).setdefault(int(label), index)
    torn = [of_class for of_class in found.values() if len(of_class) > 1]
    if not torn:
        return None
    names = [" is ".join(_name(train, index) for index in list(of_class.values())[:2]) for of_class in torn[:2]]
    count = "1 training image stands" if len(torn) == 1 else f"{len(torn)} training images stand"
    return f"Contradiction: {count} under more than one class{EXAMPLES}{' and '.join(names)}."


def _imbalance(train: Part, classes: tuple[str, ...]) -> str | None:
    counts = Counter(int(label) for label in train.targets)
    (most, many), (least, few) = counts.most_common(1)[0], min(counts.items(), key=lambda item: item[1])
    if many <= IMBALANCE * few:
        return None
    return (
        f"Imbalance: '{printable(classes[most])}' has {many} training images and '{printable(classes[least])}' has "
        f"{few}. The accuracy says little of small classes; look at each one's share."
    )


def _name(part: Part, index: int) -> str:
    return printable(part.images.name(index))
