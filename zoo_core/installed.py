"""Which plugins are installed: the entry points of the group `zoo`.

Reading the metadata of every installed distribution costs a third of a listing's time. What was found is kept in the
cache with the modification times of the folders it was found in: pip changes them whenever it installs or removes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from zoo_core.errors import ZooError
from zoo_core.paths import cache_dir, write_text

GROUP = "zoo"


@dataclass(frozen=True)
class InstalledPlugin:
    """One entry point and the distribution that declares it."""

    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import what the entry point names, a module or something in it."""
        module, _, attribute = self.value.partition(":")
        found: Any = importlib.import_module(module.strip())
        for part in filter(None, attribute.strip().split(".")):
            found = getattr(found, part)
        return found


def installed_plugins() -> list[InstalledPlugin]:
    """All entry points of the group, by distribution and name."""
    folders = _folders()
    index = cache_dir() / "plugins" / f"{crc32(repr(sorted(folders)).encode()):08x}.json"
    known = _read(index, folders)
    if known is not None:
        return known
    found = sorted(_scan(), key=lambda plugin: (plugin.distribution, plugin.name))
    with suppress(ZooError):  # a cache that cannot be written costs time, nothing else
        write_text(index, json.dumps({"folders": folders, "plugins": [asdict(plugin) for plugin in found]}))
    return found


def _folders() -> dict[str, int]:
    """The folders on the import path with their modification times."""
    times = {}
    for name in sys.path:
        try:
            times[name or os.getcwd()] = os.stat(name or ".").st_mtime_ns
        except OSError:
            continue
    return times


def _read(index: Path, folders: dict[str, int]) -> list[InstalledPlugin] | None:
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        if known["folders"] != folders:
            return None
        return [InstalledPlugin(**plugin) for plugin in known["plugins"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _scan() -> list[InstalledPlugin]:
    from importlib.metadata import entry_points

    found = []
    for point in entry_points(group=GROUP):
        name, version = (point.dist.metadata["Name"], point.dist.version) if point.dist else ("unknown", "unknown")
        found.append(InstalledPlugin(point.name, point.value, name, version))
    return found
