"""The first pass over the shards of a data set: every image is opened once, and what was seen is kept in the cache.

A second run finds the index of a shard by what stands for its content, and does not read the shard again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import FileLock

from zoo_core.data.batches import default_workers
from zoo_core.data.decode import check_image
from zoo_core.data.indexed import IndexedImages
from zoo_core.data.scan import READER, Watch
from zoo_core.data.sources import DIGEST_BYTES, content_digest
from zoo_core.data.windows import Windows
from zoo_core.errors import DataError, ZooError
from zoo_core.paths import cache_dir, write_text
from zoo_core.streaming.samples import Sample, SampledShard

SHARDS_AT_ONCE = 4  # that are fetched together
DECODED_AT_ONCE = 64  # images of a shard: what waits for its turn stays small


@dataclass(frozen=True)
class Row:
    """What the index tells of an image; `digest` is in hexadecimal digits."""

    name: str
    text: str
    offset: int
    length: int
    digest: str
    problem: str | None

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError when a damaged cache hands over something else."""
        if len(bytes.fromhex(self.digest)) != DIGEST_BYTES:
            raise ValueError("not a digest")
        if not (isinstance(self.name, str) and isinstance(self.text, str) and isinstance(self.problem, str | None)):
            raise TypeError("not a name, a text and a problem")
        if not (isinstance(self.offset, int) and isinstance(self.length, int) and min(self.offset, self.length) >= 0):
            raise TypeError("not a place")


def index_shards(shards: Sequence[SampledShard], watch: Watch | None = None) -> list[list[Row]]:
    """The rows of each shard, several shards at a time; `watch` is told how many shards are done, of how many.

    Raises the first error that a shard raised.
    """
    with (
        ThreadPoolExecutor(default_workers(), thread_name_prefix="zoo-scan") as decoders,
        ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="zoo-shards") as readers,
    ):
        try:
            found = []
            for rows in readers.map(lambda shard: _rows_of(shard, decoders), shards):
                found.append(rows)
                if watch:
                    watch(len(found), len(shards))
            return found
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            raise


def indexed_images(shards: Sequence[SampledShard], rows: Sequence[Sequence[Row]], *, room: int) -> IndexedImages:
    """The images of these shards in one list. `room` is how many bytes of shards from afar an epoch may ask for at a
    time."""
    flat = [row for of_shard in rows for row in of_shard]
    shard_of = np.repeat(np.arange(len(shards), dtype=np.int64), [len(of_shard) for of_shard in rows])
    sizes = [_size(of_shard) if shard.remote else 0 for shard, of_shard in zip(shards, rows, strict=True)]
    return IndexedImages(
        names=tuple(row.name for row in flat),
        digests=tuple(bytes.fromhex(row.digest) for row in flat),
        problems={index: row.problem for index, row in enumerate(flat) if row.problem},
        shards=tuple(shards),
        shard_of=shard_of,
        offsets=np.array([row.offset for row in flat], dtype=np.int64),
        lengths=np.array([row.length for row in flat], dtype=np.int64),
        windows=Windows(shard_of, np.array(sizes, dtype=np.int64), room) if sum(sizes) > room else None,
    )


def _size(rows: Sequence[Row]) -> int:
    """About how many bytes a shard's file has: up to where its last image ends."""
    return max((row.offset + row.length for row in rows), default=0)


def _rows_of(shard: SampledShard, decoders: ThreadPoolExecutor) -> list[Row]:
    path = cache_dir() / "scans" / f"shard-{blake2b(shard.identity.encode(), digest_size=16).hexdigest()}.json"
    kept = _read(path)
    if kept is not None:
        return kept
    with _alone(path):
        kept = _read(path)  # another process may have made it meanwhile
        if kept is not None:
            return kept
        rows = [row for group in _groups(shard.samples()) for row in decoders.map(_look, group)]
        with suppress(ZooError):  # a cache that cannot be written costs time, nothing else
            _write(path, rows)
    return rows


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Processes that train together read each shard once, as long as the cache can be written."""
    with ExitStack() as held:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(path.with_suffix(".lock")))
        yield


def _groups(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while group := list(islice(samples, DECODED_AT_ONCE)):
        yield group


def _look(sample: Sample) -> Row:
    problem = sample.problem
    if problem is None:
        try:
            check_image(sample.content)
        except DataError as error:
            problem = str(error)
    digest = content_digest(sample.content).hex()
    return Row(sample.name, sample.text, sample.offset, sample.length, digest, problem)


def _read(path: Path) -> list[Row] | None:
    """What is kept, None when nothing is, or when it is damaged or another reader's."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return [Row(*row) for row in kept["rows"]] if kept["reader"] == READER else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(path: Path, rows: Iterable[Row]) -> None:
    listed = [[row.name, row.text, row.offset, row.length, row.digest, row.problem] for row in rows]
    write_text(path, json.dumps({"reader": READER, "rows": listed}))
