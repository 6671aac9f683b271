"""Fine-tunes in threads of one process end as each does alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import zoo_core
from zoo_core.catalog import Catalog
from zoo_core.paths import sha256_of


def test_fine_tunes_in_threads_end_as_each_does_alone(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: they drew from one stream of random numbers."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))

    def weights(name: str) -> str:
        config = zoo_core.FinetuneConfig(
            backbone="lenet5", head="mlp:hidden=8,dropout=0.5", strategy="full", data=str(photos), epochs=3
        )
        run = zoo_core.finetune(replace(config, out=str(tmp_path / name)), catalog=catalog).directory
        return sha256_of(run / "model.safetensors")

    alone = weights("alone")
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(weights, ["a", "b", "c"])) == {alone}
