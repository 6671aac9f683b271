"""Settings for every test, of core and of the plugins: nobody's caches are touched and no hub is reached."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# One thread: on a busy machine the threads of small convolutions wait for each other at every barrier. The hub's client
# reads its settings when it is imported, so all of this has to come first.
_CACHES = tempfile.mkdtemp(prefix="zoo-tests-")
os.environ.update(
    OMP_NUM_THREADS="1",
    ZOO_CACHE=f"{_CACHES}/zoo",
    HF_HOME=f"{_CACHES}/hf",
    HF_ENDPOINT="http://127.0.0.1:9",  # nobody listens on the discard port
    ZOO_TORCH_ENDPOINT="http://127.0.0.1:9",
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_IMPLICIT_TOKEN="1",
)
for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "ZOO_DISABLE_PLUGINS"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def no_runs_are_left() -> Iterator[None]:
    """Seen to fail: sixty runs, gigabytes, lay in the folder from which the tests were started."""
    runs = Path("runs").absolute()
    before = {*runs.glob("*")}
    yield
    left = sorted(path.name for path in {*runs.glob("*")} - before)
    assert not left, f"tests left in {runs}: {', '.join(left)}"


def pytest_unconfigure() -> None:
    import shutil

    shutil.rmtree(_CACHES, ignore_errors=True)
