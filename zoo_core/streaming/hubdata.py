"""`--data hf:OWNER/NAME`: a data set of the Hub, read by the package `datasets`, whole or streamed.

No code of a repository ever runs, and no file is read that is not the repository's own.
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

from zoo_core.data.parts import find_parts
from zoo_core.data.scan import Watch
from zoo_core.data.sources import PartName, Source
from zoo_core.errors import DataError, HubError, UnreachableError, UsageError, ZooError, printable, reason_of
from zoo_core.hubclient.client import attempt, checked_info, endpoint, guarded_api
from zoo_core.hubclient.guard import COMMIT
from zoo_core.installing import install_hint
from zoo_core.options import parse_options, split_name
from zoo_core.settings import TaskChoice
from zoo_core.streaming.assemble import read_shards
from zoo_core.streaming.columns import Columns, choose_columns
from zoo_core.streaming.hubfiles import HubFiles, are_proven, record_as_proven
from zoo_core.streaming.hubtable import TableShard, content_of
from zoo_core.streaming.samples import SampledShard
from zoo_core.streaming.shard_cache import ShardCache
from zoo_core.streaming.tars import write_tar
from zoo_core.streaming.tarshard import RemoteTar

T = TypeVar("T")
READERS = ("parquet", "arrow", "imagefolder")  # the package's readers of image tables
TRIES = 1  # on top of those of the Hub's client; by default the package goes on for ten minutes
ROWS_PER_SHARD = 1000  # rows of a table that are indexed together


@dataclass(frozen=True)
class HubOptions:
    """The options of `hf:OWNER/NAME:OPTIONS`."""

    config: str | None = None
    image: str | None = None
    """The column of images, where there are several."""
    label: tuple[str, ...] = ()
    """The column of targets; label=a+b names several columns of numbers."""
    revision: str | None = None
    streaming: bool = False
    """Download shards only while they are needed."""
    disk_gb: float = 10.0
    """The disk space for streamed shards."""

    def __post_init__(self) -> None:
        if not 0 < self.disk_gb <= 1e6:
            raise ValueError(f"disk_gb must be above 0 and at most 1000000, got {self.disk_gb}")


def open_hub_data(text: str, task: TaskChoice = "auto", watch: Watch | None = None) -> Source:
    """The data set `OWNER/NAME[:OPTIONS]`.

    Raises UsageError for a wrong name or option, HubError when the data set cannot be fetched, and
    DataError when it cannot be used.
    """
    name, given = split_name(text)
    title = f"hf:{printable(name)}"
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UsageError(f"{title} is no data set of the Hub. Give its owner and its name: hf:OWNER/NAME.")
    options = parse_options(title, HubOptions, given)
    package = _package()
    api = guarded_api()
    info = attempt(title, lambda: checked_info(api.dataset_info(name, revision=options.revision, files_metadata=True)))
    commit = info.sha or ""
    if not COMMIT.fullmatch(commit):
        raise HubError(f"{title}: {endpoint()} does not tell which revision it has. Do not trust that server.")
    files = HubFiles(name, info)
    files.pull_descriptions()
    builder = _builder(package, title, name, options.config, commit)
    splits = _streams(title, builder) if options.streaming else _tables(title, builder, files)
    features = next((split.features for split in splits.values() if split.features), None)
    if features is None:
        raise DataError(f"{title} does not tell the types of its columns.")
    columns = choose_columns(title, features, image=options.image, labels=options.label, task=task)
    parts, ignored = _parts(title, splits)
    shard_cache = ShardCache(round(options.disk_gb * 1e9))
    names = [columns.image, *columns.labels]
    shards: dict[PartName, list[SampledShard]] = {}
    for part, (split_name_, split) in parts.items():
        identity = f"{name}@{commit} {builder.config.name} {split_name_} {'+'.join(names)}"
        if options.streaming:
            reader = _ShardReader(title, package, builder, files, split.features, columns)
            shards[part] = _stream_shards(reader, split_name_, f"proven {identity}", shard_cache)
        else:
            table = _with_undecoded(package, split, columns).select_columns(names)
            shards[part] = _table_shards(table, split_name_, identity, columns)
    # Half of the disk space: the next window is downloaded while the last one is still read.
    return read_shards(title, shards, columns.target_format, room=shard_cache.room // 2, watch=watch, ignored=ignored)


def _package() -> Any:
    """The package `datasets`, set to be quiet and to give up as soon as the rest of zoo."""
    try:
        import datasets
    except ImportError:
        raise UsageError(
            "--data hf:... needs the package 'datasets', which is not installed. To install it: "
            + install_hint("zoo-core", extra="streaming")
        ) from None
    datasets.logging.set_verbosity(logging.CRITICAL)  # the errors here say it once
    datasets.disable_progress_bars()
    for kind in ("READ", "OPEN"):
        setattr(datasets.config, f"STREAMING_{kind}_MAX_RETRIES", TRIES)
    return datasets


def _ask_hub(title: str, ask: Callable[[], T]) -> T:
    """Let the package ask the Hub, and translate its errors."""

    def translated() -> T:
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

    return attempt(title, translated)


def _builder(package: Any, title: str, name: str, config: str | None, commit: str) -> Any:
    """The reader of the repository's files at this commit, and of no other files.

    Raises DataError when it is not one of READERS.
    """

    def ask() -> Any:
        try:
            return package.load_dataset_builder(f"hf://datasets/{name}", config, revision=commit)
        except ValueError as error:
            if "Config name is missing" not in str(error) and "BuilderConfig" not in str(error):
                raise
            text = printable(" ".join(str(error).partition("Example")[0].split()))
            raise HubError(f"{text:.500} Choose one: {title}:config=NAME.") from None

    builder = _ask_hub(title, ask)
    reader = type(builder).__module__.rpartition(".")[2]
    if reader not in READERS:
        raise DataError(f"{title} is stored as '{reader}'. zoo reads {', '.join(READERS)}.")
    return builder


def _streams(title: str, builder: Any) -> Mapping[str, Any]:
    """The splits as streams. Raises DataError for single image files, each of which would be a request."""
    if "imagefolder" in type(builder).__module__:
        raise DataError(f"{title} holds single image files, which are not streamed. Leave out streaming=yes.")
    streams: Mapping[str, Any] = _ask_hub(title, builder.as_streaming_dataset)
    return streams


def _tables(title: str, builder: Any, files: HubFiles) -> Mapping[str, Any]:
    """The splits as tables on this disk: the repository's files, and a copy with random access."""
    made = place = Path(builder.cache_dir)
    if not place.exists():
        needed = 2 * sum(file.size or 0 for file in files.info.siblings or ())
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise DataError(
                f"{title} takes about {needed / 1e9:.3g} GB of the disk, and {free / 1e9:.3g} GB are free. "
                "Add streaming=yes to download it in parts, while they are needed."
            )
    if not are_proven(made):
        data_files = builder.config.data_files
        local = {split: type(each)(files.pull_all(each), each.origin_metadata) for split, each in data_files.items()}
        builder.config.data_files = type(data_files)(local)
        # Tables that were made of unproven files, by another program or an older zoo, are made again.
        _ask_hub(title, lambda: builder.download_and_prepare(download_mode="reuse_cache_if_exists"))
        record_as_proven(made)
    tables: Mapping[str, Any] = _ask_hub(title, builder.as_dataset)
    return tables


def _parts(title: str, splits: Mapping[str, Any]) -> tuple[dict[PartName, tuple[str, Any]], dict[str, int]]:
    """The splits by part, and a count of the others. A single split is the training part."""
    if len(splits) == 1:
        return {"train": next(iter(splits.items()))}, {}
    try:
        found = find_parts(splits)
    except ValueError as error:
        one, other = error.args
        raise DataError(
            f"{title} has the splits '{printable(one)}' and '{printable(other)}', which are one part."
        ) from None
    parts = {part: (name, splits[name]) for part, name in found.items()}
    if "train" not in parts:
        raise DataError(f"{title} has no split 'train'; it has {', '.join(printable(name) for name in splits)}.")
    used = {name for name, _ in parts.values()}
    return parts, {f"split {printable(name)}": 1 for name in splits if name not in used}


def _table_shards(table: Any, split: str, identity: str, columns: Columns) -> list[SampledShard]:
    starts = range(0, len(table), ROWS_PER_SHARD)
    return [
        TableShard(split, f"{identity} {start}", table, columns, start, min(start + ROWS_PER_SHARD, len(table)))
        for start in starts
    ]


def _with_undecoded(package: Any, rows: Any, columns: Columns) -> Any:
    """Rows with the images as bytes or paths: decode.py has the rules for images."""
    return rows.cast_column(columns.image, package.Image(decode=False))


@dataclass(frozen=True)
class _ShardReader:
    """Reads single files of a table's split, whose columns have the types `features`."""

    title: str
    package: Any
    builder: Any
    files: HubFiles
    features: Any
    columns: Columns

    def write(self, address: str, path: Path) -> None:
        """Write the samples of a file as a tar file. Raises HubError for a file that is not as the Hub states."""
        with self.files.pulled(address) as file:
            rows = _ask_hub(self.title, lambda: self._rows(file))
            _ask_hub(self.title, lambda: write_tar(path, self._pairs(rows)))

    def _rows(self, file: Path) -> Any:
        declared = self.builder.info.features  # by the data set's card; else each file has the types of its columns
        reader = type(self.builder).__module__.rpartition(".")[2]
        rows = self.package.load_dataset(
            reader, data_files=[str(file)], split="train", streaming=True, features=declared
        )
        if declared is None and rows.features != self.features:
            raise HubError("the columns of its files are not of the same types.")
        return _with_undecoded(self.package, rows, self.columns)

    def _pairs(self, rows: Any) -> Iterator[tuple[str, bytes]]:
        for row in rows:
            try:
                yield self.columns.text_of(row), content_of(row[self.columns.image])
            except DataError as error:
                raise HubError(f"an image {error}.") from None


def _stream_shards(reader: _ShardReader, split: str, identity: str, shard_cache: ShardCache) -> list[SampledShard]:
    """A shard for each file of the repository, stored as a tar file."""
    addresses = reader.builder.config.data_files[split]
    return [
        RemoteTar(
            f"{split}/{number:05d}",
            f"{identity} {number} of {len(addresses)}",
            shard_cache,
            partial(reader.write, address),
        )
        for number, address in enumerate(addresses)
    ]
