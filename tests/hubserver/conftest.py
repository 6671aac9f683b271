"""Settings and fixtures for the tests of the test Hub itself."""

import os
from collections.abc import Iterator

import pytest

from .server import TestHub

# Set before huggingface_hub is imported, which reads its settings only once.
os.environ["HF_HUB_DISABLE_XET"] = "1"  # uploads must go the LFS way, which the test Hub serves
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"  # no test may send a token that lies on the machine


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub() as running_hub:
        yield running_hub


@pytest.fixture(autouse=True)
def closed_client() -> Iterator[None]:
    """Closes the client's connections after each test, so that none outlives its Hub."""
    yield
    from huggingface_hub import close_session

    close_session()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client wanted to sleep; it does not really."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds
