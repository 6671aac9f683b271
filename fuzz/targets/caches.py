"""Everything that lies in the cache folder: stores of arrays, and the indexes of scans, shards and plugins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from zlib import crc32

import numpy as np

from fuzz.mutations import damaged_index, damaged_json
from fuzz.target import Case, expect, fresh, target
from fuzz.targets.images import good_images
from zoo_core import catalog, installed, listing
from zoo_core.data.generation import MAGIC
from zoo_core.data.scan import _index_path, inspect_files
from zoo_core.data.store import Store
from zoo_core.discovery import normalised
from zoo_core.errors import DataError, ZooError
from zoo_core.frozen.old_store import OldStore
from zoo_core.paths import cache_dir
from zoo_core.streaming.index import index_shards, indexed_images
from zoo_core.streaming.target_format import TargetFormat, read_targets
from zoo_core.streaming.tars import write_tar
from zoo_core.streaming.tarshard import LocalTar
from zoo_core.verified import _record, is_as_written, remember

KEYS = [bytes([number]) * 16 for number in range(6)]
ARRAYS = [np.full((1, 2, 4), number, "float16") for number in range(6)]


HEALED = 4  # one damaged store of so many is mended and read again, which takes most of the time


class MadeAnew(ZooError):
    """A cache was not believed."""


def make_store(file: str, folder: Path) -> Case:
    """A store gives back the arrays that were added, or none; those are added again and are then right."""
    for name in ("rows", "index"):
        (folder / name).write_bytes(MAGIC + b"one generation..")
    with Store(folder, "float16") as store:
        store.add(KEYS, ARRAYS)
    good = {name: (folder / name).read_bytes() for name in ("rows", "index")}
    other = {name: content.replace(b"one generation..", b"the other gener.") for name, content in good.items()}

    def check(content: bytes) -> None:
        for name, whole in good.items():
            fresh(folder / name, content if name == file else whole)
        with Store(folder, "float16") as store:
            found = [store.get(key) for key in KEYS]
            _check_arrays(found)
            entries, there = store.find(KEYS)
            intact = store.intact(entries[there])
            expect(intact.sum() == sum(array is not None for array in found), "intact arrays that cannot be had")
            missing = [number for number, array in enumerate(found) if array is None]
            if not missing:
                return
            if crc32(content) % HEALED:
                raise MadeAnew("not made anew here")
            store.add([KEYS[number] for number in missing], [ARRAYS[number] for number in missing])
            store.commit()
            healed = [store.get(key) for key in KEYS]
            _check_arrays(healed)
            expect(all(array is not None for array in healed), "an array that was added again is not there")
        raise MadeAnew("made anew")

    # Mostly bytes that are damaged; sometimes those of a store of another generation.
    return Case((good[file], good[file], other[file]), partial(_or_made_anew, check, other[file]))


def _or_made_anew(check: Callable[[bytes], None], other: bytes, content: bytes) -> None:
    try:
        check(content)
    except MadeAnew:
        if content != other:  # a seed, which has to be accepted
            raise


def _check_arrays(found: list[Any]) -> None:
    for array, right in zip(found, ARRAYS, strict=True):
        if array is not None:
            same = array.shape == right.shape and array.dtype == right.dtype and array.tobytes() == right.tobytes()
            expect(same, f"an array of {array.shape} that was not added")


target("store index", weight=3)(partial(make_store, "index"))
target("store rows", weight=3)(partial(make_store, "rows"))


@target("old store index", weight=8)
def old_store(folder: Path) -> Case:
    """An index of zoo 0.1 names arrays inside its rows, one after the other, or is refused."""
    rows = b"".join(array.tobytes() for array in ARRAYS)
    (folder / "rows").write_bytes(rows)
    kind = np.dtype([("key", "<u8", (2,)), ("offset", "<u8"), ("shape", "<u4", (3,)), ("spare", "<u4")])
    entries = np.zeros(len(KEYS), kind)
    for number, entry in enumerate(entries):
        entry["key"], entry["shape"], entry["offset"] = number, (1, 2, 4), 16 * number

    def check(content: bytes) -> None:
        fresh(folder / "index", content)
        try:
            with OldStore(folder, "float16") as store:
                arrays = store.read(store.entries)
                expect(sum(array.nbytes for array in arrays) <= len(rows), "arrays that overlap")
        except (ValueError, OSError) as error:  # its only caller leaves such a store alone
            raise MadeAnew("made anew") from error

    return Case((entries.tobytes(),), check)


@target("scan index", weight=2)
def scan_index(folder: Path) -> Case:
    """A scan gives the same results whatever bytes its index was damaged to."""
    png = good_images()["PNG"]
    files = ["0.png", "1.png"]
    for file, content in zip(files, (png[0], png[0][:60]), strict=True):
        (folder / file).write_bytes(content)
        os.utime(folder / file, ns=(1, 1))
    path = _index_path(folder)
    right = _stable(lambda: inspect_files(folder, files), path)
    good = path.read_bytes()

    def check(content: bytes) -> None:
        fresh(path, content)
        found = inspect_files(folder, files)
        expect(found == right or _is_signed(content), "another result of a scan")
        if path.read_bytes() != content:
            raise MadeAnew("made anew")

    return Case((good,), check, damaged_index)


@target("shard index", weight=1)
def shard_index(folder: Path) -> Case:
    """A shard lists the same images and targets whatever bytes its index was damaged to; no other bytes are read."""
    png = good_images()["PNG"]
    write_tar(folder / "s.tar", iter([("0", png[0]), ("1", png[1]), ("0", png[2][:50])]))
    shard = LocalTar("s.tar", folder / "s.tar", "identity")
    right = index_shards([shard])
    (path,) = (cache_dir() / "scans").glob("shard-*.json")
    good = path.read_bytes()

    def check(content: bytes) -> None:
        fresh(path, content)
        found = index_shards([shard])
        expect(found == right or _is_signed(content), "another index of a shard")
        images = indexed_images([shard], found, room=10)
        for number in range(min(len(images), 4)):
            try:
                images.read(number)
            except DataError:
                continue
        read_targets("s.tar", {"train": found[0].entries}, TargetFormat("classification", ("a", "b")))
        if path.read_bytes() != content:
            raise MadeAnew("made anew")

    return Case((good,), check, damaged_index)


@target("plugin index", weight=3)
def plugin_index(folder: Path) -> Case:
    """The installed plugins are the same whatever bytes their index was damaged to."""
    right = [
        installed.InstalledPlugin("one", "zoo_core.builtin", "zoo-one", "1.0"),
        installed.InstalledPlugin("two", "not_there:spec", "zoo-two", "2.0"),
    ]
    installed._scan = lambda: list(right)  # the real scan takes a tenth of a second
    patch.object(installed, "import_folders", lambda: {"/site-packages": 1}).start()
    installed.installed_plugins()
    (path,) = (cache_dir() / "plugins").glob("*.json")
    good = path.read_bytes()

    def check(content: bytes) -> None:
        fresh(path, content)
        found = installed.installed_plugins()
        expect(found == right or _is_signed(content), "other plugins")
        for plugin in found:
            normalised(plugin.distribution)
        sorted(found, key=lambda plugin: (plugin.distribution, plugin.name))
        if path.read_bytes() != content:
            raise MadeAnew("made anew")

    return Case((good,), check, damaged_index)


@target("listing index", weight=2)
def listing_index(folder: Path) -> Case:
    """`zoo list` has the same rows whatever bytes its index was damaged to."""
    right: tuple[Any, Any] = ([{"name": "linear", "summary": "one layer", "plugin": "zoo-core"}], ["a warning"])
    code = fresh(folder / "code.py", b"# the code of a spec")
    listing._code = lambda: iter([str(code)])  # in place of all modules and a catalog, which take a second
    listing.ROWS["heads"] = lambda catalog: right[0]
    opened = SimpleNamespace(warnings=right[1], has_failures=False)
    patch.object(catalog, "open_catalog", lambda **settings: opened).start()
    listing.listed("heads")
    (path,) = (cache_dir() / "plugins").glob("heads-*.json")
    good = path.read_bytes()

    def check(content: bytes) -> None:
        fresh(path, content)
        found = listing.listed("heads")
        expect(found == right or _is_signed(content), "other rows")
        if path.read_bytes() != content:
            raise MadeAnew("made anew")

    return Case((good,), check, damaged_index)


@target("verified record", weight=4)
def verified(folder: Path) -> Case:
    """A record of a file's hash, however damaged, never vouches for a file that has changed."""
    file = fresh(folder / "weights.safetensors", b"as written")
    remember(file, "0" * 64)
    record = _record(file)
    good = record.read_bytes()

    def check(content: bytes) -> None:
        fresh(record, content)
        is_as_written(file)

    return Case((good,), check, damaged_json)


def _stable(inspect: Callable[[], Any], path: Path) -> Any:
    """The results, when their index is written: not for files that changed a moment ago."""
    while True:
        result = inspect()
        if path.is_file() and len(json.loads(path.read_bytes().partition(b"\n")[2])) == len(result):
            return result


def _is_signed(content: bytes) -> bool:
    """Whether the entries have the checksum that the head names: then only their owner can have changed them."""
    head, _, entries = content.partition(b"\n")
    try:
        return bool(json.loads(head)["crc32"] == crc32(entries))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
