"""Fine-tunes on the same photos as a folder, as tar shards and as data sets of the Hub.

Seen to fail without their guards: with another order of shards in each process a resumed run ended with other bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

from helpers import Zoo
from hubserver import TestHub
from streaming.support import FileServer, Photo, parquet_shards, serving, write_shards
from survive.support import Forks, history_of, weights_of
from zoo_core.catalog import Catalog
from zoo_core.evaluation import evaluate_run
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job

PLAIN = FinetuneConfig(backbone="lenet5", weights="none", epochs=2, batch_size=8, workers=2, precision="float32")
SMALL_ROOM = 0.000065  # gigabytes: two of four shards


@pytest.fixture
def server(tmp_path: Path, photos: list[Photo]) -> Iterator[FileServer]:
    write_shards(tmp_path / "shards", photos)
    with serving(tmp_path / "shards") as running:
        yield running
        close_session()


@pytest.fixture
def sources(server: FileServer, hub: TestHub, folder: Path, photos: list[Photo], tmp_path: Path) -> dict[str, str]:
    """What `--data` says for each form of the same photos."""
    if "datasets/acme/photos" not in hub.store.repos:
        hub.add_repo("datasets/acme/photos", parquet_shards(photos))
    return {
        "folder": str(folder),
        "tars": f"wds:{tmp_path}/shards/photos-{{000..003}}.tar",
        "addresses": f"wds:{server.url}/photos-{{000..003}}.tar",
        "hub": "hf:acme/photos",
        "streamed": "hf:acme/photos:streaming=yes",
    }


def run(config: FinetuneConfig, catalog: Catalog) -> Any:
    return run_job(prepare(config, catalog), NullCallback())


def losses(directory: Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(line.get("train_loss"), line.get("val_loss"), line.get("loss"), line.get("correct")) for line in lines]


def test_the_same_images_give_the_same_losses_and_features_whatever_they_come_in(
    sources: dict[str, str], catalog: Catalog, tmp_path: Path
) -> None:
    trained = {}
    for strategy in ("full", "head-only"):
        for form, data in sources.items():
            out = str(tmp_path / f"{strategy}-{form}")
            result = run(replace(PLAIN, data=data, strategy=strategy, out=out), catalog)
            trained[strategy, form] = losses(result.directory)
            if strategy == "head-only":
                assert (result.num_computed == 0) == (form != "folder"), f"{form}: features were computed again"
        assert all(trained[strategy, form] == trained[strategy, "folder"] for form in sources)
    for data in sources.values():
        measured = evaluate_run(str(tmp_path / "full-folder"), data=data, device="cpu", catalog=catalog)
        assert measured.evaluation.images == 20
        assert measured.evaluation.loss == pytest.approx(0.69, abs=0.2)
    own = [
        evaluate_run(str(tmp_path / f"full-{form}"), data=None, device="cpu", catalog=catalog).evaluation.loss
        for form in sources
    ]
    assert len(set(own)) == 1


def test_it_is_told_how_many_shards_are_looked_into_before_a_run_is_measured(
    sources: dict[str, str], catalog: Catalog, tmp_path: Path
) -> None:
    trained = run(replace(PLAIN, data=sources["folder"], strategy="head-only", out=str(tmp_path / "run")), catalog)
    told: list[tuple[int, int]] = []

    def watch(done: int, total: int) -> None:
        told.append((done, total))

    evaluate_run(str(trained.directory), data=sources["tars"], device="cpu", catalog=catalog, scanning=watch)
    assert told
    assert told[-1][0] == told[-1][1]


def test_a_run_trains_on_more_than_its_disk_may_hold(
    sources: dict[str, str], catalog: Catalog, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_core.streaming import shard_cache

    most = []
    evict = shard_cache.evict

    def watched(*arguments: object, **settings: object) -> list[Path]:
        removed = evict(*arguments, **settings)
        most.append(len(list((cache / "shards").glob("[!.]*.tar"))))
        return removed

    monkeypatch.setattr(shard_cache, "evict", watched)
    data = f"{sources['addresses']}:disk_gb={SMALL_ROOM}"
    run(replace(PLAIN, data=data, strategy="full", out=str(tmp_path / "run")), catalog)
    assert len(most) > 4, "all shards stayed on the disk"
    assert max(most) <= 2


@pytest.mark.parametrize("form", ["tars", "addresses", "hub", "streamed"])
def test_the_command_line_trains_on_every_form(
    zoo: Zoo, sources: dict[str, str], hub: TestHub, tmp_path: Path, form: str
) -> None:
    arguments = ("--backbone", "lenet5", "--weights", "none", "--epochs", 1, "--data", sources[form])
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "ZOO_CACHE": str(tmp_path / "cache")}
    answer = zoo("finetune", *arguments, "--json", env=env)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["result"]["images"] == 4


def test_two_processes_that_share_a_disk_for_shards_have_the_losses_of_one(
    forks: Forks, sources: dict[str, str], tmp_path: Path
) -> None:
    data = f"{sources['addresses']}:disk_gb={SMALL_ROOM}"
    arguments = ("--backbone", "lenet5", "--weights", "none", "--strategy", "full", "--epochs", 2, "--data", data)
    for name, caches in (("one", ("alone",)), ("two", ("shared", "shared"))):
        answer = forks.zoo("finetune", *arguments, "--batch-size", 5, "--out", name, cwd=tmp_path, caches=caches)
        assert answer.code == 0, answer.text
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) == 3
    for lines in zip(one, two, strict=True):
        assert [value or 0 for value in lines[0]] == pytest.approx([value or 0 for value in lines[1]], rel=1e-5)


def test_the_command_line_tells_what_is_wrong_in_one_line(zoo: Zoo, hub: TestHub, tmp_path: Path) -> None:
    for data, code in (("hf:acme/nothing", 1), ("wds:nothing.tar", 2), ("wds:http://127.0.0.1:9/a.tar", 1)):
        answer = zoo("finetune", "--backbone", "lenet5", "--data", data, env={"HF_ENDPOINT": hub.url})
        assert (answer.returncode, answer.stdout) == (code, "")
        assert len(answer.stderr.strip().splitlines()) == 1, answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_killed_run_on_shards_goes_on_and_ends_with_the_same_bytes(
    forks: Forks, sources: dict[str, str], tmp_path: Path
) -> None:
    data = f"{sources['addresses']}:disk_gb={SMALL_ROOM}"
    settings = ("--backbone", "lenet5", "--weights", "none", "--strategy", "full", "--epochs", 4, "--batch-size", 2)
    settings += ("--data", data, "--save-every", 0, "--out", "run")  # type: ignore[assignment]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    ended = forks.zoo("finetune", *settings, cwd=whole)
    assert ended.code == 0, ended.text
    kills = 0
    for share in (0.3, 0.6, 0.8):
        command = ("finetune", *settings) if kills == 0 else ("resume", "run")
        kills += forks.zoo(*command, cwd=killed, kill_after=share * ended.seconds).code == -9
    assert kills > 0
    last = forks.zoo("resume", "run", cwd=killed)
    assert last.code == 0 or "is finished" in last.text, last.text
    assert weights_of(killed / "run") == weights_of(whole / "run")
    assert history_of(killed / "run") == history_of(whole / "run")
