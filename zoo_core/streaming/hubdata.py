"""`--data hf:OWNER/NAME`: a data set of the Hub, read by the package `datasets`: whole on this disk, or shard by shard.

No code of a repository is ever run, and no file is read that is not the repository's own.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from zoo_core.data.scan import Watch
from zoo_core.data.sources import PART_WORDS, PartName, Source
from zoo_core.errors import DataError, HubError, UnreachableError, UsageError, ZooError, printable, reason_of
from zoo_core.hubclient.client import attempt, endpoint, guarded_api
from zoo_core.hubclient.guard import COMMIT
from zoo_core.options import parse_options, split_name
from zoo_core.settings import TaskChoice
from zoo_core.streaming.assemble import read_shards
from zoo_core.streaming.columns import Columns, choose_columns
from zoo_core.streaming.hubtable import TableShard, content_of
from zoo_core.streaming.samples import SampledShard
from zoo_core.streaming.shard_cache import ShardCache
from zoo_core.streaming.tars import write_tar
from zoo_core.streaming.tarshard import RemoteTar

T = TypeVar("T")
READERS = ("parquet", "arrow", "imagefolder")  # of the package; what the others read is no table of images
TRIES = 1  # of the package's own, on top of those of the Hub's client; as it comes it goes on for ten minutes
ROWS_TOGETHER = 1000  # rows of a table that are indexed together


@dataclass(frozen=True)
class HubOptions:
    """`config`, `image` and `label` choose where a data set has several; label=a+b are columns of numbers. `streaming`
    brings shards only while they are needed, into as much disk as `disk_gb` says."""

    config: str | None = None
    image: str | None = None
    label: tuple[str, ...] = ()
    revision: str | None = None
    streaming: bool = False
    disk_gb: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.disk_gb <= 1e6:
            raise ValueError(f"disk_gb must be above 0 and at most 1000000, got {self.disk_gb}")


def open_hub_data(text: str, task: TaskChoice = "auto", watch: Watch | None = None) -> Source:
    """The data set that `OWNER/NAME[:OPTIONS]` names.

    Raises UsageError for what was asked wrongly, HubError when it cannot be had, DataError when it makes no sense.
    """
    name, given = split_name(text)
    what = f"hf:{printable(name)}"
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UsageError(f"{what} is no data set of the Hub. Give its owner and its name: hf:OWNER/NAME.")
    options = parse_options(what, HubOptions, given)
    package = _package()
    api = guarded_api()
    info = attempt(what, lambda: api.dataset_info(name, revision=options.revision, files_metadata=True))
    commit = info.sha or ""
    if not COMMIT.fullmatch(commit):
        raise HubError(f"{what}: {endpoint()} does not tell which revision it has. Do not trust that server.")
    builder = _builder(package, what, name, options.config, commit)
    splits = _streams(what, builder) if options.streaming else _tables(what, builder, info)
    features = next((split.features for split in splits.values() if split.features), None)
    if features is None:
        raise DataError(f"{what} does not tell the types of its columns.")
    columns = choose_columns(what, features, image=options.image, labels=options.label, task=task)
    parts, ignored = _parts(what, splits)
    shard_cache = ShardCache(round(options.disk_gb * 1e9))
    kept = [columns.image, *columns.labels]
    raw = package.Image(decode=False)  # our own rules for images hold
    shards: dict[PartName, list[SampledShard]] = {}
    for part, (split_name_, split) in parts.items():
        split = split.cast_column(columns.image, raw)
        identity = f"{name}@{commit} {builder.config.name} {split_name_} {'+'.join(kept)}"
        if options.streaming:
            shards[part] = _stream_shards(what, split, split_name_, identity, columns, shard_cache)
        else:
            shards[part] = _table_shards(split.select_columns(kept), split_name_, identity, columns)
    # Half of what the disk may hold: the next window comes while the last one is still read.
    return read_shards(what, shards, columns.target_format, room=shard_cache.room // 2, watch=watch, ignored=ignored)


def _package() -> Any:
    """The package `datasets`, made as quiet and as quick to give up as the rest of zoo."""
    try:
        import datasets
    except ImportError:
        raise UsageError(
            "--data hf:... needs the package 'datasets', which is not installed: pip install 'zoo-core[streaming]'"
        ) from None
    datasets.logging.set_verbosity(logging.CRITICAL)  # what it logs, the errors here say once
    datasets.disable_progress_bars()
    for kind in ("READ", "OPEN"):
        setattr(datasets.config, f"STREAMING_{kind}_MAX_RETRIES", TRIES)
    return datasets


def _asked(what: str, ask: Callable[[], T]) -> T:
    """Let the package ask the Hub, with errors that say what happened."""

    def told() -> T:
        try:
            return ask()
        except Exception as error:
            while type(error).__module__.startswith("datasets") and isinstance(error.__cause__, Exception):
                error = error.__cause__
            if isinstance(error, ZooError) or type(error).__module__.startswith(
                ("httpx", "httpcore", "huggingface_hub")
            ):
                raise error from None
            if isinstance(error, ConnectionError):
                raise UnreachableError(
                    f"{endpoint()} breaks off in the middle of its answers. Try again later."
                ) from None
            if isinstance(error, OSError) and error.errno is not None:
                raise error from None
            raise HubError(reason_of(error)) from None

    return attempt(what, told)


def _builder(package: Any, what: str, name: str, config: str | None, commit: str) -> Any:
    """What reads the repository's files at this commit, and no others. Raises DataError when it is not one of READERS."""

    def ask() -> Any:
        try:
            return package.load_dataset_builder(f"hf://datasets/{name}", config, revision=commit)
        except ValueError as error:
            if "Config name is missing" not in str(error) and "BuilderConfig" not in str(error):
                raise
            text = printable(" ".join(str(error).partition("Example")[0].split()))
            raise HubError(f"{text:.500} Choose one: {what}:config=NAME.") from None

    builder = _asked(what, ask)
    reader = type(builder).__module__.rpartition(".")[2]
    if reader not in READERS:
        raise DataError(f"{what} is stored as '{reader}'. zoo reads {', '.join(READERS)}.")
    return builder


def _streams(what: str, builder: Any) -> Mapping[str, Any]:
    """The splits as streams. Raises DataError for a repository of single image files: each would be a request."""
    if "imagefolder" in type(builder).__module__:
        raise DataError(f"{what} holds single image files, which are not streamed. Leave out streaming=yes.")
    streams: Mapping[str, Any] = _asked(what, builder.as_streaming_dataset)
    return streams


def _tables(what: str, builder: Any, info: Any) -> Mapping[str, Any]:
    """The splits as tables on this disk: the repository's files, and a copy of them that can be read anywhere."""
    place = Path(builder.cache_dir)
    if not place.exists():
        needed = 2 * sum(file.size or 0 for file in info.siblings or ())
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise DataError(
                f"{what} takes about {needed / 1e9:.3g} GB of the disk, and {free / 1e9:.3g} GB are free. "
                "Add streaming=yes, and it is brought in parts while they are needed."
            )
    _asked(what, builder.download_and_prepare)
    tables: Mapping[str, Any] = _asked(what, builder.as_dataset)
    return tables


def _parts(what: str, splits: Mapping[str, Any]) -> tuple[dict[PartName, tuple[str, Any]], dict[str, int]]:
    """The splits by the part that they are, and those that are none. A single split is to train on."""
    if len(splits) == 1:
        return {"train": next(iter(splits.items()))}, {}
    parts: dict[PartName, tuple[str, Any]] = {}
    for name, split in splits.items():
        word = PART_WORDS.get(name.lower())
        if word in parts:
            raise DataError(f"{what} has the splits '{parts[word][0]}' and '{name}', which are one part.")
        if word:
            parts[word] = (name, split)
    if "train" not in parts:
        raise DataError(f"{what} has no split 'train'; it has {', '.join(printable(name) for name in splits)}.")
    used = {name for name, _ in parts.values()}
    return parts, {f"split {printable(name)}": 1 for name in splits if name not in used}


def _table_shards(table: Any, split: str, identity: str, columns: Columns) -> list[SampledShard]:
    starts = range(0, len(table), ROWS_TOGETHER)
    return [
        TableShard(split, f"{identity} {start}", table, columns, start, min(start + ROWS_TOGETHER, len(table)))
        for start in starts
    ]


def _stream_shards(
    what: str, stream: Any, split: str, identity: str, columns: Columns, shard_cache: ShardCache
) -> list[SampledShard]:
    """One for each file of the repository; what a file holds is kept as a tar file."""
    count = stream.num_shards
    shards: list[SampledShard] = []
    for number in range(count):
        download_to = partial(_download_to, what, stream.shard(num_shards=count, index=number), columns)
        shards.append(RemoteTar(f"{split}/{number:05d}", f"{identity} {number} of {count}", shard_cache, download_to))
    return shards


def _download_to(what: str, stream: Any, columns: Columns, path: Path) -> None:
    def pairs() -> Iterator[tuple[str, bytes]]:
        for row in stream:
            try:
                yield columns.text_of(row), content_of(row[columns.image])
            except DataError as error:
                raise HubError(f"an image {error}.") from None

    _asked(what, lambda: write_tar(path, pairs()))
