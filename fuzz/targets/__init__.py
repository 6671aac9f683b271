"""All targets: the readers of everything that may come from outside, or that lies on a disk."""

from fuzz.target import TARGETS as TARGETS
from fuzz.targets import caches, checkpoints, compared, hub, images, registry, runs, settings, shards, tables, weights

__all__ = [
    "TARGETS",
    "caches",
    "checkpoints",
    "compared",
    "hub",
    "images",
    "registry",
    "runs",
    "settings",
    "shards",
    "tables",
    "weights",
]
