"""A local Hub that the code under test asks in this process, and caches of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from hub.support import CONFIG, LARGE, REPO, SMALL, WEIGHTS, Caches, point_to
from hubserver import TestHub
from zoo_core.hubclient import client as asking


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caches:
    """Empty caches. The client's settings were read when it was imported: they are changed where it keeps them."""
    made = Caches(tmp_path / "hf" / "hub", tmp_path / "zoo-cache")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(made.hub))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setenv("ZOO_CACHE", str(made.zoo))
    return made


@pytest.fixture
def hub(caches: Caches, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    """A Hub with one repository of a large and a small file, which this process takes for the real one."""
    asking._unreachable.clear()
    with TestHub() as running:
        running.add_repo(REPO, {LARGE: WEIGHTS, SMALL: CONFIG})
        point_to(running.url, monkeypatch)
        yield running
        close_session()
    asking._unreachable.clear()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been slept; nobody really sleeps."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds
