"""A config as plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Self

from zoo_core.errors import UsageError, brief
from zoo_core.settings.fields import DataInMemory, by_field_name
from zoo_core.settings.words import Augment

IN_MEMORY = "in-memory data"
"""The `data` in the config of a run whose images a program handed over: no path leads there."""


GIVEN_AUGMENT = "function of a program"
"""The beginning of `augment` in the config of a run whose augmentation a program handed over."""


def augment_text(augment: Augment) -> str:
    """`augment` as a text; of a function the name of its code."""
    if isinstance(augment, str):
        return augment
    named: Any = augment if hasattr(augment, "__qualname__") else type(augment)
    return f"{GIVEN_AUGMENT}: {named.__module__}.{named.__qualname__}"


class PlainData:
    """The reading and writing of a dataclass of settings, which names its `backbone` and `data`."""

    data: str | DataInMemory
    augment: Augment

    @property
    def data_text(self) -> str:
        """`data` as a text; of data in memory a title."""
        return self.data if isinstance(self.data, str) else IN_MEMORY

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, from which `from_dict` makes an equal config; data in memory: a
        title, and of a function its name."""
        named: Any = self  # a dataclass, which this mixin is not
        return asdict(replace(named, data=self.data_text, augment=augment_text(self.augment)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the data of `to_dict` or of a config file: names of fields, or spellings of options.

        Raises UsageError for an unknown setting, a missing one and a wrong value.
        """
        values = by_field_name(cls, data)
        if "backbone" not in values:
            raise UsageError("a config needs the setting 'backbone'. `zoo list` shows all backbones.")
        if not isinstance(values.get("data", ""), str):
            raise UsageError(f"data must be a text, got {brief(values['data'])}.")
        return cls(**values)
