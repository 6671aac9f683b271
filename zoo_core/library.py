"""zoo as a library: the three functions that programs call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zoo_core.catalog import Catalog, open_catalog
from zoo_core.devices.find import find_device
from zoo_core.errors import HubError, UsageError
from zoo_core.hub.load import is_address, pull_run
from zoo_core.model.assemble import Model, build_head_for
from zoo_core.predict import Predictor, open_pretrained, open_run
from zoo_core.settings import FinetuneConfig
from zoo_core.training import run
from zoo_core.training.callback import Callback, NullCallback
from zoo_core.training.run import Result
from zoo_core.weights.resolve import load_backbone, resolve_weights


def create_model(
    backbone: str,
    *,
    num_classes: int,
    head: str = "linear",
    weights: str = "default",
    catalog: Catalog | None = None,
) -> Model:
    """Build a conv base with a new head: images (B, C, H, W) to outputs (B, num_classes).

    `backbone` and `head` may have options (`"mlp:hidden=256"`); `weights` is a tag, "none", "default" or a path.
    A head that needs the feature map's size is built for images of the size that the weights expect.
    Raises UsageError for an unknown name and WeightsError when the weights cannot be had.
    """
    if num_classes < 1:
        raise UsageError(f"num_classes must be at least 1, got {num_classes}")
    catalog = catalog or open_catalog()
    choice = catalog.backbone(backbone)
    start = resolve_weights(choice, weights)
    base, _ = load_backbone(choice, start)
    answers = build_head_for(
        base, choice, catalog.head(head), start.preprocessing, num_outputs=num_classes, task="classification"
    )
    return Model(base, answers)


def finetune(config: FinetuneConfig, *, catalog: Catalog | None = None, callback: Callback | None = None) -> Result:
    """Fine-tune as `config` says and write a run directory.

    Returns the directory, the history and the evaluation. Raises ZooError with what to do about it.
    """
    return run.finetune(config, catalog or open_catalog(), callback or NullCallback())


def load(
    name: str | Path, *, weights: str = "default", device: str = "auto", catalog: Catalog | None = None
) -> Predictor:
    """Load what can classify: a run directory, a published model (`owner/name[@revision]`), or a pretrained backbone.

    Nothing in a run or repository is executed or unpickled. Raises UsageError when there is no such run or backbone,
    HubError when a repository cannot be had, and ZooError when it is no zoo model or its plugin is not installed.
    """
    catalog = catalog or open_catalog()
    place: torch.device = find_device(device)
    path = Path(name).expanduser()
    if path.is_dir():
        return open_run(path, catalog, place)
    if isinstance(name, Path) or ("/" in name and (path.parent.is_dir() or not is_address(name))):
        raise UsageError(f"there is no run directory {name}.")
    if "/" in name:
        return replace(open_run(_published(name), catalog, place), title=name)
    return open_pretrained(catalog.backbone(name), weights, place)


def _published(name: str) -> Path:
    try:
        return pull_run(name)
    except HubError as error:
        raise HubError(f"there is no run directory {name}, and the Hub does not give it: {error}") from None
