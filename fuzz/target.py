"""A target of the fuzzer: a reader, good inputs for it, a way to damage them, and the rules for its answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz.mutations import damaged

Damage = Callable[[bytes, random.Random], bytes]


class WrongAnswer(AssertionError):
    """A reader answered with something else than was written, and did not say so."""


@dataclass(frozen=True)
class Case:
    """A target that is ready to be tried."""

    seeds: tuple[bytes, ...]
    """Good inputs, which `check` accepts."""
    check: Callable[[bytes], object]
    """Reads an input. Raises ZooError where the reader refuses it, WrongAnswer where it answers wrongly."""
    damage: Damage = damaged


@dataclass(frozen=True)
class Target:
    """A reader and the bounds of one input."""

    name: str
    open: Callable[[Path], Case]
    """Makes the case, in an empty folder that is its own."""
    weight: int
    """Inputs of this target for each one of the slowest targets."""
    seconds: float
    """The processor time that one input may take."""
    mebibytes: int
    """The memory that an input may take beyond what the process held before."""


TARGETS: dict[str, Target] = {}


def target(
    name: str, *, weight: int = 4, seconds: float = 1, mebibytes: int = 128
) -> Callable[[Callable[[Path], Case]], Callable[[Path], Case]]:
    """Register a function that makes a case as a target."""

    def register(make: Callable[[Path], Case]) -> Callable[[Path], Case]:
        TARGETS[name] = Target(name, make, weight, seconds, mebibytes)
        return make

    return register


def expect(holds: bool, fault: str) -> None:
    """Raise WrongAnswer unless a rule holds."""
    if not holds:
        raise WrongAnswer(fault)


def fresh(path: Path, content: bytes) -> Path:
    """Write a new file in place of an old one, which may still be mapped."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return path
