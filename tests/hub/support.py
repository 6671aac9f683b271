"""What the tests of pulling share: one repository's content, caches, and a way to take another server for the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.model.assemble import build_network

REPO = "acme/net"
WEIGHTS = save({"weight": torch.arange(5000.0)})
CONFIG = b'{"depth": 18}'
LARGE, SMALL = "model.safetensors", "config.json"
BODY = "/lfs-objects/"


@dataclass(frozen=True)
class Caches:
    """The two caches of one test."""

    hub: Path
    zoo: Path

    def files(self) -> list[str]:
        """What is kept of files in the Hub's cache, whole or not: blobs and the names that point to them."""
        found = (path for path in self.hub.rglob("*") if path.is_file() or path.is_symlink())
        return sorted(
            str(path.relative_to(self.hub)) for path in found if path.suffix != ".lock" and path.name != "CACHEDIR.TAG"
        )

    def blobs(self) -> list[str]:
        return sorted(path.name for path in self.hub.glob("models--*/blobs/*"))


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client of this process take another server for the Hub."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


def published_weights(catalog: Catalog, name: str, *, seed: int = 1) -> dict[str, torch.Tensor]:
    """Random weights of a backbone's published network, under the published keys."""
    torch.manual_seed(seed)
    return {key: tensor.detach().clone() for key, tensor in build_network(catalog.backbone(name)).named_upstream()}


def bodies(hub: TestHub, path: str = BODY) -> int:
    """How often the body of a large file was asked for."""
    return sum(seen.method == "GET" and path in seen.path for seen in hub.requests)


def write_plugin(folder: Path, specs: str, *, name: str = "zoo-ours") -> Path:
    """Lay a plugin of our own into a folder as pip would; on the path, it is installed. `specs` makes its backbones."""
    module = name.replace("-", "_")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo]\nours = {module}\n")
    (folder / f"{module}.py").write_text(
        "from dataclasses import replace\n"
        "from zoo_core import HubFile, TorchFile, WeightsRef, hookimpl\n"
        "\n\n"
        "def weights(spec, tag, *sources):\n"
        "    where = spec.preprocessing\n"
        "    return WeightsRef(tag=tag, sources=sources, preprocessing=where, data='ours', licence='MIT')\n\n\n"
        f"@hookimpl\ndef zoo_backbones():\n{indented(specs)}\n"
    )
    return folder


def indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.strip().splitlines())
