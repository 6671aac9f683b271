"""The settings of a fine-tune: each is declared once, at its field of `FinetuneConfig`."""

from zoo_core.settings.config import FinetuneConfig
from zoo_core.settings.files import RULES_BEFORE, read_settings
from zoo_core.settings.plain import IN_MEMORY
from zoo_core.settings.resolved import Decision, LrSearch, ResolvedSettings
from zoo_core.settings.words import (
    Augment,
    BadImages,
    Balance,
    BestEpoch,
    CacheType,
    Compile,
    FitChoice,
    Optimizer,
    Precision,
    TaskChoice,
)

__all__ = [
    "IN_MEMORY",
    "RULES_BEFORE",
    "Augment",
    "BadImages",
    "Balance",
    "BestEpoch",
    "CacheType",
    "Compile",
    "Decision",
    "FinetuneConfig",
    "FitChoice",
    "LrSearch",
    "Optimizer",
    "Precision",
    "ResolvedSettings",
    "TaskChoice",
    "read_settings",
]
