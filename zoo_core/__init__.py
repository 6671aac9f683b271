"""zoo: any backbone x any head x any freeze strategy, fine-tuned on your own images.

This module is the public face: a plugin or a program imports from `zoo_core` (and its tests from
`zoo_core.testing`) and from nowhere below. Each name is imported when it is first used, so that a
plugin's facts import nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo_core.version import __version__

if TYPE_CHECKING:
    from zoo_core.answering.files import AnswerFormat
    from zoo_core.benching.bench import bench
    from zoo_core.benching.measured import Bench
    from zoo_core.catalog import Catalog, open_catalog
    from zoo_core.checking.check import check_data
    from zoo_core.checking.report import Report
    from zoo_core.data.sources import ArrayImages, FolderImages, Images, Part, Source
    from zoo_core.drawing import PALETTE, Figure, save_figure
    from zoo_core.embedding.features import features
    from zoo_core.errors import DataError, HubError, PluginError, TrainingError, UsageError, WeightsError, ZooError
    from zoo_core.evaluation import RunEvaluation, evaluate_run
    from zoo_core.exporting.export import Export, export_run
    from zoo_core.exporting.reading import load_exported
    from zoo_core.freezing.plan import FROZEN, TRAINABLE, Phase, Plan, Rule
    from zoo_core.frozen.table import FeatureTable
    from zoo_core.hookspecs import HOOK_API, hookimpl
    from zoo_core.hub.bundle import PublishOptions
    from zoo_core.hub.publish import PublishResult, publish
    from zoo_core.layout import Layout
    from zoo_core.library import create_model, finetune, freeze, load, resume
    from zoo_core.model.apply import AppliedPlan
    from zoo_core.model.assemble import Model
    from zoo_core.model.chain import Chain
    from zoo_core.model.solvers import Solvable
    from zoo_core.model.transform import Transform
    from zoo_core.options import NoOptions, format_options, parse_options
    from zoo_core.predict import Predictor
    from zoo_core.profiling.picture import stages_svg
    from zoo_core.profiling.profile import Profile, profile
    from zoo_core.result_specs import ExporterSpec, MetricSpec, TrackerSpec
    from zoo_core.saving import save_run
    from zoo_core.settings import FinetuneConfig
    from zoo_core.specs import (
        CLASSIFIER,
        HEAD,
        AugmentSpec,
        BackboneSpec,
        CommandSpec,
        DatasetSpec,
        FreezeSpec,
        HeadSpec,
        Paper,
        RunnerSpec,
    )
    from zoo_core.tasks.metrics import wilson
    from zoo_core.tasks.prediction import Prediction
    from zoo_core.training.callback import Callback, NullCallback
    from zoo_core.training.opening import open_dataset
    from zoo_core.training.result import Result
    from zoo_core.training.stopping import Interrupted
    from zoo_core.training.tracking import TrackedRun, Tracker
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

__all__ = [
    "CLASSIFIER",
    "FROZEN",
    "HEAD",
    "HOOK_API",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PALETTE",
    "TRAINABLE",
    "AnswerFormat",
    "AppliedPlan",
    "ArrayImages",
    "AugmentSpec",
    "BackboneSpec",
    "Bench",
    "Callback",
    "Catalog",
    "Chain",
    "CommandSpec",
    "DataError",
    "DatasetSpec",
    "Export",
    "ExporterSpec",
    "FeatureTable",
    "Figure",
    "FinetuneConfig",
    "FolderImages",
    "FreezeSpec",
    "HeadSpec",
    "HubError",
    "HubFile",
    "Images",
    "Interrupted",
    "Layout",
    "MetricSpec",
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
    "Profile",
    "PublishOptions",
    "PublishResult",
    "Report",
    "Result",
    "Rule",
    "RunEvaluation",
    "RunnerSpec",
    "Solvable",
    "Source",
    "TimmTwin",
    "TorchFile",
    "TrackedRun",
    "Tracker",
    "TrackerSpec",
    "TrainingError",
    "Transform",
    "UsageError",
    "WeightsError",
    "WeightsRef",
    "ZooError",
    "__version__",
    "bench",
    "check_data",
    "create_model",
    "evaluate_run",
    "export_run",
    "features",
    "finetune",
    "format_options",
    "freeze",
    "hookimpl",
    "load",
    "load_exported",
    "open_catalog",
    "open_dataset",
    "parse_options",
    "profile",
    "publish",
    "resume",
    "save_figure",
    "save_run",
    "stages_svg",
    "wilson",
]

_HOME = {
    "AnswerFormat": "zoo_core.answering.files",
    "AppliedPlan": "zoo_core.model.apply",
    "ArrayImages": "zoo_core.data.sources",
    "AugmentSpec": "zoo_core.specs",
    "BackboneSpec": "zoo_core.specs",
    "Bench": "zoo_core.benching.measured",
    "CLASSIFIER": "zoo_core.specs",
    "Callback": "zoo_core.training.callback",
    "Catalog": "zoo_core.catalog",
    "Chain": "zoo_core.model.chain",
    "CommandSpec": "zoo_core.specs",
    "DataError": "zoo_core.errors",
    "DatasetSpec": "zoo_core.specs",
    "Export": "zoo_core.exporting.export",
    "ExporterSpec": "zoo_core.result_specs",
    "FROZEN": "zoo_core.freezing.plan",
    "FeatureTable": "zoo_core.frozen.table",
    "Figure": "zoo_core.drawing",
    "FinetuneConfig": "zoo_core.settings",
    "FolderImages": "zoo_core.data.sources",
    "FreezeSpec": "zoo_core.specs",
    "HEAD": "zoo_core.specs",
    "HOOK_API": "zoo_core.hookspecs",
    "HeadSpec": "zoo_core.specs",
    "HubError": "zoo_core.errors",
    "HubFile": "zoo_core.weights_specs",
    "IMAGENET_MEAN": "zoo_core.weights_specs",
    "IMAGENET_STD": "zoo_core.weights_specs",
    "Images": "zoo_core.data.sources",
    "Interrupted": "zoo_core.training.stopping",
    "Layout": "zoo_core.layout",
    "MetricSpec": "zoo_core.result_specs",
    "Model": "zoo_core.model.assemble",
    "NoOptions": "zoo_core.options",
    "NullCallback": "zoo_core.training.callback",
    "PALETTE": "zoo_core.drawing",
    "PackageFile": "zoo_core.weights_specs",
    "Paper": "zoo_core.specs",
    "Part": "zoo_core.data.sources",
    "Phase": "zoo_core.freezing.plan",
    "Plan": "zoo_core.freezing.plan",
    "PluginError": "zoo_core.errors",
    "Prediction": "zoo_core.tasks.prediction",
    "Predictor": "zoo_core.predict",
    "Preprocessing": "zoo_core.weights_specs",
    "Profile": "zoo_core.profiling.profile",
    "PublishOptions": "zoo_core.hub.bundle",
    "PublishResult": "zoo_core.hub.publish",
    "Report": "zoo_core.checking.report",
    "Result": "zoo_core.training.result",
    "Rule": "zoo_core.freezing.plan",
    "RunEvaluation": "zoo_core.evaluation",
    "RunnerSpec": "zoo_core.specs",
    "Solvable": "zoo_core.model.solvers",
    "Source": "zoo_core.data.sources",
    "TRAINABLE": "zoo_core.freezing.plan",
    "TimmTwin": "zoo_core.weights_specs",
    "TorchFile": "zoo_core.weights_specs",
    "TrackedRun": "zoo_core.training.tracking",
    "Tracker": "zoo_core.training.tracking",
    "TrackerSpec": "zoo_core.result_specs",
    "TrainingError": "zoo_core.errors",
    "Transform": "zoo_core.model.transform",
    "UsageError": "zoo_core.errors",
    "WeightsError": "zoo_core.errors",
    "WeightsRef": "zoo_core.weights_specs",
    "ZooError": "zoo_core.errors",
    "bench": "zoo_core.benching.bench",
    "check_data": "zoo_core.checking.check",
    "create_model": "zoo_core.library",
    "evaluate_run": "zoo_core.evaluation",
    "export_run": "zoo_core.exporting.export",
    "features": "zoo_core.embedding.features",
    "finetune": "zoo_core.library",
    "format_options": "zoo_core.options",
    "freeze": "zoo_core.library",
    "hookimpl": "zoo_core.hookspecs",
    "load": "zoo_core.library",
    "load_exported": "zoo_core.exporting.reading",
    "open_catalog": "zoo_core.catalog",
    "open_dataset": "zoo_core.training.opening",
    "parse_options": "zoo_core.options",
    "profile": "zoo_core.profiling.profile",
    "publish": "zoo_core.hub.publish",
    "resume": "zoo_core.library",
    "save_figure": "zoo_core.drawing",
    "save_run": "zoo_core.saving",
    "stages_svg": "zoo_core.profiling.picture",
    "wilson": "zoo_core.tasks.metrics",
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zoo_core' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
