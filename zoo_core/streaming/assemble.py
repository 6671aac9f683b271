"""Shards by part become a data set like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part, PartName, Source
from zoo_core.errors import DataError, printable
from zoo_core.streaming.index import index_shards, indexed_images
from zoo_core.streaming.samples import SampledShard
from zoo_core.streaming.target_format import TargetFormat, read_targets

MAX_NAMED = 5  # kinds of ignored things in a message


def read_shards(
    title: str,
    shards: Mapping[PartName, Sequence[SampledShard]],
    target_format: TargetFormat,
    *,
    room: int = 0,
    watch: Watch | None = None,
    ignored: Mapping[str, int] | None = None,
) -> Source:
    """Index all shards, or read their cached indexes, and return the data set that they hold.

    `room` is the number of bytes of remote shards that one window of an epoch may use.
    Raises DataError when a shard is damaged, or when the target of an image is invalid.
    """
    indexes = index_shards([shard for of_part in shards.values() for shard in of_part], watch)
    counts = Counter(ignored or {})
    for index in indexes:
        counts.update(index.ignored)
    by_part, start = {}, 0
    for name, of_part in shards.items():
        by_part[name] = indexes[start : start + len(of_part)]
        start += len(of_part)
    where = printable(title)
    flat = {name: [entry for index in of_part for entry in index.entries] for name, of_part in by_part.items()}
    if not flat["train"]:
        found = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(MAX_NAMED))
        raise DataError(f"{where} has no training images{f'; it holds {found}' if found else ''}.")
    names, targets = read_targets(where, flat, target_format)
    parts = {
        name: Part(indexed_images(shards[name], by_part[name], room=room), part_targets)
        for name, part_targets in targets.items()
        if len(part_targets)
    }
    counts.update(f"part {name} without targets" for name in shards if name not in targets)
    return Source(title, names, parts, dict(counts), task=target_format.task)
