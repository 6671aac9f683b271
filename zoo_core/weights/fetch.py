"""Fetches weights: from a reference to a verified safetensors file on this machine.

The sources of a reference are tried in the order in which its spec names them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zoo_core.errors import WeightsError
from zoo_core.hubclient.pull import cached, pull
from zoo_core.installing import install_hint
from zoo_core.paths import cache_dir, sha256_of
from zoo_core.verified import is_as_written, recorded_sha256, sha256_once
from zoo_core.weights.torch_server import cached_torch_file, pull_torch_file, write_converted
from zoo_core.weights_specs import HubFile, PackageFile, TorchFile, WeightsRef, WeightsSource


@dataclass(frozen=True)
class LocalWeights:
    """A weights file on this machine, and its origin, which a run records.

    `keys` is the import path of a function that translates the file's keys to the published ones.
    """

    path: Path
    source: str
    known_sha256: str | None = None
    revision: str | None = None
    keys: str | None = None

    @property
    def sha256(self) -> str:
        """The sha256 of the file's bytes, computed at first use where it is neither known nor
        recorded from an earlier run.

        Only the records of a run need it: prediction does not wait for it.
        """
        return self.known_sha256 or self._computed.result()

    def begin_sha256(self) -> None:
        """Start to compute the sha256 in another thread."""
        if self.known_sha256 is None:
            _ = self._computed

    @cached_property
    def _computed(self) -> Future[str]:
        thread = ThreadPoolExecutor(1, "zoo-sha256")
        computed = thread.submit(sha256_once, self.path, _sha256_in_one_call)
        thread.shutdown(wait=False)
        return computed


def _sha256_in_one_call(path: Path) -> str:
    """The sha256 of a mapped file.

    One call: a thread that hashes blocks waits for its turn after each.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return hashlib.sha256(content).hexdigest()


def fetch(owner: str, ref: WeightsRef) -> LocalWeights:
    """Return the file of the first source of `ref` that serves it.

    Raises WeightsError that lists the reason of every source.
    """
    reasons = []
    for source in ref.sources:
        try:
            return fetch_source(source)
        except WeightsError as error:
            reasons.append(str(error))
    raise nothing_found(owner, ref, reasons)


def nothing_found(owner: str, ref: WeightsRef, reasons: list[str]) -> WeightsError:
    """The error when no source serves the weights: the reason of each source, then the options."""
    is_remote = any(not isinstance(source, PackageFile) for source in ref.sources)
    pulled = f"With a network, `zoo pull {owner}@{ref.tag}` fetches them; " if is_remote else ""
    return WeightsError(
        f"the weights '{ref.tag}' of {owner} could not be had.\n  "
        + "\n  ".join(reasons)
        + f"\n{pulled}`--weights none` starts from scratch, `--weights PATH` takes a safetensors file."
    )


def fetch_source(source: WeightsSource) -> LocalWeights:
    """Return a verified file for one source; it is fetched or converted unless the cache has it."""
    match source:
        case PackageFile():
            return _from_package(source)
        case HubFile():
            (pulled,) = pull(source.repo, [source.file], revision=source.revision, sha256=source.sha256)
            return LocalWeights(pulled.path, f"hf:{source.repo}", pulled.sha256, pulled.commit, source.keys)
        case TorchFile():
            path = pull_torch_file(source)
            return LocalWeights(path, str(source), path.stem, keys=source.keys)


def on_this_machine(source: WeightsSource) -> Path | None:
    """The file of a source that needs no network, None where it would have to be fetched."""
    match source:
        case PackageFile():
            path = _package_path(source)
            return path if path is not None and path.is_file() else None
        case HubFile():
            found = cached(source.repo, source.file, source.revision)
            return found.path if found else None
        case TorchFile():
            return cached_torch_file(source)


def _package_path(source: PackageFile) -> Path | None:
    found = importlib.util.find_spec(source.package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / source.file


def _from_package(source: PackageFile) -> LocalWeights:
    path = _package_path(source)
    if path is None:
        hint = install_hint(source.package.replace("_", "-"))
        raise WeightsError(f"the package {source.package} is not installed. To install it: {hint}")
    if not path.is_file():
        raise WeightsError(f"the package {source.package} has no file {source.file}. Reinstall it.")
    if path.suffix == ".safetensors":
        _verify(path, source.sha256)
        return LocalWeights(path, str(source), source.sha256, keys=source.keys)
    return LocalWeights(converted(path, source.sha256), str(source), source.sha256, keys=source.keys)


def _converted_path(sha256: str) -> Path:
    return cache_dir() / "weights" / f"{sha256}.safetensors"


def converted(path: Path, sha256: str) -> Path:
    """Convert a PyTorch file to safetensors after its sha256 was verified.

    The cache keeps the result under the sha256 of the PyTorch file; a result whose bytes are not
    those that were written is converted again.
    """
    target = _converted_path(sha256)
    proven = recorded_sha256(target) is not None  # the original is at hand: no need to trust an older zoo's result
    if not (proven and is_as_written(target)):
        _verify(path, sha256)
        write_converted(path, target)
    return target


def _verify(path: Path, sha256: str) -> None:
    actual = sha256_of(path)
    if actual != sha256:
        raise WeightsError(
            f"{path.name} has the sha256 {actual[:12]}..., not {sha256[:12]}... as expected. Fetch it again."
        )
