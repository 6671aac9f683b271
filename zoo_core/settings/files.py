"""Config files: settings in TOML, in JSON, or in the config.json of a run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_core.errors import UsageError, reason_of
from zoo_core.paths import user_path
from zoo_core.settings.config import FinetuneConfig
from zoo_core.settings.fields import by_field_name
from zoo_core.settings.words import USUAL_LAYOUT

RULES_BEFORE = {"best_epoch": "highest", "step_layout": USUAL_LAYOUT, "tiles": "frozen"}
"""Values of settings that the configs of earlier versions do not name, as they had them."""
MAX_BYTES = 8 * 2**20
"""The largest file that is read: a run's config.json names each of its classes."""


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a config file, a run's config.json or a run directory, by field name.

    A run's own directory is left out, so that its settings make a new run. The values are not
    checked: `FinetuneConfig` checks them. Raises UsageError that names the file and the fault.
    """
    path = user_path(path)
    path = path / "config.json" if path.is_dir() else path
    data = _read(path)
    if not isinstance(data, Mapping):
        raise UsageError(f"{path} holds no settings by name, but {type(data).__name__}.")
    if "format" in data and isinstance(data.get("config"), Mapping):
        data = {**RULES_BEFORE, **{name: value for name, value in data["config"].items() if name != "out"}}
    return by_field_name(FinetuneConfig, data)


def _read(path: Path) -> Any:
    try:
        if not path.is_file():
            raise UsageError(f"there is no config file {path}.")
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES // 2**20} MiB; zoo does not read that.")
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, JSON or TOML
        raise UsageError(
            f"{path} cannot be read as {'JSON' if path.suffix == '.json' else 'TOML'}: {reason_of(error)}"
        ) from error
