"""Commands as text that a shell takes: the next step of a comparison or an advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.wording import quoted


def command(name: str, values: Mapping[str, Any]) -> str:
    """`zoo NAME` with options: values of settings by the names of their fields, and of the
    command's own options."""
    settings = settings_of(FinetuneConfig)
    options = []
    for field, value in values.items():
        flag = f"--{settings[field].option if field in settings else field}"
        is_flag = field in settings and settings[field].is_flag
        options.append(flag if is_flag else f"{flag} {quoted(str(value))}")
    return " ".join([f"zoo {name}", *options])
