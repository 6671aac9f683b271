"""The key of an augmentation: features of its views are found again only where it is the same."""

from __future__ import annotations

import uuid

from zoo_core.data.augmentation import Augmentation, Operation
from zoo_core.discovery import CORE
from zoo_core.frozen.code import code_digest


def view_identity(augmentation: Augmentation) -> str:
    """A text that is equal only for augmentations that make the same views.

    The geometry alone, as zoo 0.1 wrote it, where nothing follows. Each operation adds its options
    and its code: the version of zoo's operations and torchvision, or a digest of a plugin's
    modules. A function that a program hands over cannot be compared: it gets an identity that never
    occurs again.
    """
    return " ".join([augmentation.geometry, *map(_identity, augmentation.operations)])


def _identity(operation: Operation) -> str:
    choice = operation.choice
    if choice is None:
        return uuid.uuid4().hex
    if choice.entry.distribution == CORE:
        from zoo_core.data.operations import VERSION  # which imports torchvision

        code = VERSION
    else:
        module, _, _ = choice.spec.apply.partition(":")  # that names it: a partial is of functools
        code = f"{choice.entry.version} {code_digest({module})}"
    return f"{choice.entry.distribution}:{choice.spec.name} {choice.options!r} {code}"
