"""A config as plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Self

from zoo_core.errors import UsageError, brief
from zoo_core.settings.fields import DataInMemory, by_field_name

IN_MEMORY = "in-memory data"
"""The `data` in the config of a run whose images a program handed over: no path leads there."""


class PlainData:
    """The reading and writing of a dataclass of settings, which names its `backbone` and `data`."""

    data: str | DataInMemory

    @property
    def data_text(self) -> str:
        """`data` as a text; of data in memory a title."""
        return self.data if isinstance(self.data, str) else IN_MEMORY

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, from which `from_dict` makes an equal config; data in memory: a
        title."""
        named: Any = self  # a dataclass, which this mixin is not
        return asdict(replace(named, data=self.data_text))

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
