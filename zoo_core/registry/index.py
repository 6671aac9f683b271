"""The index of known plugins: the one that zoo carries, or a newer one that the user has fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from zoo_core.discovery import normalised
from zoo_core.errors import ZooError, printable
from zoo_core.json_checks import as_mapping
from zoo_core.paths import MAX_JSON_BYTES, cache_dir, written_whole
from zoo_core.registry.entries import KnownPlugin, Release, checked_date, read_plugin, upgraded

BUNDLED = Path(__file__).parents[1] / "resources" / "registry.json"
SHAPES = (1, 2)
"""The shapes that are read: the first had names and no versions."""
MAX_PLUGINS = 10_000  # 800 bytes for each in the largest file that is read


@dataclass(frozen=True)
class Index:
    """Plugins, ordered by name, and the day on which they were last changed."""

    date: str
    """As 2026-11-26; empty in an index of the first shape."""
    plugins: tuple[KnownPlugin, ...]

    def named(self, distribution: str) -> KnownPlugin | None:
        """The plugin of a distribution, whose name may be written as pip takes it."""
        wanted = normalised(distribution)
        return next((one for one in self.plugins if normalised(one.distribution) == wanted), None)

    def providing(self, kind: str, name: str) -> tuple[KnownPlugin, Release] | None:
        """The plugin and its newest release with this backbone (head ...), one that can be
        installed here if there is any."""
        found = [
            (plugin, release)
            for plugin in self.plugins
            for release in plugin.releases
            if name in release.names.get(kind, ())
        ]
        return min(found, key=lambda one: one[1].obstacle is not None, default=None)


def known_plugins() -> Index:
    """The newer of the two indexes, by their dates; the user's where both are of one day, with the
    bundled plugins that it lacks. One that cannot be read counts as missing."""
    own, bundled = user_index(), _bundled()
    with suppress(ZooError, OSError):
        fetched = _read_file(own, _stamp(own))
        if fetched.date >= bundled.date:
            return _with_bundled(fetched, bundled)
    return bundled


def first_party() -> tuple[str, ...]:
    """The distributions in zoo's source, of which no package index has one."""
    return tuple(plugin.distribution for plugin in _bundled().plugins if plugin.releases[0].is_of_source)


def _with_bundled(fetched: Index, bundled: Index) -> Index:
    """The fetched index with each bundled plugin that it lacks, or that it takes from a package
    index though zoo's source has it: a stranger could take that name there."""
    own = {normalised(name) for name in first_party()}
    plugins = {normalised(plugin.distribution): plugin for plugin in bundled.plugins}
    for plugin in fetched.plugins:
        name = normalised(plugin.distribution)
        if name not in own or not any(release.is_on_index for release in plugin.releases):
            plugins[name] = plugin
    return Index(fetched.date, tuple(sorted(plugins.values(), key=lambda plugin: plugin.distribution)))


def _bundled() -> Index:
    return _read_file(BUNDLED, _stamp(BUNDLED))


def user_index() -> Path:
    """The file of the index that `zoo plugin update-index` fetches."""
    return cache_dir() / "plugins" / "registry.json"


def replace_index(content: bytes, subject: str) -> Index:
    """Make this the user's index, whole or not at all. Raises ZooError for one that cannot be
    used; the old one then stays."""
    index = read_index(content, subject)
    tomorrow = date.today() + timedelta(days=1)  # another time zone may be a day ahead
    if index.date > tomorrow.isoformat():
        raise ZooError(
            f"{subject} is dated {index.date}, in the future: it would hide every later index. The old one stays."
        )
    with written_whole(user_index()) as temporary:
        temporary.write_bytes(content)
    return index


def read_index(content: bytes, subject: str) -> Index:
    """Read an index. Raises ZooError that says its fault."""
    try:
        if len(content) > MAX_JSON_BYTES:
            raise ValueError(f"it is larger than {MAX_JSON_BYTES // 2**20} MiB")
        return Index(*_parsed(json.loads(content)))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ZooError(f"{subject} is not an index of plugins that this zoo can read: {_told(error)}.") from None


def _parsed(value: object) -> tuple[str, tuple[KnownPlugin, ...]]:
    data = as_mapping(value)
    shape, entries = data["version"], data["plugins"]
    if shape not in SHAPES or isinstance(shape, bool):
        raise ValueError("it has another shape; a newer zoo may read it")
    if not isinstance(entries, list) or len(entries) > MAX_PLUGINS:
        raise ValueError(f"its plugins are no list of at most {MAX_PLUGINS:,}")
    if shape == 1:
        entries = [upgraded(entry) for entry in entries]
    plugins = tuple(sorted(_plugins(entries), key=lambda plugin: plugin.distribution))
    if len({normalised(plugin.distribution) for plugin in plugins}) != len(plugins):
        raise ValueError("a plugin stands twice in it")
    return checked_date(data["date"]) if shape > 1 else "", plugins


def _plugins(entries: list[object]) -> Iterator[KnownPlugin]:
    for number, entry in enumerate(entries, 1):
        try:
            yield read_plugin(entry)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"entry {number}: {_told(error)}") from None


def _told(error: Exception) -> str:
    """The fault in words, of a bounded length."""
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    return printable(str(error))[:300].rstrip(".")


def _stamp(path: Path) -> tuple[int, int]:
    facts = os.stat(path) if path.is_file() else None
    return (facts.st_size, facts.st_mtime_ns) if facts else (0, 0)


@lru_cache(maxsize=4)
def _read_file(path: Path, stamp: tuple[int, int]) -> Index:
    """The index in a file of this size and time. Raises ZooError, OSError for one that is not
    there or no file."""
    if stamp[0] > MAX_JSON_BYTES or not path.is_file():
        raise ZooError(f"{path} is not a file of at most {MAX_JSON_BYTES // 2**20} MiB.")
    return read_index(path.read_bytes(), str(path))
