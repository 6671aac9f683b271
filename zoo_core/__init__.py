"""zoo: any backbone x any head x any freeze strategy, fine-tuned on your own images.

The specs and the hook marker are what a plugin imports; `create_model`, `finetune` and `load` are the library.
The library is imported when it is first asked for, so that plugins and listings never import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import (
    CLASSIFIER,
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneSpec,
    DatasetSpec,
    FreezeSpec,
    HeadSpec,
    HubFile,
    PackageFile,
    Paper,
    Preprocessing,
    TimmTwin,
    TorchFile,
    WeightsRef,
)
from zoo_core.version import __version__

if TYPE_CHECKING:
    from zoo_core.library import create_model, finetune, load
    from zoo_core.settings import FinetuneConfig

__all__ = [
    "CLASSIFIER",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "BackboneSpec",
    "DatasetSpec",
    "FinetuneConfig",
    "FreezeSpec",
    "HeadSpec",
    "HubFile",
    "PackageFile",
    "Paper",
    "Preprocessing",
    "TimmTwin",
    "TorchFile",
    "WeightsRef",
    "__version__",
    "create_model",
    "finetune",
    "hookimpl",
    "load",
]

_LATE = {
    "FinetuneConfig": "zoo_core.settings",
    "create_model": "zoo_core.library",
    "finetune": "zoo_core.library",
    "load": "zoo_core.library",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'zoo_core' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_LATE[name]), name)
