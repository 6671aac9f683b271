"""The augmentation of training images: a crop and flip of the resized image, then operations on the
square.

`crop+flip+color:strength=0.2+rotate` is a chain of names of the catalog with their options. A crop
and a flip at its beginning are taken from the resized image, so that nothing is resized twice; all
other operations get the square of bytes, in the order of the chain.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from PIL import Image

from zoo_core.catalog import Catalog, Choice, attributing_errors, owner_of
from zoo_core.data.transforms import CENTRE, Geometry, Pixels, as_image, as_pixels
from zoo_core.discovery import CORE
from zoo_core.errors import PluginError, UsageError, brief, reason_of, shown
from zoo_core.settings import GIVEN_AUGMENT, Augment, FinetuneConfig, augment_text
from zoo_core.spec_checks import AUGMENT_WORDS
from zoo_core.specs import AugmentSpec, resolve

LINK = re.compile(r"\+(?=\s*[A-Za-z]|\s*$|\s*\+)")
"""A + between two operations; those in the value of an option (`1e+3`, `4+8`) precede a digit."""
GEOMETRY = ("crop", "flip")
"""The operations of core that are taken from the resized image at the beginning of a chain."""
EXAMPLE = "crop+flip+color+rotate:degrees=10"

Change = Callable[[Image.Image, random.Random], Image.Image]


@dataclass(frozen=True)
class Operation:
    """A change of a square image, chosen by name, or a function of a program."""

    text: str
    """The name and options by which it is chosen; of a function its name."""
    change: Change
    choice: Choice[AugmentSpec] | None = None
    """None: a function of a program."""

    @property
    def name(self) -> str:
        return self.text if self.choice is None else self.choice.spec.name

    def __call__(self, image: Image.Image, view: int, digest: bytes) -> Image.Image:
        """The changed image of a view. Each operation draws from a seed of its own, so that others
        in the chain change none of its draws.

        Raises PluginError or UsageError, which name the operation, where it fails.
        """
        chance = random.Random(f"{digest.hex()}/{view}/{self.name}")
        if self.choice is None:
            try:
                made = self.change(image, chance)
            except Exception as error:
                raise UsageError(f"the augmentation {self.text} failed: {reason_of(error)}.") from error
        else:
            with attributing_errors(self.choice.entry):
                made = self.change(image, chance)
        if not isinstance(made, Image.Image) or (made.size, made.mode) != (image.size, image.mode):
            self._refuse(made, image)
        return made

    def _refuse(self, made: object, image: Image.Image) -> None:
        found = _kind(made) if isinstance(made, Image.Image) else brief(made)
        subject = f"the augmentation {self.text}" if self.choice is None else owner_of(self.choice.entry)
        told = f"{subject} gave {found} for {_kind(image)}. It has to return a PIL image of the same size and mode."
        raise UsageError(told) if self.choice is None else PluginError(told)


@dataclass(frozen=True)
class Augmentation:
    """The variation of training images: a crop and flip of the resized image, then operations."""

    geometry: Geometry = "none"
    operations: tuple[Operation, ...] = ()

    @property
    def text(self) -> str:
        """The setting that makes it again."""
        if not self.operations:
            return self.geometry
        first = () if self.geometry == "none" else self.geometry.split("-")
        return "+".join([*first, *(operation.text for operation in self.operations)])

    @property
    def choices(self) -> tuple[Choice[AugmentSpec], ...]:
        """The operations that were chosen from the catalog."""
        return tuple(one.choice for one in self.operations if one.choice is not None)

    def changed(self, square: Pixels, view: int, digest: bytes) -> Pixels:
        """The pixels of a view after all operations; `digest` stands for the image's content. The
        view of evaluation stays as it is."""
        if view == CENTRE or not self.operations:
            return square
        image = as_image(square)
        for operation in self.operations:
            image = operation(image, view, digest)
        return as_pixels(image)


UNCHANGED = Augmentation()
"""Every view is the centre crop."""


def chosen_augmentation(augment: Augment, catalog: Catalog) -> Augmentation | None:
    """The augmentation that a setting names, or the function that it is; None for "auto".

    Raises as `augmentation_named` does.
    """
    if isinstance(augment, str):
        return None if augment == "auto" else augmentation_named(augment, catalog)
    return Augmentation(operations=(Operation(augment_text(augment), augment),))


def augmentation_named(text: str, catalog: Catalog) -> Augmentation:
    """The augmentation of a chain of names, or of "none".

    Raises UsageError for a chain that cannot be: an unknown name, impossible options, an operation
    that stands twice.
    """
    if text == "none":
        return UNCHANGED
    if text.startswith(GIVEN_AUGMENT):
        raise UsageError(
            "the augmentation of this run is a function that a program handed over, and no name leads to it. Give it "
            "again: zoo_core.resume(run, augment=...). `--augment` takes others."
        )
    parts = _parts(text)
    return _chain(parts, [_chosen(part, catalog) for part in parts], text)


def with_augmentation(config: FinetuneConfig, catalog: Catalog) -> tuple[FinetuneConfig, Augmentation | None]:
    """The augmentation of a config, and the config with the one text that stands for it.

    Raises as `chosen_augmentation` does.
    """
    chosen = chosen_augmentation(config.augment, catalog)
    return (config if chosen is None else replace(config, augment=chosen.text)), chosen


def _parts(text: str) -> list[str]:
    """The operations of a chain, "crop-flip" as the two that it means."""
    parts = [part.strip() for part in LINK.split(text)]
    if not all(parts):
        raise UsageError(f"'{shown(text)}' lacks a name beside a +. An augmentation is a chain such as {EXAMPLE}.")
    alone = [part for part in parts if part in ("auto", "none")]
    if alone:
        raise UsageError(f"'{alone[0]}' stands alone, and not in '{shown(text)}'. Leave it out, or the others.")
    return [word for part in parts for word in (part.split("-") if part in AUGMENT_WORDS else [part])]


def _chosen(part: str, catalog: Catalog) -> Choice[AugmentSpec]:
    """The operation of a part of a chain. Crop and flip alone are those of core, whatever plugins
    name so: every default and every run of zoo 0.1 has them."""
    return catalog.augmentation(f"{CORE}:{part}" if part in GEOMETRY else part)


def _chain(parts: Sequence[str], choices: Sequence[Choice[AugmentSpec]], text: str) -> Augmentation:
    names = [choice.spec.name for choice in choices]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"'{twice}' stands twice in '{shown(text)}'. Leave one out.")
    first = 0
    while first < len(choices) and choices[first].entry.distribution == CORE and names[first] in GEOMETRY:
        first += 1
    geometry: Any = "-".join(sorted(names[:first])) or "none"
    return Augmentation(geometry, tuple(map(_operation, parts[first:], choices[first:])))


def _operation(part: str, choice: Choice[AugmentSpec]) -> Operation:
    owner = f"{choice.entry.distribution}:"
    text = f"{owner}{choice}" if part.startswith(owner) else str(choice)  # the name alone may be that of two
    return Operation(text, partial(resolve(choice.spec.apply), choice.options), choice)


def _kind(image: Image.Image) -> str:
    return f"an image of {image.width}x{image.height} pixels in the mode {image.mode}"
