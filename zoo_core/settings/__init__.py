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

__all__ = [
    "IN_MEMORY",
    "Augment",
    "BadImages",
    "CacheType",
    "Compile",
    "FinetuneConfig",
    "Optimizer",
    "Precision",
    "TaskChoice",
    "read_settings",
]
