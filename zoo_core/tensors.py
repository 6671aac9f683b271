"""Reads and writes safetensors files.

A header is checked before any tensor is read; nothing is unpickled.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from zoo_core.errors import WeightsError, brief, reason_of
from zoo_core.paths import is_utf8, sync, written_whole

MAX_HEADER_BYTES = 16 * 2**20  # a model of 20,000 tensors needs about 2 MiB
MAX_TENSORS = 50_000
PICKLE_ENDINGS = {".pth", ".pt", ".bin", ".pkl", ".ckpt"}
PICKLE_MAGIC = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def refuse_pickle(path: Path) -> None:
    """Raise WeightsError when the name or the first bytes of a file are those of a pickle.

    A safetensors file starts with the length of its header, and the number 640 has the same two
    first bytes as a pickle: they count only where that length is beyond the cap.
    """
    with path.open("rb") as file:
        start = file.read(8)
    absurd = len(start) < 8 or struct.unpack("<Q", start)[0] > MAX_HEADER_BYTES
    if path.suffix in PICKLE_ENDINGS or (absurd and start.startswith(PICKLE_MAGIC)):
        raise WeightsError(
            f"{path} is a pickle, and loading it could run code. zoo reads safetensors only: "
            "convert it with safetensors' own tools, in a place you trust."
        )


def check_header(path: Path) -> None:
    """Raise WeightsError unless the file's header is within the caps and fits its length."""
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            if len(prefix) < 8:
                raise WeightsError(f"{path} is too short for a safetensors file: {length} bytes.")
            (header_length,) = struct.unpack("<Q", prefix)
            if header_length > MAX_HEADER_BYTES:
                raise WeightsError(
                    f"{path}: the header claims {header_length} bytes, more than the {MAX_HEADER_BYTES} that zoo "
                    "accepts. The file is damaged or not a safetensors file."
                )
            text = file.read(header_length)
    except OSError as error:
        raise WeightsError(f"{path} could not be read: {error.strerror or error}.") from error
    if len(text) < header_length:
        raise WeightsError(f"{path} ends in the middle of its header. Fetch it again.")
    # Each tensor's entry has one "dtype": counting it is cheap, parsing a hostile header is not.
    if text.count(b'"dtype"') > MAX_TENSORS:
        raise WeightsError(f"{path} names more than {MAX_TENSORS} tensors; zoo does not load it.")
    _check_extent(path, text, length - 8 - header_length)


def _check_extent(path: Path, text: bytes, data_length: int) -> None:
    try:
        header = json.loads(text)
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        end = max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} has no readable safetensors header.") from error
    if end != data_length:
        raise WeightsError(
            f"{path} should hold {brief(end)} bytes of tensors and holds {data_length}. "
            "It is truncated or damaged; fetch it again."
        )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Map a safetensors file into memory; a tensor's pages are read from disk at its first use.

    Raises WeightsError that names the file when it is a pickle, damaged or beyond the caps.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}.")
    refuse_pickle(path)
    check_header(path)
    try:
        if not is_utf8(path):  # safetensors opens no such path
            return load(path.read_bytes())
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:  # torch's, of a shape
        raise WeightsError(f"{path} is not a readable safetensors file: {reason_of(error)}.") from error


def write_tensors(target: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, whole or not at all; equal tensors give equal bytes."""
    with tensors_written(target, tensors):
        pass


@contextmanager
def tensors_written(target: Path, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Write a file in another thread while the block runs; it gets its name at the end."""
    plain = {key: _plain(tensor) for key, tensor in tensors.items()}
    with (
        written_whole(target) as temporary,
        TemporaryDirectory(prefix=f"{temporary.name}.", dir=temporary.parent) as aside,
        ThreadPoolExecutor(1, "zoo-write") as thread,
    ):
        written = thread.submit(_save, plain, Path(aside) / target.name, temporary)
        yield
        try:
            written.result()
        except SafetensorError as error:
            raise WeightsError(f"{target} could not be written: {error}.") from error


def _save(tensors: dict[str, Tensor], path: Path, target: Path) -> None:
    """Save to `path` and move it: a kill leaves safetensors' temporary file in `path`'s folder."""
    # One entry of metadata only: safetensors writes several in a random order.
    save_file(tensors, path, metadata={"format": "pt"})
    sync(path)
    path.replace(target)


def _plain(tensor: Tensor) -> Tensor:
    """A tensor on the CPU with its own storage: safetensors refuses tensors that share one."""
    tensor = tensor.detach().to("cpu").contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """Read a PyTorch state dict with weights_only=True, which runs no code of the file.

    Raises WeightsError when the file holds anything but named tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged files
        raise WeightsError(f"{path} is not a plain PyTorch state dict: {reason_of(error)}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds something else than tensors under names; zoo does not load it.")
    return dict(state)
