import pytest


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing is sent."""
    monkeypatch.setenv("WANDB_MODE", "offline")
