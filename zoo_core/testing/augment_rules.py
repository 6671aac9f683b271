"""Rules for augmentations: images of the same kind, and chance from one place alone."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from PIL import Image

from zoo_core.options import parse_options
from zoo_core.specs import AugmentSpec, resolve
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import has_a_name_of_its_own, has_options_that_a_text_can_give
from zoo_core.testing.networks import with_required

SIDES = (1, 8, 33)
VIEWS = 40
"""Enough that one of them differs, where half of all views stay as they are."""


@rule("Return a PIL image of the size and mode that came in, whatever chance draws.")
def keeps_the_size_and_the_mode(spec: AugmentSpec) -> None:
    """Colour and grey squares of any side come back as such, from every view."""
    for mode in ("RGB", "L"):
        for side in SIDES:
            for view in range(VIEWS if side == SIDES[-1] else 3):
                image = _made(spec, _image(mode, side), view)
                told = f"{image.size} {image.mode}" if isinstance(image, Image.Image) else type(image).__name__
                wanted = f"{(side, side)} {mode}"
                assert told == wanted, f"{wanted} gave {told}"


@rule("Draw from `chance` alone: not from `random`, numpy or torch, and from no counter or clock.")
def draws_from_the_given_chance_alone(spec: AugmentSpec) -> None:
    """The same view of the same image has the same pixels, again and in threads."""
    image = _image("RGB", SIDES[-1])
    first = [_made(spec, image.copy(), view).tobytes() for view in range(VIEWS)]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda view: _made(spec, image.copy(), view).tobytes(), range(VIEWS)))
    changed = [view for view in range(VIEWS) if first[view] != again[view]]
    assert not changed, f"{len(changed)} of {VIEWS} views have other pixels when they are computed again"


@rule("Leave the generators of Python, numpy and torch as they are: a training draws from them.")
def leaves_other_generators_alone(spec: AugmentSpec) -> None:
    """The random numbers of a training do not depend on the augmentation."""
    before = states_of_generators()
    for view in range(VIEWS):
        _made(spec, _image("RGB", SIDES[-1]), view)
    names = [name for name, state in states_of_generators().items() if state != before[name]]
    assert not names, f"it draws from the generator of {' and '.join(names)}"


@rule("Change the image, at least in some views.")
def changes_some_view(spec: AugmentSpec) -> None:
    """Of 40 views at least one differs from the image."""
    image = _image("RGB", SIDES[-1])
    views = range(VIEWS)
    assert any(_made(spec, image.copy(), view).tobytes() != image.tobytes() for view in views), "no view differs"


def _made(spec: AugmentSpec, image: Image.Image, view: int) -> Any:
    options: Any = parse_options(spec.name, spec.options, with_required(spec.options, ""))
    return resolve(spec.apply)(options, image, random.Random(f"zoo/{view}"))


def _image(mode: str, side: int) -> Image.Image:
    """A photo of noise, whose pixels all differ from those beside them."""
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, shape, np.uint8))


def states_of_generators() -> dict[str, str]:
    return {
        "Python": str(random.getstate()),
        "numpy": str(np.random.get_state()),  # the one that others share
        "torch": str(torch.get_rng_state().tolist()),
    }


AUGMENT_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    keeps_the_size_and_the_mode,
    draws_from_the_given_chance_alone,
    leaves_other_generators_alone,
    changes_some_view,
)
