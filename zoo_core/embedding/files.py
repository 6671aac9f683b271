"""Tables of features as files: .npz, .csv and .parquet, written whole or not at all.

Shapes: N images, V views, F features, K labels or numbers.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zoo_core.csv_rows import csv_writer
from zoo_core.embedding import POOLED
from zoo_core.errors import UsageError, ZooError, shown
from zoo_core.installing import install_hint
from zoo_core.paths import check_new_file, written_whole

if TYPE_CHECKING:
    from zoo_core.data.scan import Watch
    from zoo_core.frozen.table import FeatureTable

KINDS = (".npz", ".csv", ".parquet")


def check_target(target: Path, at: str) -> None:
    """Raise UsageError unless features at this place can be written to this file, which is new."""
    kind = target.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"'{shown(target.name)}' names no kind of file. Give --out a name with {', '.join(KINDS)}.")
    check_new_file(target, "--out")
    if kind != ".npz" and at != POOLED:
        raise UsageError(
            f"a {kind} file holds a vector for each image, and the features at {shown(at)} are maps or tokens. Give "
            "--out a name with .npz, or leave out --at."
        )
    if kind == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ZooError(f"a .parquet file is written by pyarrow, which is not installed: {install_hint('pyarrow')}")


def write_table(target: Path, table: FeatureTable, watch: Watch) -> None:
    """Write a table in the format that the ending of the file names.

    `watch` is told (images written, images).
    """
    writers = {".npz": _write_npz, ".csv": _write_csv, ".parquet": _write_parquet}
    with written_whole(target) as temporary:
        writers[target.suffix.lower()](temporary, table, watch)


def _write_npz(path: Path, table: FeatureTable, watch: Watch) -> None:
    """An archive of arrays: `features` (N, F), or as the table's shape, written some images at a
    time; `targets` (N) or (N, K), `classes` (K), `paths`, `digests` and `parts` (N)."""
    texts = {"classes": table.classes, "paths": table.paths, "digests": table.digests, "parts": table.parts}
    arrays = {"targets": table.targets} | {name: np.array(own, np.str_) for name, own in texts.items()}
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("features.npy", "w", force_zip64=True) as file:
            header = {"descr": table.dtype.str, "fortran_order": False, "shape": table.shape}
            np.lib.format.write_array_header_2_0(file, header)
            for _, chunk in _chunks(table, watch):
                file.write(np.ascontiguousarray(chunk).data)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _write_csv(path: Path, table: FeatureTable, watch: Watch) -> None:
    """A row for each view of an image; nine digits give a float32 back to the bit."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        writer = csv_writer(stream)
        for start, chunk in _chunks(table, watch):
            facts = _facts(table, start, start + len(chunk))
            if start == 0:
                writer.writerow([*facts, *(f"f{number}" for number in range(chunk.shape[-1]))])
            vectors = chunk.reshape(-1, chunk.shape[-1]).tolist()
            for cells, vector in zip(zip(*facts.values(), strict=True), vectors, strict=True):
                writer.writerow([*cells, *(f"{number:.9g}" for number in vector)])


def _write_parquet(path: Path, table: FeatureTable, watch: Watch) -> None:
    """A row for each view of an image, whose `features` are a list of float32."""
    import pyarrow
    from pyarrow import parquet

    writer = None
    try:
        for start, chunk in _chunks(table, watch):
            columns: dict[str, Any] = dict(_facts(table, start, start + len(chunk)))
            columns["path"] = [one.encode("utf-8", "backslashreplace").decode() for one in columns["path"]]
            columns["features"] = pyarrow.FixedSizeListArray.from_arrays(chunk.reshape(-1), chunk.shape[-1])
            batch = pyarrow.RecordBatch.from_pydict(columns)
            writer = writer or parquet.ParquetWriter(path, batch.schema)
            writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()


def _facts(table: FeatureTable, start: int, stop: int) -> dict[str, list[Any]]:
    """The columns of some images beside their features, an entry for each view: path, part, digest,
    view where there are several, then the class, or a number for each target."""
    images = range(start, stop)
    facts: dict[str, list[Any]] = {
        "path": [table.paths[index] for index in images],
        "part": [table.parts[index] for index in images],
        "digest": [table.digests[index] for index in images],
    }
    targets = table.targets[start:stop]
    if targets.ndim == 1:
        facts["class"] = [table.classes[target] for target in targets]
    else:
        facts |= {f"target_{name}": targets[:, place].tolist() for place, name in enumerate(table.classes)}
    facts = {name: [value for value in values for _ in range(table.views)] for name, values in facts.items()}
    return facts if table.views == 1 else {**facts, "view": [*range(table.views)] * len(images)}


def _chunks(table: FeatureTable, watch: Watch) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Some rows of a table at a time, each with the number of its first image."""
    done = 0
    for chunk in table.chunks():
        yield done, chunk
        done += len(chunk)
        watch(done, len(table))
