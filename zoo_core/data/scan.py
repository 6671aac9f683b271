"""Opens every image before the training does: what cannot be read is named at once, with all the others.

What was seen of a file is kept in the cache until the file's size or one of its times changes: a second scan only asks
for those. Whoever sets the modification time back, as copying programs do, changes the time that the system keeps itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import PIL

from zoo_core.data.batches import default_workers
from zoo_core.data.decode import check_image, read_file
from zoo_core.data.indexed import IndexedImages
from zoo_core.data.sources import DIGEST_BYTES, FolderImages, Part, PartName, Source, content_digest
from zoo_core.errors import DataError, ZooError, printable
from zoo_core.paths import cache_dir, write_text
from zoo_core.settings import BadImages
from zoo_core.tasks import task_named

READER = f"3/{PIL.__version__}"  # grows when the rules of decode.py change; another Pillow may read other files
MOST_NAMED = 20

Watch = Callable[[int, int], None]
"""Is told how many images are done, of how many."""


@dataclass(frozen=True)
class ScanResult:
    """What one look into an image file showed. `digest` is that of its bytes, empty when they could not be had."""

    digest: str
    problem: str | None

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError when a damaged cache hands over something else."""
        if len(bytes.fromhex(self.digest)) not in (0, DIGEST_BYTES):
            raise ValueError("not a digest")
        if not isinstance(self.problem, str | None):
            raise TypeError("not a problem")


Stamp = tuple[int, int, int]
"""A file's size in bytes, and in nanoseconds when its content was modified and when anything of it was."""


def scan_images(source: Source, *, bad_images: BadImages = "fail", watch: Watch | None = None) -> Source:
    """Open every image file of every part. Returns the source with the digest of each, and without the bad ones.

    Raises one DataError that names the bad ones when they are to "fail", or when they leave a class without images.
    """
    seen = _results_by_root(source.parts.values(), watch)
    bad: list[str] = []
    parts: dict[PartName, Part] = {}
    for name, part in source.parts.items():
        if isinstance(part.images, IndexedImages):  # they were looked at when the index was made
            names, problems = part.images.names, part.images.problems
            bad += [f"{printable(names[index])} {problem}" for index, problem in problems.items()]
            parts[name] = part.take([i for i in range(len(part)) if i not in problems]) if problems else part
            continue
        if not isinstance(part.images, FolderImages):
            parts[name] = part
            continue
        of_part = [seen[part.images.root][file] for file in part.images.files]
        pairs = zip(part.images.files, of_part, strict=True)
        bad += [f"{printable(file)} {look.problem}" for file, look in pairs if look.problem]
        known = replace(
            part, images=replace(part.images, digests=tuple(bytes.fromhex(look.digest) for look in of_part))
        )
        good = [index for index, look in enumerate(of_part) if look.problem is None]
        parts[name] = known if len(good) == len(known) else known.take(good)
    if bad and bad_images == "fail":
        raise DataError(_told(bad, source.title))
    _check_classes_left(source, parts)
    return replace(source, parts=parts, skipped=len(bad))


def _told(bad: list[str], title: str) -> str:
    count = "1 image" if len(bad) == 1 else f"{len(bad)} images"
    rest = [f"... and {len(bad) - MOST_NAMED} more"] if len(bad) > MOST_NAMED else []
    lines = "".join(f"\n  {line}" for line in bad[:MOST_NAMED] + rest)
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
    """Look into the files below `root`, in parallel, those that have not changed since the last time only from afar."""
    index = _index(root)
    kept = _read(index)
    with ThreadPoolExecutor(default_workers(), thread_name_prefix="zoo-scan") as pool:
        try:
            looks: dict[str, tuple[Stamp | None, ScanResult]] = {}
            for file, look in zip(files, pool.map(lambda file: _look(root / file, kept.get(file)), files), strict=True):
                looks[file] = look
                if watch:
                    watch(len(looks), len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    fresh = {file: (stamp, look) for file, (stamp, look) in looks.items() if stamp}
    if fresh != kept:
        with suppress(ZooError):  # a cache that cannot be written costs time, nothing else
            _write(index, fresh)
    return {file: look for file, (_, look) in looks.items()}


def _look(path: Path, kept: tuple[Stamp, ScanResult] | None) -> tuple[Stamp | None, ScanResult]:
    """What is in a file, with the stamp under which that may be kept; None when it may not."""
    try:
        facts = os.stat(path)
        stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if kept and kept[0] == stamp:
            return kept
        content = read_file(path)
    except (OSError, ValueError, DataError) as error:
        return None, ScanResult("", _reason(error))
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


def _index(root: Path) -> Path:
    """The file of the cache that belongs to a data folder."""
    name = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=16).hexdigest()
    return cache_dir() / "scans" / f"{name}.json"


def _read(index: Path) -> dict[str, tuple[Stamp, ScanResult]]:
    """What is kept, nothing when it is damaged or another reader's."""
    try:
        kept = json.loads(index.read_text(encoding="utf-8"))
        if kept["reader"] != READER:
            return {}
        return {
            file: ((size, modified, changed), ScanResult(*rest))
            for file, (size, modified, changed, *rest) in kept["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _write(index: Path, looks: Mapping[str, tuple[Stamp, ScanResult]]) -> None:
    rows = {file: [*stamp, look.digest, look.problem] for file, (stamp, look) in looks.items()}
    write_text(index, json.dumps({"reader": READER, "files": rows}))
