"""Warnings about a data set that its user should read before believing a score measured on it."""

from __future__ import annotations

from collections import Counter

from zoo_core.data.sources import Part, PartName, Source
from zoo_core.errors import printable
from zoo_core.tasks import task_named

IMBALANCE = 10  # the largest class has more than so many times the images of the smallest
MAX_NAMED = 5  # classes or labels in a sentence
EXAMPLES = ", for example "
LEAKING = {"train": "training images", "val": "validation images, which choose the best epoch"}


def findings(source: Source) -> tuple[str, ...]:
    """Sentences about images in two parts or under two classes, and about very unequal classes.

    Images are the same when their contents are, whatever their names.
    """
    train = source.parts["train"]
    sentences: list[str | None] = [*source.notes]
    if task_named(source.task).single_label:
        uneven = imbalance(train, source.classes)
        sentences += [_two_classes(train), uneven and f"Imbalance: {uneven}"]
    for name, part in source.parts.items():
        if name != "train":
            sentences += [_leakage(source, name, "train"), _unmeasured(name, part, source)]
    if "test" in source.parts and "val" in source.parts:
        sentences.append(_leakage(source, "test", "val"))
    return tuple(text for text in sentences if text)


def without_examples(finding: str) -> str:
    """A finding without the names of files, which are nobody else's business."""
    return finding.partition(EXAMPLES)[0].removesuffix(".") + "."


def _leakage(source: Source, name: PartName, other_name: PartName) -> str | None:
    """A warning when a part holds images of another one, that the model was made with."""
    part, other = source.parts[name], source.parts[other_name]
    first = {other.images.digest(index): index for index in reversed(range(len(other)))}
    pairs = [(index, first[digest]) for index in range(len(part)) if (digest := part.images.digest(index)) in first]
    if not pairs:
        return None
    names = [f"{_name(part, own)} is {_name(other, twin)}" for own, twin in pairs[:2]]
    return (
        f"Leakage: {len(pairs)} of the {len(part)} {name} images are also {LEAKING[other_name]}; "
        f"the {name} {task_named(source.task).metric.short} is too good{EXAMPLES}{' and '.join(names)}."
    )


def _unmeasured(name: str, part: Part, source: Source) -> str | None:
    task = task_named(source.task)
    found = task.occurring(part.targets, len(source.classes))
    missing = [f"'{printable(own)}'" for own, occurs in zip(source.classes, found, strict=True) if not occurs]
    if not missing:
        return None
    rest = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    word = task.output if len(missing) == 1 else task.outputs
    return f"Unmeasured: no {name} image has the {word} {', '.join(missing[:MAX_NAMED])}{rest}."


def _two_classes(train: Part) -> str | None:
    found: dict[bytes, dict[int, int]] = {}  # content -> class -> its first image
    for index, label in enumerate(train.targets):
        found.setdefault(train.images.digest(index), {}).setdefault(int(label), index)
    contradictory = [of_class for of_class in found.values() if len(of_class) > 1]
    if not contradictory:
        return None
    names = [
        " is ".join(_name(train, index) for index in list(of_class.values())[:2]) for of_class in contradictory[:2]
    ]
    total = len(contradictory)
    count = "1 training image stands" if total == 1 else f"{total} training images stand"
    return f"Contradiction: {count} under more than one class{EXAMPLES}{' and '.join(names)}."


def imbalance(train: Part, classes: tuple[str, ...]) -> str | None:
    """A sentence when the largest class has more than IMBALANCE times the images of the smallest."""
    counts = Counter(int(label) for label in train.targets)
    (most, many), (least, few) = counts.most_common(1)[0], min(counts.items(), key=lambda item: item[1])
    if many <= IMBALANCE * few:
        return None
    return (
        f"'{printable(classes[most])}' has {many} training images and '{printable(classes[least])}' has "
        f"{few}. The accuracy says little of small classes; look at each one's share."
    )


def _name(part: Part, index: int) -> str:
    return printable(part.images.name(index))
