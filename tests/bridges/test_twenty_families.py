"""Networks of timm live through all that a network of zoo lives through: twenty of twenty families, ten with tokens.

`pytest tests/bridges -m whole` takes all of them; the other runs take the first of each layout.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

import zoo_core
from helpers import make_photos
from hub.conftest import caches, hub
from hub.support import Caches
from hubserver import TestHub
from zoo_core import FinetuneConfig
from zoo_core.catalog import Catalog
from zoo_core.hub.publish import publish
from zoo_core.paths import sha256_of
from zoo_core.runs.directory import read_facts, read_metrics
from zoo_core.training.callback import NullCallback
from zoo_core.training.run import resume
from zoo_core.weights_specs import HubFile

__all__ = ["caches", "hub"]
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
pytestmark = pytest.mark.filterwarnings("ignore")  # timm's and the client's own


def test_they_are_of_twenty_families_and_half_of_them_give_tokens(catalog: Catalog) -> None:
    specs = [catalog.backbone(f"timm-{name}").spec for name in (*TOKENS, *MAPS)]
    assert len({spec.family for spec in specs}) == 20
    assert [spec.features.kind for spec in specs] == ["tokens"] * 10 + ["map"] * 10


@pytest.mark.parametrize("name", CASES)
def test_a_network_of_timm_is_trained_cached_killed_resumed_and_published(
    hub: TestHub, caches: Caches, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spec = catalog.backbone(f"timm-{name}").spec
    (source,) = spec.weights[0].sources
    assert isinstance(source, HubFile)
    commit = hub.add_repo(source.repo, {source.file: weights_of_timm(name)})
    photos = make_photos(tmp_path / "photos", count=4)
    config = FinetuneConfig(backbone=spec.name, data=str(photos), save_every=0)

    def finetune(strategy: str, out: str, *, epochs: int = 1) -> Path:
        asked = replace(config, strategy=strategy, epochs=epochs, out=str(tmp_path / out))
        return zoo_core.finetune(asked, catalog=catalog).directory

    for strategy in ("head-only", "last:1", "full"):
        run = finetune(strategy, strategy.replace(":", ""))
        (epoch, _) = read_metrics(run)
        assert math.isfinite(epoch["train_loss"])
    start = read_facts(run).start
    assert start is not None
    assert (start.source, start.revision) == (f"hf:{source.repo}", commit)

    features = stored(caches.zoo / "features")
    assert features
    again = finetune("head-only", "again")
    assert stored(caches.zoo / "features") == features
    assert sha256_of(again / "model.safetensors") == sha256_of(tmp_path / "head-only" / "model.safetensors")

    whole, killed = finetune("last:1", "whole", epochs=4), tmp_path / "killed"
    given = ["--strategy", "last:1", "--data", str(photos), "--epochs", "4", "--save-every", "0", "--out", str(killed)]
    places = {"HF_HOME": str(caches.hub.parent), "HF_ENDPOINT": hub.url}
    kill_after_its_first_epoch(["finetune", "--backbone", spec.name, *given], killed, places)
    resume(killed, catalog, NullCallback())
    assert sha256_of(killed / "model.safetensors") == sha256_of(whole / "model.safetensors")

    hub.add_token("hf_alicestoken", user="alice")
    monkeypatch.setenv("HF_TOKEN", "hf_alicestoken")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    publish(tmp_path / "last1", REPO, catalog=catalog)
    images = sorted(photos.rglob("*.*"))
    here = zoo_core.load(tmp_path / "last1", device="cpu", catalog=catalog).predict(images)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "another machine"))
    there = zoo_core.load(REPO, device="cpu", catalog=catalog).predict(images)
    assert len(here) == 8
    assert [one.answers for one in here] == [one.answers for one in there]


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
