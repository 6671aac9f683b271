"""Data sets whose address has a scheme of zoo's own: `hf:` and `wds:`."""

from __future__ import annotations

from zoo_core.data.scan import Watch
from zoo_core.data.sources import Source
from zoo_core.settings import TaskChoice


def open_streaming_dataset(data: str, task: TaskChoice = "auto", watch: Watch | None = None) -> Source | None:
    """The data set `hf:...` or `wds:...`, with all shards indexed; None for any other address."""
    scheme, _, rest = data.partition(":")
    if scheme == "hf":
        from zoo_core.streaming.hubdata import open_hub_data

        return open_hub_data(rest, task, watch)
    if scheme == "wds":
        from zoo_core.streaming.webdataset import open_tars

        return open_tars(rest, watch)
    return None
