"""Pull, fine-tune, publish, and use from another machine: real processes, fresh caches, the real client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save

from helpers import Zoo, make_photos
from hub.support import published_weights
from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.weights_specs import HubFile

REPO = "alice/pets"


@pytest.fixture
def hub() -> TestHub:
    with TestHub() as running:
        running.add_token("hf_alicestoken", user="alice")
        yield running


def test_a_model_goes_from_one_machine_to_another_and_answers_to_the_last_bit(
    zoo: Zoo, hub: TestHub, catalog: Catalog, tmp_path: Path
) -> None:
    pinned = next(
        source for source in catalog.backbone("resnet18").spec.weights[0].sources if isinstance(source, HubFile)
    )
    assert pinned.revision is not None
    hub.add_repo(pinned.repo, {pinned.file: save(published_weights(catalog, "resnet18"))}, revision=pinned.revision)
    photos = make_photos(tmp_path / "photos", count=4)

    def machine(name: str, token: str = "") -> dict[str, str]:
        places = {"HF_HOME": str(tmp_path / name / "hf"), "ZOO_CACHE": str(tmp_path / name / "zoo")}
        access = {"HF_TOKEN": token, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"} if token else {}
        return {"HF_ENDPOINT": hub.url, **places, **access}

    first, second = machine("first", "hf_alicestoken"), machine("second")
    options = ("--data", photos, "--image-size", 32, "--epochs", 1, "--out", "run")
    trained = zoo("finetune", "--backbone", "resnet18", *options, env=first)
    assert trained.returncode == 0, trained.stderr
    start = json.loads((tmp_path / "run" / "config.json").read_text())["start"]
    assert (start["source"], start["revision"]) == (f"hf:{pinned.repo}", pinned.revision)

    # The client's upload warns of itself, so this process does not take warnings for errors.
    published = zoo("publish", "run", REPO, "--json", env=first, warnings="default")
    assert published.returncode == 0, published.stderr
    assert json.loads(published.stdout)["commit"] == hub.head(REPO)

    images = sorted(photos.rglob("*.*"))
    here = json.loads(zoo("predict", "run", *images, "--json", env=first).stdout)["predictions"]
    there = zoo("predict", REPO, *images, "--json", env=second)
    assert json.loads(there.stdout)["predictions"] == here

    measured = zoo("evaluate", REPO, "--data", photos, "--json", env=second)
    answer = json.loads(measured.stdout)
    assert (answer["images"], answer["overlap"]) == (8, {"train": 6, "val": 2, "others": None})
    again = zoo("predict", REPO, *images, "--json", env={**second, "HF_HUB_OFFLINE": "1"})
    assert json.loads(again.stdout)["predictions"] == here
    found = json.loads(zoo("search", "pets", "--json", env=second).stdout)["models"]
    assert [(model["repo"], model["backbone"]) for model in found] == [(REPO, "resnet18")]
    assert "alice/pets" in zoo("search", env=second).stdout


def test_a_dry_run_shows_the_card_and_the_files(zoo: Zoo, hub: TestHub, photos: Path) -> None:
    zoo("finetune", "--backbone", "lenet5", "--data", photos, "--epochs", 1, "--out", "run")
    shown = zoo("publish", "run", REPO, "--dry-run", env={"HF_ENDPOINT": hub.url})
    assert shown.returncode == 0, shown.stderr
    for part in (
        "library_name: zoo",
        "model.safetensors",
        f"Nothing was sent. Without --dry-run this becomes {hub.url}",
    ):
        assert part in shown.stdout
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("publish", "run", "pets"), 2, "'pets' is not a repository 'owner/name'"),
        (("publish", "nowhere", REPO), 2, "nowhere is not a run directory"),
        (("predict", "alice/nothing", "x.png"), 1, "there is no such repository"),
        (("predict", "alice/nothing@../x", "x.png"), 2, "there is no run directory alice/nothing@../x"),
    ],
)
def test_wrong_addresses_end_with_one_clear_message(
    zoo: Zoo, hub: TestHub, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    answer = zoo(*arguments, env={"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")})
    assert answer.returncode == code, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
