"""Networks of timm live through all that a network of zoo lives through: twenty of twenty families, ten with tokens.

`pytest tests/bridges -m whole` takes all of them, in about MINUTES minutes; the other runs take the first of each layout.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from helpers import Zoo, make_photos
from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.paths import sha256_of
from zoo_core.weights_specs import HubFile

TOKENS = (
    "test_vit",
    "xcit_nano_12_p16_224",
    "levit_128s",
    "convit_tiny",
    "deit_tiny_distilled_patch16_224",
    "efficientformer_l1",
    "gmixer_24_224",
    "eva02_tiny_patch14_224",
    "cait_xxs24_224",
    "vit_relpos_small_patch16_224",
)
MAPS = (
    "test_convnext",
    "mambaout_femto",
    "test_efficientnet",
    "test_byobnet",
    "test_resnet",
    "test_nfnet",
    "mobilenetv3_small_050",
    "regnetx_002",
    "edgenext_xx_small",
    "efficientvit_m0",
)
CASES = [
    pytest.param(name, marks=() if name in (TOKENS[0], MAPS[0]) else pytest.mark.whole) for name in (*TOKENS, *MAPS)
]
REPO = "alice/animal"


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub() as running:
        running.add_token("hf_alicestoken", user="alice")
        yield running


def test_they_are_of_twenty_families_and_half_of_them_give_tokens(catalog: Catalog) -> None:
    specs = [catalog.backbone(f"timm-{name}").spec for name in (*TOKENS, *MAPS)]
    assert len({spec.family for spec in specs}) == 20
    assert [spec.features.kind for spec in specs] == ["tokens"] * 10 + ["map"] * 10


@pytest.mark.parametrize("name", CASES)
def test_a_network_of_timm_is_trained_cached_killed_resumed_and_published(
    zoo: Zoo, hub: TestHub, catalog: Catalog, tmp_path: Path, name: str
) -> None:
    spec = catalog.backbone(f"timm-{name}").spec
    (source,) = spec.weights[0].sources
    assert isinstance(source, HubFile)
    commit = hub.add_repo(source.repo, {source.file: weights_of_timm(name)})
    photos = make_photos(tmp_path / "photos", count=4)
    places = {"HF_HOME": str(tmp_path / "hf"), "ZOO_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": hub.url}
    alice = {**places, "HF_TOKEN": "hf_alicestoken", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}

    def settings(strategy: str, out: str, epochs: int) -> list[str]:
        given = ["--strategy", strategy, "--data", str(photos), "--epochs", str(epochs), "--save-every", "0"]
        return ["finetune", "--backbone", spec.name, *given, "--out", out]

    def finetune(strategy: str, out: str, *, epochs: int = 1) -> Path:
        ended = zoo(*settings(strategy, out, epochs), env=places, warnings="ignore")
        assert ended.returncode == 0, ended.stderr
        return tmp_path / out

    for strategy in ("head-only", "last:1", "full"):
        run = finetune(strategy, strategy.replace(":", ""))
        losses = [json.loads(line)["train_loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert losses
        assert all(map(math.isfinite, losses))
    start = json.loads((run / "config.json").read_text())["start"]
    assert (start["source"], start["revision"]) == (f"hf:{source.repo}", commit)

    features = stored(tmp_path / "cache" / "features")
    assert features
    again = finetune("head-only", "again")
    assert stored(tmp_path / "cache" / "features") == features
    assert sha256_of(again / "model.safetensors") == sha256_of(tmp_path / "head-only" / "model.safetensors")

    whole = finetune("last:1", "whole", epochs=8)
    kill_after_its_first_epoch(settings("last:1", "killed", 8), tmp_path / "killed", places)
    resumed = zoo("resume", "killed", env=places, warnings="ignore")
    assert resumed.returncode == 0, resumed.stderr
    assert sha256_of(tmp_path / "killed" / "model.safetensors") == sha256_of(whole / "model.safetensors")

    published = zoo("publish", "last1", REPO, env=alice, warnings="ignore")
    assert published.returncode == 0, published.stderr
    images = sorted(photos.rglob("*.*"))
    here, there = (
        json.loads(zoo("predict", model, *images, "--json", env=env, warnings="ignore").stdout)["predictions"]
        for model, env in (("last1", places), (REPO, {**places, "HF_HOME": str(tmp_path / "another machine")}))
    )
    assert len(here) == 8
    assert here == there


def weights_of_timm(name: str) -> bytes:
    """A file as timm publishes its weights: the state of its own network under its own keys."""
    import timm

    torch.manual_seed(1)
    network = timm.create_model(name)
    return save({key: tensor.contiguous().clone() for key, tensor in network.state_dict().items()})


def stored(folder: Path) -> dict[str, int]:
    """The files of a cache with their sizes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def kill_after_its_first_epoch(command: list[str], run: Path, env: dict[str, str]) -> None:
    """Start zoo, and kill it by SIGKILL as soon as it has written a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo_core", *command],
        cwd=run.parent,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not [*run.glob("checkpoints/*/state.json")]:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
