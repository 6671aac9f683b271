"""The index of a data set's shards: every image is opened once, and the result is cached.

A shard's index is cached under the shard's identity, so that a second run does not read the shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple, dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from zoo_core.data.batches import default_workers
from zoo_core.data.decode import INSPECTION, check_image
from zoo_core.data.indexed import IndexedImages
from zoo_core.data.scan import Watch
from zoo_core.data.sources import DIGEST_BYTES, content_digest
from zoo_core.data.windows import Windows
from zoo_core.errors import DataError
from zoo_core.json_checks import as_count
from zoo_core.json_index import read_index, write_index
from zoo_core.paths import cache_dir
from zoo_core.streaming.samples import Sample, SampledShard

SHARDS_AT_ONCE = 4  # that are fetched together
MAX_KINDS = 100  # of ignored things in a shard
DECODED_AT_ONCE = 64  # images of a shard that wait in memory for a decoder


@dataclass(frozen=True)
class IndexEntry:
    """One image of a shard in its index."""

    name: str
    text: str
    """The target, as the shard writes it."""
    offset: int
    length: int
    digest: str
    """The digest of the image's bytes in hexadecimal digits."""
    problem: str | None
    """The reason why the image cannot be used, as the end of a sentence; None for a good one."""

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for values from a cache that are no entry."""
        if len(bytes.fromhex(self.digest)) != DIGEST_BYTES:
            raise ValueError("not a digest")
        if not (isinstance(self.name, str) and isinstance(self.text, str) and isinstance(self.problem, str | None)):
            raise TypeError("not a name, a text and a problem")
        for number in (self.offset, self.length):
            as_count(number)


@dataclass(frozen=True)
class ShardIndex:
    """The images of a shard, and the number of ignored things in it, by kind."""

    entries: list[IndexEntry]
    ignored: dict[str, int]


def index_shards(shards: Sequence[SampledShard], watch: Watch | None = None) -> list[ShardIndex]:
    """The index of each shard; several shards are read at a time, and `watch` counts them.

    Raises the first error that a shard raised.
    """
    with (
        ThreadPoolExecutor(default_workers(), thread_name_prefix="zoo-scan") as decoders,
        ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="zoo-shards") as readers,
    ):
        try:
            indexes = []
            for index in readers.map(lambda shard: _index_of(shard, decoders), shards):
                indexes.append(index)
                if watch:
                    watch(len(indexes), len(shards))
            return indexes
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            raise


def indexed_images(shards: Sequence[SampledShard], indexes: Sequence[ShardIndex], *, room: int) -> IndexedImages:
    """The images of these shards in one list.

    `room` is the number of bytes of remote shards that one window of an epoch may use.
    """
    entries = [entry for index in indexes for entry in index.entries]
    shard_of = np.repeat(np.arange(len(shards), dtype=np.int64), [len(index.entries) for index in indexes])
    sizes = [_size(index.entries) if shard.remote else 0 for shard, index in zip(shards, indexes, strict=True)]
    return IndexedImages(
        names=tuple(entry.name for entry in entries),
        digests=tuple(bytes.fromhex(entry.digest) for entry in entries),
        problems={number: entry.problem for number, entry in enumerate(entries) if entry.problem},
        shards=tuple(shards),
        shard_of=shard_of,
        offsets=np.array([entry.offset for entry in entries], dtype=np.int64),
        lengths=np.array([entry.length for entry in entries], dtype=np.int64),
        windows=Windows(shard_of, np.array(sizes, dtype=np.int64), room) if sum(sizes) > room else None,
    )


def _size(entries: Sequence[IndexEntry]) -> int:
    """About the number of bytes in a shard: the end of its last image."""
    return max((entry.offset + entry.length for entry in entries), default=0)


def _index_of(shard: SampledShard, decoders: ThreadPoolExecutor) -> ShardIndex:
    path = cache_dir() / "scans" / f"shard-{blake2b(shard.identity.encode(), digest_size=16).hexdigest()}.json"
    cached = read_index(path, INSPECTION, _parse)
    if cached is not None:
        return cached
    with _locked(path):
        cached = read_index(path, INSPECTION, _parse)  # another process may have written it meanwhile
        if cached is not None:
            return cached
        counts = Counter[str]()
        entries = [entry for group in _groups(shard.samples(counts)) for entry in decoders.map(_inspect, group)]
        index = ShardIndex(entries, dict(counts.most_common(MAX_KINDS)))
        write_index(path, INSPECTION, {"entries": [astuple(entry) for entry in entries], "ignored": index.ignored})
    return index


def _parse(data: dict[str, Any]) -> ShardIndex:
    counts = {str(kind): int(count) for kind, count in data["ignored"].items()}
    return ShardIndex([IndexEntry(*entry) for entry in data["entries"]], counts)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Processes that train together read each shard once, as long as the cache can be written."""
    with ExitStack() as held:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(path.with_suffix(".lock")))
        yield


def _groups(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while group := list(islice(samples, DECODED_AT_ONCE)):
        yield group


def _inspect(sample: Sample) -> IndexEntry:
    problem = sample.problem
    if problem is None:
        try:
            check_image(sample.content)
        except DataError as error:
            problem = str(error)
    digest = content_digest(sample.content).hex()
    return IndexEntry(sample.name, sample.text, sample.offset, sample.length, digest, problem)
