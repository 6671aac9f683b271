"""Data sets of the Hub to practise with, by short names: `--data mnist`.

Sizes and licences are those that the sets' pages state. zoo checks neither, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zoo_core.options import split_name

HUB = "hf:"
UNCHECKED = "sizes and licence as its page states them, not checked"


@dataclass(frozen=True)
class PracticeSet:
    """A data set of the Hub. `images` counts those of the splits that its page counts, `licence` is
    None where the page states none, and `options` name its columns where their names are not the
    usual ones."""

    name: str
    address: str
    summary: str
    images: dict[str, int]
    classes: int
    licence: str | None
    options: dict[str, str] = field(default_factory=dict)
    is_counted: bool = True
    """Whether the splits that are counted are all."""

    @property
    def source(self) -> str:
        """The set as `--data` names it without its short name."""
        return HUB + self.address + _told(self.options)

    @property
    def url(self) -> str:
        return f"https://huggingface.co/datasets/{self.address}"

    @property
    def licence_in_words(self) -> str:
        return f"{self.licence or 'unknown'} (not checked)"

    @property
    def note(self) -> str:
        """A sentence on its size and licence, for whoever trains on it."""
        sizes = " and ".join(f"{count:,} {split}" for split, count in self.images.items())
        return f"Data: {self.source} has {sizes} images; its licence is {self.licence or 'unknown'} ({UNCHECKED})."

    def source_with(self, options: str) -> str:
        """The source with options of the caller's, which win over its own."""
        given = {key: value for key, _, value in (text.partition("=") for text in filter(None, options.split(",")))}
        own = {key: value for key, value in self.options.items() if key not in given}
        return HUB + self.address + _told({**given, **own})


def _told(options: dict[str, str]) -> str:
    words = (f"{key}={value}" if value else key for key, value in options.items())
    return ":" + ",".join(words) if options else ""


PRACTICE = (
    PracticeSet("mnist", "ylecun/mnist", "handwritten digits, 28x28", {"train": 60_000, "test": 10_000}, 10, "MIT"),
    PracticeSet(
        "fashion-mnist",
        "zalando-datasets/fashion_mnist",
        "clothes, 28x28: the bundled set, whole",
        {"train": 60_000, "test": 10_000},
        10,
        "MIT",
    ),
    PracticeSet(
        "cifar10", "uoft-cs/cifar10", "animals and vehicles, 32x32", {"train": 50_000, "test": 10_000}, 10, None
    ),
    PracticeSet(
        "cifar100",
        "uoft-cs/cifar100",
        "things of 100 kinds, 32x32",
        {"train": 50_000, "test": 10_000},
        100,
        None,
        {"image": "img", "label": "fine_label"},
    ),
    PracticeSet(
        "oxford-iiit-pet",
        "timm/oxford-iiit-pet",
        "breeds of cats and dogs",
        {"train": 3_680, "test": 3_669},
        37,
        "CC BY-SA 4.0",
        {"image": "image", "label": "label"},
    ),
    PracticeSet("food101", "ethz/food101", "dishes", {"train": 75_750, "validation": 25_250}, 101, None),
    PracticeSet(
        "beans",
        "AI-Lab-Makerere/beans",
        "leaves of bean plants, healthy and ill",
        {"train": 1_034, "validation": 133, "test": 128},
        3,
        "MIT",
        {"label": "labels"},
    ),
    PracticeSet(
        "resisc45",
        "timm/resisc45",
        "places from above, by satellite",
        {"train": 18_900, "test": 6_300},
        45,
        None,
        is_counted=False,
    ),
)
BY_NAME = {one.name: one for one in PRACTICE}


def practice_set(data: str) -> tuple[PracticeSet, str] | None:
    """The set that a text such as "cifar100" or "mnist:streaming=yes" names, with its whole source;
    None for any other."""
    name, options = split_name(data)
    known = BY_NAME.get(name)
    return None if known is None else (known, known.source_with(options))
