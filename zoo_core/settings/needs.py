"""The properties of a run without which a setting has no effect, so that none is ignored in silence.

A setting names its needs where it is declared; `idle` finds those that a run lacks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from zoo_core.errors import UsageError
from zoo_core.settings.fields import settings_of


class Need(Enum):
    """A property of a run, and the end of the sentence about a setting where the run lacks it."""

    SPLIT = "has no effect: the data have a val part of their own"
    STEPS = "has no effect: the head is solved at once, and nothing else is trained"
    VALIDATION = "has no effect: no image is held out to validate with, so the last epoch counts"
    MEASURED = "has no effect: no image is held out to be measured"
    VIEWS = "has no effect: every epoch sees each image as it is, in one view (--cached-views)"
    TRAINED_STAGES = "has no effect: no stage of the backbone is trained"
    KEPT_ACTIVATIONS = "has no effect: stages that are computed again (--gradient-checkpointing) are not compiled"
    TRAINED_WEIGHTS = "has no effect: none of the backbone's own weights are trained"
    CACHED_FEATURES = "has no effect: no features are cached"
    CACHE = "has no effect: nothing is cached, for no stage is frozen and no image is read twice"
    MAPS = "cuts nothing out: pooled features have no places, so they are blended as --mixup blends"


def idle(config: Any, lacking: Collection[Need], usual: Mapping[str, Any]) -> list[str]:
    """Sentences about the settings of a config that have no effect in a run that is `lacking` some needs.

    A setting at its default, or at the value that the run would have chosen (`usual`), is not spoken
    of. Raises UsageError for those that are refused where their need is lacking.
    """
    sentences, refused = [], []
    for name, declared in settings_of(type(config)).items():
        value = getattr(config, name)
        if value == declared.default or value == usual.get(name, declared.default):
            continue
        if any(need in lacking for need in declared.requires):
            refused.append(f"--{declared.option}")
        sentences += [f"--{declared.option} {need.value}." for need in declared.needs if need in lacking][:1]
    if refused:
        raise UsageError(
            f"the head is solved, not trained step by step, and nothing else is trained: leave out {', '.join(refused)}."
        )
    return sentences
