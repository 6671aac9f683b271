"""The settings of a fine-tune: each is declared once, at its field of `FinetuneConfig`."""

from zoo_core.settings.config import (
    IN_MEMORY,
    Augment,
    BadImages,
    CacheType,
    Compile,
    FinetuneConfig,
    Optimizer,
    Precision,
    TaskChoice,
)
from zoo_core.settings.files import read_settings
from zoo_core.settings.resolved import Decision, ResolvedSettings

__all__ = [
    "IN_MEMORY",
    "Augment",
    "BadImages",
    "CacheType",
    "Compile",
    "Decision",
    "FinetuneConfig",
    "Optimizer",
    "Precision",
    "ResolvedSettings",
    "TaskChoice",
    "read_settings",
]
