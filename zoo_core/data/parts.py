"""The names of parts: train, val and test in folders, in splits of the Hub and in cells of a
table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from zoo_core.tasks.targets import PartName

PART_WORDS: dict[str, PartName] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
SYNONYMS: dict[str, PartName] = {
    **PART_WORDS,
    "training": "train",
    "trn": "train",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "testing": "test",
    "tst": "test",
}
SUFFIX = r"(s|sets?|data|datasets?|images?|imgs?|photos?|pictures?|samples?|split|part|folder)?"  # trainset, testdata
PLAIN = re.compile(f"({'|'.join(sorted(SYNONYMS, key=len, reverse=True))}){SUFFIX}")


@dataclass(frozen=True)
class EarlierSplit:
    """The split of an earlier run, to repeat it: its kind, and whether the run knew groups."""

    kind: str
    is_grouped: bool


def part_named(word: str) -> PartName | None:
    """The part that a word names in small or capital letters, None for any other word."""
    return SYNONYMS.get(word.strip().lower())


def part_within(name: str) -> PartName | None:
    """The part that a longer name mentions, such as "seg_train", "Test Images" or "val2017".

    None where no word of the name is one, or several are.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    matches = [match for word in re.findall(r"[a-z]+", spaced) if (match := PLAIN.fullmatch(word))]
    return SYNONYMS[matches[0][1]] if len(matches) == 1 else None


def find_parts(names: Iterable[str], *, within: bool = False) -> dict[PartName, str]:
    """The names that stand for parts. The words of PART_WORDS come first, then synonyms, then
    longer names.

    A synonym or a longer name counts only where it is alone for its part; longer names only with
    `within`. Raises ValueError, whose two arguments are names, when two words of PART_WORDS are one
    part.
    """
    names = list(names)
    found: dict[PartName, str] = {}
    for name in names:
        part = PART_WORDS.get(name.lower())
        if part and part in found:
            raise ValueError(found[part], name)
        if part:
            found[part] = name
    for meaning in (part_named, part_within)[: 2 if within else 1]:
        others = [(name, meaning(name)) for name in names if name not in found.values()]
        for name, part in others:
            if part and part not in found and [other for _, other in others].count(part) == 1:
                found[part] = name
    return found
