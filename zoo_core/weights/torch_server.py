"""Fetches files of torchvision's server, checks their hash, converts them to safetensors."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from zoo_core.errors import HubError, WeightsError
from zoo_core.hubclient.client import attempt, guarded_api, offline, scrubbed
from zoo_core.hubclient.pull import NOT_CACHED
from zoo_core.paths import cache_dir, sha256_of
from zoo_core.verified import is_as_written, remember
from zoo_core.weights_specs import TorchFile

ENDPOINT = "https://download.pytorch.org/models"
ENDPOINT_VARIABLE = "ZOO_TORCH_ENDPOINT"
LOCK = ".torch.lock"
PARTIAL = ".torch-"
MAX_FILE_BYTES = 4 * 2**30  # the largest file of torchvision's has 2.6 GB


def cached_torch_file(source: TorchFile) -> Path | None:
    """The converted file in the cache, None where there is none.

    Its name is the sha256 of the original.
    """
    found = sorted((cache_dir() / "weights").glob(f"{source.sha256_prefix}*.safetensors"))
    return next((path for path in found if is_as_written(path)), None)


def pull_torch_file(source: TorchFile) -> Path:
    """Return a file of torchvision's server as safetensors; it is fetched unless the cache has it.

    The environment variable `ZOO_TORCH_ENDPOINT` names a mirror. Raises HubError when the file
    cannot be had, and WeightsError when its hash is not the one in its name or when it holds more
    than tensors.
    """
    from huggingface_hub.utils._fixes import WeakFileLock

    converted = cached_torch_file(source)
    if converted is not None:
        return converted
    if offline():
        raise HubError(f"{source}: {NOT_CACHED}")
    base = os.environ.get(ENDPOINT_VARIABLE, ENDPOINT).rstrip("/")
    attempt(str(source), lambda: _ask(f"{base}/{source.file}"), place=scrubbed(base))
    folder = cache_dir() / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(folder / LOCK):  # one process downloads; the others use its result
        return cached_torch_file(source) or _fetch_and_convert(source, base, folder)


def _fetch_and_convert(source: TorchFile, base: str, folder: Path) -> Path:
    for orphan in folder.glob(f"{PARTIAL}*"):
        # Of a killed process: a living one holds the lock.
        shutil.rmtree(orphan, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as temporary:
        path = Path(temporary) / source.file  # so that an error names it
        sha256 = _fetch(source, base, path)
        target = folder / f"{sha256}.safetensors"
        write_converted(path, target)
    return target


def write_converted(path: Path, target: Path) -> None:
    """Convert a PyTorch file to safetensors, and record the hash of the result."""
    from zoo_core.tensors import read_torch_file, write_tensors

    write_tensors(target, read_torch_file(path))
    remember(target, sha256_of(target))


def _fetch(source: TorchFile, base: str, path: Path) -> str:
    for _ in range(2):
        download = partial(_stream, f"{base}/{source.file}", path)
        attempt(str(source), download, place=scrubbed(base), most=MAX_FILE_BYTES)
        sha256 = sha256_of(path)
        if sha256.startswith(source.sha256_prefix):
            return sha256
    raise WeightsError(
        f"{source}: fetched twice, and its sha256 {sha256[:12]}... does not begin as its name says. Nothing was kept. "
        "Try again later, or from another network or mirror."
    )


def _ask(url: str) -> None:
    """Raise an error of the client when the server has no such file. Nothing is written."""
    from huggingface_hub.utils._http import get_session

    guarded_api()
    with get_session().stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
        response.raise_for_status()


def _stream(url: str, path: Path) -> None:
    """Download an address to a file through the guarded client, with a progress bar."""
    from huggingface_hub.utils._http import get_session
    from huggingface_hub.utils.tqdm import tqdm

    with get_session().stream("GET", url) as response, path.open("wb") as file:
        response.raise_for_status()
        total = int(response.headers.get("content-length", 0)) or None
        with tqdm(total=total, unit="B", unit_scale=True, desc=url.rpartition("/")[2]) as bar:  # type: ignore[no-untyped-call]
            for chunk in response.iter_bytes():
                file.write(chunk)
                bar.update(len(chunk))
