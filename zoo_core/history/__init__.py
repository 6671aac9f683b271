"""The architectures in order of year, and the winners of the ImageNet challenge.

The networks come from the specs of plugins: those that say what was new in them. The challenge's
figures are in `resources/challenge.json`, each with its source. The two kinds of error are never
mixed: the challenge's are those of entries on its test images, those of a network are measured with
the weights that zoo gives, one network on one crop of the validation images.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from zoo_core.catalog import Catalog
from zoo_core.specs import BackboneSpec


@dataclass(frozen=True)
class Network:
    """An architecture with its new idea."""

    name: str
    year: int
    novelty: str
    params: int | None
    gmacs: float | None
    top5_error: float | None
    """Percent, with the first weights that have a figure: one network on one crop of ImageNet's
    validation images."""
    weights: str | None
    """The weights that `top5_error` was measured with."""
    paper: str | None
    plugin: str


@dataclass(frozen=True)
class ChallengeYear:
    """A year of the challenge. Errors are top-5 in percent, on its test images."""

    year: int
    winner: str
    learned: bool
    """Whether the winner's features were learned rather than made by hand."""
    error: float
    """On the challenge's own training images alone."""
    outside: float | None
    """The error of an entry that was trained on outside data too."""
    second: str | None
    second_error: float | None
    backbone: str | None
    """The backbone of zoo that has the winner's architecture."""
    source: str


@dataclass(frozen=True)
class History:
    """The networks by year, the years of the challenge, and the notes on both."""

    networks: tuple[Network, ...]
    about: str
    challenge: tuple[ChallengeYear, ...]
    notes: tuple[str, ...]


def history(catalog: Catalog) -> History:
    """The history that the installed plugins tell."""
    told: dict[str, Any] = json.loads((files("zoo_core") / "resources" / "challenge.json").read_text("utf-8"))
    networks = [
        _network(entry.spec, entry.distribution) for entry in catalog.entries(BackboneSpec) if entry.spec.novelty
    ]
    return History(
        networks=tuple(sorted(networks, key=lambda one: (one.year, one.name))),
        about=told["about"],
        challenge=tuple(ChallengeYear(**year) for year in told["years"]),
        notes=tuple(told["notes"]),
    )


def _network(spec: BackboneSpec, plugin: str) -> Network:
    measured = [ref for ref in spec.weights if ref.classes == "imagenet-1k" and ref.top5 is not None]
    first = measured[0] if measured else None
    return Network(
        name=spec.name,
        year=spec.year or 0,
        novelty=spec.novelty,
        params=spec.params,
        gmacs=spec.gmacs,
        top5_error=None if first is None or first.top5 is None else round(100 - first.top5, 3),
        weights=None if first is None else first.tag,
        paper=str(spec.paper) if spec.paper else None,
        plugin=plugin,
    )
