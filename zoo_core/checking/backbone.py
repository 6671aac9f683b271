"""The backbone whose features a check compares, where nobody names one."""

from __future__ import annotations

from zoo_core.catalog import Catalog
from zoo_core.specs import BackboneSpec
from zoo_core.weights.fetch import on_this_machine

MOST_GMACS = 20.0
"""Larger networks, and those that do not say their size, are not chosen unasked. A core computes
some 50 billion products a second, so that a thousand images take minutes with them."""


def best_on_this_machine(catalog: Catalog) -> str | None:
    """The backbone whose default weights have the highest accuracy on ImageNet, of those that need
    no network to be loaded and have at most MOST_GMACS; None where there is none."""
    found = [
        (ref.top1, entry.spec.name)
        for entry in catalog.entries(BackboneSpec)
        for ref in entry.spec.weights[:1]
        if ref.top1 is not None
        and ref.classes == "imagenet-1k"
        and (entry.spec.gmacs is not None and entry.spec.gmacs <= MOST_GMACS)
        and any(on_this_machine(source) for source in ref.sources)
    ]
    return max(found)[1] if found else None
