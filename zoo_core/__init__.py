"""zoo: any backbone x any head x any freeze strategy, fine-tuned on your own images.

This module is the public face: a plugin or a program imports from `zoo_core` (and its tests from `zoo_core.testing`) and
from nowhere below. Names that need torch are imported when they are first used, so a plugin's facts import nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo_core.errors import DataError, HubError, PluginError, TrainingError, UsageError, WeightsError, ZooError
from zoo_core.freezing.plan import FROZEN, TRAINABLE, Phase, Plan, Rule
from zoo_core.hookspecs import hookimpl
from zoo_core.layout import Layout
from zoo_core.options import NoOptions, format_options, parse_options
from zoo_core.specs import CLASSIFIER, HEAD, BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec, Paper
from zoo_core.version import __version__
from zoo_core.weights_specs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    HubFile,
    PackageFile,
    Preprocessing,
    TimmTwin,
    TorchFile,
    WeightsRef,
)

if TYPE_CHECKING:
    from zoo_core.catalog import Catalog, open_catalog
    from zoo_core.data.sources import ArrayImages, FolderImages, Images, Part, Source
    from zoo_core.evaluation import RunEvaluation, evaluate_run
    from zoo_core.hub.bundle import PublishOptions
    from zoo_core.hub.publish import PublishResult, publish
    from zoo_core.library import create_model, finetune, freeze, load, resume
    from zoo_core.model.apply import AppliedPlan
    from zoo_core.model.assemble import Model
    from zoo_core.model.chain import Chain
    from zoo_core.model.solvers import Solvable
    from zoo_core.model.transform import Transform
    from zoo_core.predict import Prediction, Predictor
    from zoo_core.saving import save_run
    from zoo_core.settings import FinetuneConfig
    from zoo_core.training.callback import Callback, NullCallback
    from zoo_core.training.run import Result

__all__ = [
    "CLASSIFIER",
    "FROZEN",
    "HEAD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "TRAINABLE",
    "AppliedPlan",
    "ArrayImages",
    "BackboneSpec",
    "Callback",
    "Catalog",
    "Chain",
    "DataError",
    "DatasetSpec",
    "FinetuneConfig",
    "FolderImages",
    "FreezeSpec",
    "HeadSpec",
    "HubError",
    "HubFile",
    "Images",
    "Layout",
    "Model",
    "NoOptions",
    "NullCallback",
    "PackageFile",
    "Paper",
    "Part",
    "Phase",
    "Plan",
    "PluginError",
    "Prediction",
    "Predictor",
    "Preprocessing",
    "PublishOptions",
    "PublishResult",
    "Result",
    "Rule",
    "RunEvaluation",
    "Solvable",
    "Source",
    "TimmTwin",
    "TorchFile",
    "TrainingError",
    "Transform",
    "UsageError",
    "WeightsError",
    "WeightsRef",
    "ZooError",
    "__version__",
    "create_model",
    "evaluate_run",
    "finetune",
    "format_options",
    "freeze",
    "hookimpl",
    "load",
    "open_catalog",
    "parse_options",
    "publish",
    "resume",
    "save_run",
]

_LATE = {
    "AppliedPlan": "zoo_core.model.apply",
    "ArrayImages": "zoo_core.data.sources",
    "Callback": "zoo_core.training.callback",
    "Catalog": "zoo_core.catalog",
    "Chain": "zoo_core.model.chain",
    "FinetuneConfig": "zoo_core.settings",
    "FolderImages": "zoo_core.data.sources",
    "Images": "zoo_core.data.sources",
    "Model": "zoo_core.model.assemble",
    "NullCallback": "zoo_core.training.callback",
    "Part": "zoo_core.data.sources",
    "Prediction": "zoo_core.predict",
    "Predictor": "zoo_core.predict",
    "PublishOptions": "zoo_core.hub.bundle",
    "PublishResult": "zoo_core.hub.publish",
    "Result": "zoo_core.training.run",
    "RunEvaluation": "zoo_core.evaluation",
    "Solvable": "zoo_core.model.solvers",
    "Source": "zoo_core.data.sources",
    "Transform": "zoo_core.model.transform",
    "create_model": "zoo_core.library",
    "evaluate_run": "zoo_core.evaluation",
    "finetune": "zoo_core.library",
    "freeze": "zoo_core.library",
    "load": "zoo_core.library",
    "open_catalog": "zoo_core.catalog",
    "publish": "zoo_core.hub.publish",
    "resume": "zoo_core.library",
    "save_run": "zoo_core.saving",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'zoo_core' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
