"""The scan of every image before a training: unreadable images are named at once, all of them.

The result for a file is cached until the file's size or one of its times changes, so that a second
scan only asks for those. A program that sets the modification time back, as copying programs do,
changes the time of the last status change, which the system keeps itself.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo_core.data.batches import default_workers
from zoo_core.data.decode import INSPECTION, check_image, read_file
from zoo_core.data.indexed import IndexedImages
from zoo_core.data.sources import DIGEST_BYTES, FolderImages, Part, PartName, Source, content_digest
from zoo_core.errors import DataError, printable
from zoo_core.json_index import read_index, write_index
from zoo_core.paths import cache_dir
from zoo_core.settings import BadImages
from zoo_core.tasks import task_named
from zoo_core.wording import counted

MAX_NAMED = 20
TOGETHER = 16  # files that a thread takes at once; handing over each takes as long as asking for its times
CLOCK_TICK_NS = 20_000_000  # times of files advance in ticks of the kernel, of at most 10 ms

Watch = Callable[[int, int], None]
"""A progress callback: (number done, total)."""


@dataclass(frozen=True)
class ScanResult:
    """The result of inspecting one image file."""

    digest: str
    """The digest of the file's bytes in hexadecimal digits; empty when they cannot be read."""
    problem: str | None
    """The reason why the image cannot be used, as the end of a sentence; None for a good one."""

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for values from a cache that are no result."""
        if len(bytes.fromhex(self.digest)) not in (0, DIGEST_BYTES):
            raise ValueError("not a digest")
        if not isinstance(self.problem, str | None):
            raise TypeError("not a problem")


Stamp = tuple[int, int, int]
"""A file's size in bytes, and the times in nanoseconds of its last modification and status
change."""
Scanned = dict[str, tuple[Stamp, ScanResult]]
"""The results of a scan by file name, each with the stamp under which it holds."""


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be used: its name, and the reason as the end of a sentence.

    Images that a program hands over have the whole sentence as reason, and no name.
    """

    name: str
    problem: str

    def __str__(self) -> str:
        return f"{printable(self.name)} {self.problem}" if self.name else self.problem


def scan_images(source: Source, *, bad_images: BadImages = "fail", watch: Watch | None = None) -> Source:
    """Open every image of every part. Returns the source with digests and without the bad images.

    Raises one DataError that names the bad images when `bad_images` is "fail", or when a class
    would lose all of its images.
    """
    scanned, bad = find_bad_images(source, watch)
    if bad and bad_images == "fail":
        raise DataError(_bad_images_message(list(map(str, bad)), source.title))
    _check_classes_left(source, scanned.parts)
    return scanned


def find_bad_images(source: Source, watch: Watch | None = None) -> tuple[Source, list[BadImage]]:
    """Open every image of every part. Returns the source with digests and without the bad images,
    which may leave a part empty, and these."""
    results = _results_by_root(source.parts.values(), watch)
    bad = [BadImage("", sentence) for sentence in source.unreadable]
    parts: dict[PartName, Part] = {}
    for name, part in source.parts.items():
        if isinstance(part.images, IndexedImages):  # inspected when the index was made
            names, problems = part.images.names, part.images.problems
            bad += [BadImage(names[index], problem) for index, problem in problems.items()]
            parts[name] = part.take([i for i in range(len(part)) if i not in problems]) if problems else part
            continue
        if not isinstance(part.images, FolderImages):
            parts[name] = part
            continue
        of_part = [results[part.images.root][file] for file in part.images.files]
        pairs = zip(part.images.files, of_part, strict=True)
        bad += [BadImage(file, result.problem) for file, result in pairs if result.problem]
        digests = tuple(bytes.fromhex(result.digest) for result in of_part)
        scanned = replace(part, images=replace(part.images, digests=digests))
        good = [index for index, result in enumerate(of_part) if result.problem is None]
        parts[name] = scanned if len(good) == len(scanned) else scanned.take(good)
    return replace(source, parts=parts, skipped=len(bad), unreadable=()), bad


def _bad_images_message(bad: list[str], title: str) -> str:
    count = counted(len(bad), "image")
    rest = [f"... and {len(bad) - MAX_NAMED} more"] if len(bad) > MAX_NAMED else []
    lines = "".join(f"\n  {line}" for line in bad[:MAX_NAMED] + rest)
    return f"{count} in {printable(title)} cannot be used:{lines}\nRepair or remove them, or add --bad-images skip."


def _check_classes_left(source: Source, parts: Mapping[PartName, Part]) -> None:
    for name, part in parts.items():
        if source.parts[name] and not part:
            raise DataError(f"no image of the {name} part of {printable(source.title)} can be read.")
    if not task_named(source.task).single_label or "train" not in parts:
        return
    lost = set(source.parts["train"].targets.tolist()) - set(parts["train"].targets.tolist())
    if lost:
        lost_class = printable(source.classes[min(lost)])
        raise DataError(f"no image of the class '{lost_class}' can be read. Repair them or remove the folder.")


def _results_by_root(parts: Iterable[Part], watch: Watch | None) -> dict[Path, dict[str, ScanResult]]:
    files: dict[Path, list[str]] = {}
    for part in parts:
        if isinstance(part.images, FolderImages):
            files.setdefault(part.images.root, []).extend(part.images.files)
    return {root: inspect_files(root, names, watch) for root, names in files.items()}


def inspect_files(root: Path, files: list[str], watch: Watch | None = None) -> dict[str, ScanResult]:
    """Inspect the files below `root` in parallel; unchanged files have their cached result, those
    too that were inspected before a stop."""
    cached = read_index(_index_path(root), INSPECTION, _parse) or {}
    inspected: dict[str, tuple[Stamp | None, ScanResult]] = {}
    groups = [files[start : start + TOGETHER] for start in range(0, len(files), TOGETHER)]
    try:
        with ThreadPoolExecutor(default_workers(), thread_name_prefix="zoo-scan") as pool:
            try:
                found = pool.map(
                    lambda group: [_inspect(os.path.join(root, file), cached.get(file)) for file in group], groups
                )
                for number, (group, results) in enumerate(zip(groups, found, strict=True), 1):
                    inspected.update(zip(group, results, strict=True))
                    if watch:
                        watch(min(number * TOGETHER, len(files)), len(files))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        _remember(root, cached, inspected)
    return {file: result for file, (_, result) in inspected.items()}


def _remember(root: Path, cached: Scanned, inspected: Mapping[str, tuple[Stamp | None, ScanResult]]) -> None:
    """Write the results whose files have a stamp, beside those of other files that are still
    there."""
    scanned = {file: (stamp, result) for file, (stamp, result) in inspected.items() if stamp}
    others = {file: one for file, one in cached.items() if file not in inspected}
    if {**others, **scanned} != cached:
        scanned |= {file: one for file, one in others.items() if os.path.lexists(os.path.join(root, file))}
        entries = {file: [*stamp, result.digest, result.problem] for file, (stamp, result) in scanned.items()}
        write_index(_index_path(root), INSPECTION, entries)


def _inspect(path: str, cached: tuple[Stamp, ScanResult] | None) -> tuple[Stamp | None, ScanResult]:
    """The result for a file with its stamp; the stamp is None where the result must not be
    cached."""
    stamp: Stamp | None
    try:
        now = time.time_ns()
        facts = os.stat(path)
        stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if cached and cached[0] == stamp:
            return cached
        content = read_file(Path(path))
    except (OSError, ValueError, DataError) as error:
        return None, ScanResult("", _reason(error))
    if now - facts.st_ctime_ns < CLOCK_TICK_NS:  # a change that follows may have the same times
        stamp = None
    digest = content_digest(content).hex()
    try:
        check_image(content)
    except DataError as error:
        return stamp, ScanResult(digest, _reason(error))
    return stamp, ScanResult(digest, None)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there"
    return str(error) if isinstance(error, DataError) else f"cannot be read: {getattr(error, 'strerror', error)}"


def _index_path(root: Path) -> Path:
    """The index of the scans of a data folder."""
    name = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=16).hexdigest()
    return cache_dir() / "scans" / f"{name}.json"


def _parse(entries: dict[str, list[Any]]) -> Scanned:
    return {
        file: ((size, modified, changed), ScanResult(*rest))
        for file, (size, modified, changed, *rest) in entries.items()
    }
