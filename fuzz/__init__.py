"""Damages good inputs by chance and gives them to zoo's readers: `python -m fuzz --seconds 60`."""

import os

# The libraries read these when they are imported: one thread a process, and no network.
os.environ.update(
    OMP_NUM_THREADS="1",
    HF_ENDPOINT="http://127.0.0.1:9",
    HF_HUB_DISABLE_IMPLICIT_TOKEN="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_XET="1",
)
