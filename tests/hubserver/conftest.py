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
def plain_client() -> Iterator[None]:
    """The client as it comes, without zoo's guards; its connections are closed after each test."""
    from huggingface_hub import close_session, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    set_client_factory(default_client_factory)
    yield
    close_session()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client wanted to sleep; it does not really."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds
