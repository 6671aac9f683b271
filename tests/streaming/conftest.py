"""Photos in every form, a cache of the test's own, and a Hub that the code under test takes for the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from helpers import make_photos
from hubserver import TestHub
from streaming.support import Photo, photos_in
from zoo_core.hubclient import client as asking


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ten small photos each."""
    return make_photos(tmp_path_factory.mktemp("streaming") / "photos")


@pytest.fixture(scope="session")
def photos(folder: Path) -> list[Photo]:
    return photos_in(folder)


@pytest.fixture(scope="session")
def running_hub() -> Iterator[TestHub]:
    """One for all tests: the package `datasets` remembers whom it asked."""
    with TestHub() as running:
        yield running


@pytest.fixture
def hub(running_hub: TestHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    """A Hub for this process, with caches of the test's own. What reads its address at import is told it again."""
    import datasets

    asking._unreachable.clear()
    url = running_hub.url
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf" / "datasets")
    monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", url + "/datasets/{repo_id}/resolve/{revision}/{path}")
    yield running_hub
    running_hub.clear_faults()
    close_session()
    asking._unreachable.clear()
