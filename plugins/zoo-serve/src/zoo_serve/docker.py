"""A folder from which a container of a run is built, with all versions as they are installed here."""

from __future__ import annotations

import json
import platform
import re
import shlex
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from zoo_core import Predictor, UsageError

FILES = ("config.json", "model.safetensors", "fitted.safetensors", "metrics.jsonl")
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
COMMAND = ("zoo", "serve", "/srv/model", "--host", "0.0.0.0", "--port", "8000")
OURS = ("zoo-core", "zoo-serve")


def write_folder(folder: Path, predictor: Predictor, options: Sequence[str]) -> Iterator[str]:
    """Write Dockerfile, requirements and the run to a new folder, whose server has these options;
    yield sentences on the rest.

    Raises UsageError for a folder that has something in it or cannot be written, and for a
    backbone.
    """
    try:
        yield from _written(folder, predictor, options)
    except OSError as error:
        raise UsageError(
            f"{str(folder)!r} cannot be written: {error.strerror or error}. Free space or give another --dockerfile."
        ) from error


def _written(folder: Path, predictor: Predictor, options: Sequence[str]) -> Iterator[str]:
    if predictor.directory is None or predictor.facts is None:
        raise UsageError("a container is written for a run: fine-tune the backbone first.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{str(folder)!r} exists and is not empty. Give another --dockerfile.")
    ours = sorted({*OURS, predictor.facts.backbone.distribution, predictor.facts.head.distribution})
    pinned = sorted(f"{name}=={version}" for name, version in _needed(ours).items() if name not in ours)
    (folder / "model").mkdir(parents=True)
    (folder / "wheels").mkdir()
    for name in FILES:
        if (predictor.directory / name).is_file():
            shutil.copyfile(predictor.directory / name, folder / "model" / name)
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n", encoding="utf-8")
    python = platform.python_version()
    command = json.dumps([*COMMAND, *options])
    text = _text("Dockerfile.txt").format(python=python, index=TORCH_INDEX, command=command)
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    sources = " ".join("." if name == "zoo-core" else f"./plugins/{name}" for name in ours)
    place = folder.resolve()
    wheels = shlex.quote(str(place / "wheels"))
    text = _text("container.txt").format(
        folder=shlex.quote(str(place)), wheels=wheels, sources=sources, name=_tag(place.name)
    )
    (folder / "README.txt").write_text(text, encoding="utf-8")
    yield f"{folder / 'Dockerfile'}: Python {python}, {len(pinned)} packages in the versions that are installed here."
    yield f"{folder / 'README.txt'} has the two commands that build and start it."


def _tag(name: str) -> str:
    """A name that docker takes for an image: small letters of ASCII, digits and dashes."""
    plain = unicodedata.normalize("NFKD", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"[\u0300-\u036f]", "", plain)).strip("-") or "zoo"


def _text(name: str) -> str:
    return files("zoo_serve").joinpath("resources", name).read_text(encoding="utf-8")


def _needed(names: list[str]) -> dict[str, str]:
    """The installed versions of some distributions and of all that they require, on a CPU of this
    kind."""
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found or name.startswith(("nvidia-", "cuda-")) or name == "triton":
            continue
        try:
            one: Distribution = distribution(name)
        except PackageNotFoundError as error:
            raise UsageError(
                f"'{name}' is required and not installed here, so that no version can be pinned."
            ) from error
        found[name] = one.version
        waiting += [need.name for need in map(Requirement, one.requires or []) if _applies(need.marker)]
    return found


def _applies(marker: Marker | Any) -> bool:
    return marker is None or marker.evaluate({"extra": ""})
