"""`--data wds:PATTERN`: tar shards of the WebDataset format, on this machine or behind addresses."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product

from zoo_core.data.scan import Watch
from zoo_core.data.sources import PartName, Source
from zoo_core.errors import DataError, UsageError, printable, shown
from zoo_core.options import parse_options
from zoo_core.paths import user_path
from zoo_core.streaming.assemble import read_shards
from zoo_core.streaming.download import download, identity_of, prepare, text_at
from zoo_core.streaming.samples import SampledShard
from zoo_core.streaming.shard_cache import ShardCache
from zoo_core.streaming.target_format import TargetFormat
from zoo_core.streaming.tarshard import LocalTar, RemoteTar

MAX_SHARDS = 100_000  # a pattern with a slip in its range asks for millions
MAX_CLASSES_BYTES = 2**24  # 100,000 names of 160 bytes
REQUESTS_AT_ONCE = 8
EXAMPLE = "'wds:photos-{000..010}.tar' or 'wds:https://example.org/photos-{000..010}.tar:val=held-out.tar'"


@dataclass(frozen=True)
class TarOptions:
    """The options of `wds:PATTERN:OPTIONS`."""

    val: str | None = None
    """The pattern of the validation shards."""
    test: str | None = None
    classes: str | None = None
    """A text file with one class a line; by default classes.txt beside the first shard, if it
    exists."""
    disk_gb: float = 10.0
    """The disk space for remote shards."""

    def __post_init__(self) -> None:
        if not 0 < self.disk_gb <= 1e6:
            raise ValueError(f"disk_gb must be above 0 and at most 1000000, got {self.disk_gb}")


def open_tars(text: str, watch: Watch | None = None) -> Source:
    """The data set `PATTERN[:OPTIONS]`. Raises UsageError for a pattern that names no tar files."""
    found = re.fullmatch(r"(?P<pattern>.*?\.tar)(?::(?P<options>.*))?", text)
    if not found:
        raise UsageError(
            f"wds:{printable(text)} does not name .tar files, which must not be compressed. Give {EXAMPLE}."
        )
    pattern = found["pattern"]
    options = parse_options("wds:" + pattern, TarOptions, found["options"] or "")
    shard_cache = ShardCache(round(options.disk_gb * 1e9))
    patterns: dict[PartName, str | None] = {"train": pattern, "val": options.val, "test": options.test}
    shards = {name: _shards(one, shard_cache) for name, one in patterns.items() if one is not None}
    names = _classes(options.classes, expanded(pattern)[0])
    # Half of the disk space: the next window is downloaded while the last one is still read.
    return read_shards(pattern, shards, TargetFormat("classification", names), room=shard_cache.room // 2, watch=watch)


def expanded(pattern: str) -> list[str]:
    """The texts of a pattern with ranges such as `{000..010}`, in order."""
    pieces = re.split(r"\{([0-9]{1,18})\.\.([0-9]{1,18})\}", pattern)
    if re.search(r"[{}*?]", "".join(pieces[::3])):
        if not re.search(r"[{}]", pattern):
            raise UsageError(f"{shown(pattern)}: * and ? are not read. Name a range of shards, such as {{000..010}}.")
        raise UsageError(f"{shown(pattern)}: braces may hold a range of numbers only, such as {{000..010}}.")
    ranges = [(int(first), int(last), len(first)) for first, last in zip(pieces[1::3], pieces[2::3], strict=True)]
    total = 1
    for first, last, _ in ranges:
        total *= max(0, last - first + 1)
    if not 0 < total <= MAX_SHARDS:
        many = f"{total:,}" if total < 10**18 else "more than 10^18"
        raise UsageError(f"{shown(pattern)} stands for {many} shards; there must be 1 to {MAX_SHARDS:,}.")
    spelled = [[str(number).zfill(width) for number in range(first, last + 1)] for first, last, width in ranges]
    return [
        "".join(text for pair in zip(pieces[::3], (*numbers, ""), strict=True) for text in pair)
        for numbers in product(*spelled)
    ]


def _shards(pattern: str, shard_cache: ShardCache) -> list[SampledShard]:
    places = expanded(pattern)
    if not _is_address(pattern):
        return [_local_tar(place) for place in places]
    prepare(pattern)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="zoo-shards") as pool:
        identities = list(pool.map(identity_of, places))
    pairs = zip(places, identities, strict=True)
    return [
        RemoteTar(_last(place), identity, shard_cache, partial(download, place, most=shard_cache.room))
        for place, identity in pairs
    ]


def _local_tar(place: str) -> LocalTar:
    path = user_path(place)
    if not path.is_file():
        raise UsageError(f"there is no shard {printable(place)}. Give the addresses of tar files: {EXAMPLE}.")
    facts = path.stat()
    return LocalTar(path.name, path, f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}")


def _classes(named: str | None, first: str) -> tuple[str, ...] | None:
    """The class names in the order of their numbers; None: the numbers are the names."""
    place = named or f"{first.removesuffix(_last(first))}classes.txt"
    if _is_address(place):
        prepare(place)
        text = text_at(place, MAX_CLASSES_BYTES)
    else:
        text = _text_of(place)
    if text is None:
        if named:
            raise UsageError(f"there is no file {printable(named)} with the names of the classes.")
        return None
    names = tuple(line.strip() for line in text.splitlines())
    while names and not names[-1]:
        names = names[:-1]
    if not names:
        raise DataError(f"{printable(place)} names no classes.")
    return names


def _text_of(place: str) -> str | None:
    path = user_path(place)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_CLASSES_BYTES).decode("utf-8-sig", "replace")


def _is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _last(place: str) -> str:
    return place.rpartition("/")[2]
