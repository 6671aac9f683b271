"""The rows of `zoo list`: plain JSON facts of every spec, remembered between calls.

Importing a thousand specs takes longer than printing them. The rows of one kind are therefore kept in
the cache folder. They count while the folders on the import path, the disabled plugins and the code
that the specs came from are the same. Rows of a catalog in which a plugin or a spec failed are never
kept: that failure may end without a change of any file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from zlib import crc32

from zoo_core.json_index import read_index, write_index
from zoo_core.paths import cache_folder, import_folders
from zoo_core.version import __version__

if TYPE_CHECKING:
    from zoo_core.catalog import Catalog
    from zoo_core.streaming.practice import PracticeSet

Rows = list[dict[str, Any]]


def listed(kind: str, *, with_plugins: bool = True) -> tuple[Rows, list[str]]:
    """The rows of one kind (a key of ROWS), ordered by name, and the catalog's warnings.

    Rows of weights say whether the file is on this machine, so they are made anew at every call.
    """
    key = [__version__, sys.version, os.environ.get("ZOO_DISABLE_PLUGINS", ""), with_plugins, import_folders()]
    index = os.path.join(cache_folder(), "plugins", f"{kind}-{crc32(repr([key[2:4], sys.path]).encode()):08x}.json")
    known = read_index(index, key, _unless_changed)
    if known is not None:
        return known
    from zoo_core.catalog import open_catalog

    catalog = open_catalog(with_plugins=with_plugins)
    rows, warnings = ROWS[kind](catalog), list(catalog.warnings)
    if kind != "weights" and not catalog.has_failures:
        code = {path: _stamp(path) for path in _code()}
        write_index(index, key, {"code": code, "rows": rows, "warnings": warnings})
    return rows, warnings


def with_available(rows: Rows) -> Rows:
    """Rows of installed backbones with those of known plugins that are not installed, in the release
    that can be; `installed` says which is which."""
    from zoo_core.catalog import natural
    from zoo_core.discovery import normalised
    from zoo_core.installed import installed_plugins
    from zoo_core.registry import known_plugins

    installed = {normalised(plugin.distribution) for plugin in installed_plugins()}
    others = [
        {**dict.fromkeys(rows[0] if rows else ()), **row, "installed": False}
        for plugin in known_plugins().plugins
        if normalised(plugin.distribution) not in installed and plugin.best is not None
        for row in plugin.best.backbones
    ]
    return sorted([*({**row, "installed": True} for row in rows), *others], key=lambda row: natural(row["name"]))


def _unless_changed(entries: dict[str, Any]) -> tuple[Rows, list[str]]:
    if any(_stamp(path) != stamp for path, stamp in entries["code"].items()):
        raise ValueError("the code of a spec has changed")
    return entries["rows"], entries["warnings"]


def _stamp(path: str) -> list[int]:
    """The size and the modification time of a file; an empty list for one that is not there."""
    try:
        facts = os.stat(path)
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]


def _code() -> Iterator[str]:
    """The files that specs come from: loaded modules of core and plugins, and files beside those of a plugin.

    So are all modules that no installer has put in place, for a plugin under development may share some.
    """
    from zoo_core.installed import installed_plugins

    packages = {plugin.module.partition(".")[0] for plugin in installed_plugins()}
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not path:
            continue
        own = name.partition(".")[0] in packages | {"zoo_core"}
        if own or not (os.path.dirname(os.__file__) in path or "-packages" in path):
            yield path
    for name in sorted(packages):
        for folder in getattr(sys.modules.get(name), "__path__", ()):
            yield from (entry.path for entry in os.scandir(folder) if entry.is_file())


def _backbones(catalog: Catalog) -> Rows:
    from zoo_core.specs import BackboneSpec

    return [
        {
            "name": entry.spec.name,
            "year": entry.spec.year,
            "params": entry.spec.params,
            "gmacs": entry.spec.gmacs,
            "size": entry.spec.preprocessing.size,
            "family": entry.spec.family,
            "features": entry.spec.features.kind,
            "stages": list(entry.spec.stages),
            "weights": [
                {
                    "tag": ref.tag,
                    "top1": ref.top1,
                    "imagenet": ref.classes == "imagenet-1k",
                    "licence": ref.licence,
                    "commercial": ref.commercial,
                }
                for ref in entry.spec.weights
            ],
            "plugin": entry.distribution,
            "plugin_version": entry.version,
        }
        for entry in catalog.entries(BackboneSpec)
    ]


def _details(catalog: Catalog) -> Rows:
    """The rows of the backbones with everything that their specs say, for `zoo list --json`."""
    from dataclasses import asdict

    from zoo_core.specs import BackboneSpec

    rows = _backbones(catalog)
    for row, entry in zip(rows, catalog.entries(BackboneSpec), strict=True):
        spec = entry.spec
        row |= {name: getattr(spec, name) for name in ("note", "channels", "stride", "min_size", "size_step")}
        row |= {"paper": str(spec.paper) if spec.paper else None, "preprocessing": asdict(spec.preprocessing)}
        row |= {"prefix": spec.features.prefix, "class_token": spec.features.class_token}
        for facts, ref in zip(row["weights"], spec.weights, strict=True):
            facts |= {"top5": ref.top5, "data": ref.data, "note": ref.note, "classifier": ref.has_classifier}
            facts |= {"sources": [str(source) for source in ref.sources], "preprocessing": asdict(ref.preprocessing)}
    return rows


def _heads(catalog: Catalog) -> Rows:
    from zoo_core.specs import HeadSpec

    return _with_options(catalog, HeadSpec)


def _strategies(catalog: Catalog) -> Rows:
    from zoo_core.specs import FreezeSpec

    return _with_options(catalog, FreezeSpec)


def _with_options(catalog: Catalog, kind: type[Any]) -> Rows:
    from zoo_core.options import describe_options

    return [
        {
            "name": entry.spec.name,
            "summary": entry.spec.summary,
            "options": describe_options(entry.spec.name, entry.spec.options),
            "plugin": entry.distribution,
            "plugin_version": entry.version,
        }
        for entry in catalog.entries(kind)
    ]


def _metrics(catalog: Catalog) -> Rows:
    from zoo_core.result_specs import MetricSpec

    return _with_options(catalog, MetricSpec)


def _exporters(catalog: Catalog) -> Rows:
    from zoo_core.result_specs import ExporterSpec

    return _with_options(catalog, ExporterSpec)


def _runners(catalog: Catalog) -> Rows:
    from zoo_core.specs import RunnerSpec

    return _with_options(catalog, RunnerSpec)


def _augmentations(catalog: Catalog) -> Rows:
    from zoo_core.specs import AugmentSpec

    return _with_options(catalog, AugmentSpec)


def _trackers(catalog: Catalog) -> Rows:
    from zoo_core.result_specs import TrackerSpec

    return _with_options(catalog, TrackerSpec)


def _datasets(catalog: Catalog) -> Rows:
    from dataclasses import asdict

    from zoo_core.specs import DatasetSpec
    from zoo_core.streaming.practice import PRACTICE

    rows = [
        {
            key: value
            for key, value in {**asdict(entry.spec), "plugin": entry.distribution, "source": "installed"}.items()
            if key not in ("load", "options")
        }
        for entry in catalog.entries(DatasetSpec)
    ]
    names = {row["name"] for row in rows}
    return rows + [_practice_row(one) for one in PRACTICE if one.name not in names]


def _practice_row(one: PracticeSet) -> dict[str, Any]:
    return {
        "name": one.name,
        "summary": one.summary,
        "images": sum(one.images.values()) if one.is_counted else None,
        "classes": one.classes,
        "licence": one.licence_in_words,
        "url": one.url,
        "plugin": "zoo-core",
        "source": one.source,
    }


def _weights(catalog: Catalog) -> Rows:
    from zoo_core.specs import BackboneSpec
    from zoo_core.weights.fetch import on_this_machine

    rows: Rows = []
    for entry in catalog.entries(BackboneSpec):
        for ref in entry.spec.weights:
            path = next((path for source in ref.sources if (path := on_this_machine(source))), None)
            expected = None if entry.spec.params is None else 4 * entry.spec.params
            rows.append(
                {
                    "backbone": entry.spec.name,
                    "tag": ref.tag,
                    "sources": [str(source) for source in ref.sources],
                    "licence": ref.licence,
                    "commercial": ref.commercial,
                    "top1": ref.top1,
                    "bytes": path.stat().st_size if path else expected,
                    "bytes_are": "measured" if path else "expected",
                    "cached": path is not None,
                }
            )
    return rows


def _commands(catalog: Catalog) -> Rows:
    from zoo_core.specs import CommandSpec

    return [
        {"name": entry.spec.name, "summary": entry.spec.summary, "plugin": entry.distribution}
        for entry in catalog.entries(CommandSpec)
    ]


ROWS: dict[str, Callable[[Catalog], Rows]] = {
    "backbones": _backbones,
    "details": _details,
    "heads": _heads,
    "strategies": _strategies,
    "datasets": _datasets,
    "weights": _weights,
    "commands": _commands,
    "metrics": _metrics,
    "exporters": _exporters,
    "runners": _runners,
    "augmentations": _augmentations,
    "trackers": _trackers,
}
