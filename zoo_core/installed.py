"""The installed plugins: the entry points of the group `zoo`.

Reading the metadata of every installed distribution takes a third of a listing's time. The result
is cached under the modification times of the folders on the import path, which pip changes whenever
it installs or removes a distribution.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

from zoo_core.errors import PluginError, reason_of
from zoo_core.json_index import read_index, write_index
from zoo_core.paths import cache_folder, import_folders

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "zoo"


@dataclass(frozen=True)
class InstalledPlugin:
    """One entry point and the distribution that declares it."""

    name: str
    value: str
    distribution: str
    version: str
    damage: str = ""

    def __post_init__(self) -> None:
        """Raises TypeError for values from a cache that are no texts."""
        if not all(isinstance(text, str) for text in astuple(self)):
            raise TypeError("not texts")

    @property
    def module(self) -> str:
        """The name of the module."""
        return self.value.partition(":")[0].strip()

    def load(self) -> Any:
        """Import the module, or the object in it, that the entry point names. Raises any error of
        that import."""
        if self.damage:
            raise PluginError(f"its metadata are damaged: {self.damage}")
        attribute = self.value.partition(":")[2]
        found: Any = importlib.import_module(self.module)
        for part in filter(None, attribute.strip().split(".")):
            found = getattr(found, part)
        return found


def installed_plugins() -> list[InstalledPlugin]:
    """All entry points of the group, by distribution and name."""
    folders = import_folders()
    index = os.path.join(cache_folder(), "plugins", f"{crc32(repr(sorted(folders)).encode()):08x}.json")
    known = read_index(index, folders, lambda plugins: [InstalledPlugin(**plugin) for plugin in plugins])
    if known is not None:
        return known
    found = sorted(_scan(), key=lambda plugin: (plugin.distribution, plugin.name))
    write_index(index, folders, [asdict(plugin) for plugin in found])
    return found


def _scan() -> list[InstalledPlugin]:
    """Read each distribution by itself: damaged metadata of one must not hide the others."""
    from importlib.metadata import distributions

    found: dict[str, list[InstalledPlugin]] = {}
    for distribution in distributions():
        try:
            points = [point for point in distribution.entry_points if point.group == GROUP]
            damage = ""
        except Exception as error:
            points, damage = [], reason_of(error)
        if points or (damage and _names_group(distribution)):
            name, version = _identity(distribution)
            own = [InstalledPlugin(point.name, point.value, name, version) for point in points]
            # the first on the path wins
            found.setdefault(name, own or [InstalledPlugin("unknown", "", name, version, damage)])
    return [plugin for own in found.values() for plugin in own]


def _names_group(distribution: Distribution) -> bool:
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # not even text: nobody can tell whose it is
        return False


def _identity(distribution: Distribution) -> tuple[str, str]:
    try:
        return distribution.metadata["Name"] or "unknown", distribution.version or "unknown"
    except Exception:
        return "unknown", "unknown"
