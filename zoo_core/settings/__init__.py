"""The settings of a fine-tune: each is declared once, at its field of `FinetuneConfig`."""

from zoo_core.settings.config import FinetuneConfig
from zoo_core.settings.files import RULES_BEFORE, read_settings
from zoo_core.settings.plain import GIVEN_AUGMENT, IN_MEMORY, augment_text
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
    "GIVEN_AUGMENT",
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
    "augment_text",
    "read_settings",
]
