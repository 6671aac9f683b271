"""The file of an export: where it goes, and how a format's code writes and opens it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

from zoo_core.attribution import plugin_error
from zoo_core.catalog import Choice, owner_of
from zoo_core.errors import PluginError, UsageError, ZooError, is_out_of_memory, printable, reason_of
from zoo_core.paths import check_writable
from zoo_core.result_specs import ExporterSpec
from zoo_core.specs import resolve
from zoo_core.wording import quoted

OTHERS = "`zoo list exporters` shows other formats."
Array = npt.NDArray[Any]


def free_path(run: str | Path, out: str | Path | None, stem: str, spec: ExporterSpec, to: str) -> Path:
    """The path of the new file. Raises UsageError where something stands there, or where its
    second file goes, and for another suffix than the format's, and ZooError where no file can be
    made."""
    suffix = spec.suffix
    name = f"{stem}{suffix}"
    path = Path(out) if out is not None else Path(run) / name if Path(run).is_dir() else Path(name)
    if path.is_dir():
        raise UsageError(f"{printable(str(path))} is a folder. Give a file in it: -o {quoted(str(path / name))}")
    if path.suffix != suffix:
        raise UsageError(
            f"{printable(to)} writes {suffix} files. Give such a name: -o {quoted(str(path.with_suffix(suffix)))}"
        )
    for one in spec.files(path):
        if one.exists() or one.is_symlink():
            raise UsageError(f"{printable(str(one))} exists already. Remove it, or give another name with -o.")
    check_writable(path, "-o")
    return path


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path of the same name in a new folder, which goes with all that is in it."""
    parent = next(folder for folder in path.absolute().parents if folder.is_dir())
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=".export-"))
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def written(
    exporter: Choice[ExporterSpec],
    path: Path,
    *,
    calibration: Callable[[int], Iterator[Array]],
    explained: Callable[[], Any],
    **given: Any,
) -> None:
    """Write the file by the format's code; `given` are its arguments, and the others where its spec
    asks for them.

    Raises PluginError where it fails, or writes anything but this file and its second one.
    """
    if exporter.spec.calibrates:
        given["calibration"] = calibration
    if exporter.spec.explains:
        given["explained"] = explained
    with blaming(exporter):
        resolve(exporter.spec.export)(exporter.options, path=path, **given)
    made = sorted(one.name for one in path.parent.iterdir())
    asked = exporter.spec.files(path)
    if made != sorted(one.name for one in asked) or not all(one.is_file() and one.stat().st_size for one in asked):
        told = ", ".join(map(printable, made)) or "nothing"
        names = " and ".join(one.name for one in asked)
        count = "one file" if len(asked) == 1 else "the files"
        raise PluginError(f"{owner_of(exporter.entry)} wrote {told}, and not {count} {names} with something in it.")


def opened(exporter: Choice[ExporterSpec], path: Path) -> Callable[[Array], Array]:
    """The function that a file is, by the format's code. Raises PluginError."""
    with blaming(exporter):
        answers: Callable[[Array], Array] = resolve(exporter.spec.run)(path)
    return answers


@contextmanager
def blaming(exporter: Choice[ExporterSpec]) -> Iterator[None]:
    """Name the plugin whose code fails: that of the format, or that of a part of the network.

    A full disk and a full memory are nobody's fault.
    """
    try:
        yield
    except (ZooError, OSError):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        if (named := plugin_error(error)) is not None:
            raise PluginError(f"{named} {OTHERS}") from error
        raise PluginError(f"{owner_of(exporter.entry)} failed: {reason_of(error)}. {OTHERS}") from error
