"""Fetches published models. A published model is a trimmed run, which the loader of runs opens."""

from __future__ import annotations

from pathlib import Path

from zoo_core.errors import UsageError, ZooError
from zoo_core.hubclient.pull import parse_address, pull
from zoo_core.runs.directory import CONFIG, FITTED, IMAGES, MODEL, is_run


def is_address(text: str) -> bool:
    """Whether a text reads as `owner/name` or `owner/name@revision`."""
    try:
        parse_address(text)
    except UsageError:
        return False
    return True


def pull_run(address: str) -> Path:
    """Fetch a published model into the cache; return its folder, which opens like a run directory.

    Raises HubError when the repository cannot be had, and ZooError when it holds no zoo model.
    """
    repo, revision = parse_address(address)
    config, *_ = pull(repo, [CONFIG, MODEL], optional=[IMAGES, FITTED], revision=revision, newest=True)
    directory = config.path.parent
    if not is_run(directory):
        raise ZooError(
            f"hf:{repo} is not a zoo model: its {CONFIG} is not that of a run. As a start for training, "
            f"`zoo finetune --weights hf:{repo}` takes its weights if they fit the backbone."
        )
    return directory
