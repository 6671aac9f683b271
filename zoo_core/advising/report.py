"""An advice as plain data, the shape of `zoo advise --json`, and its file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo_core.advising.advice import Advice
from zoo_core.advising.probe import Probe
from zoo_core.advising.recommending import Doubt
from zoo_core.advising.strategies import Trial
from zoo_core.choosing.folder import Folder, rename_answers
from zoo_core.errors import ZooError
from zoo_core.paths import json_text
from zoo_core.runs.directory import read_json

JSON = "advise.json"


def set_aside(folder: Folder, advice: Advice) -> Path | None:
    """Rename the advice of an earlier command in this folder that had other data or settings, or
    backbones or strategies that this one has not; returns its new place, None where there is none."""
    file, new = folder.root / JSON, advice.asked
    try:
        old = read_json(file)["asked"]
        lists = ("backbones", "strategies")
        if old["settings"] == new["settings"] and all({*old[name]} <= {*new[name]} for name in lists):
            return None
    except (ZooError, KeyError, TypeError):  # none, or damaged: written anew
        return None
    return rename_answers(file, json_text(old))


def to_dict(advice: Advice) -> dict[str, Any]:
    sample, situation, tuning = advice.sample, advice.situation, advice.tuning
    ranks = {network.name: place for place, network in enumerate(advice.static, 1)}
    return {
        "directory": str(advice.directory),
        "data": sample.config.data_text,
        "asked": dict(advice.asked),
        "classes": sample.classes,
        "images": sample.available,
        "looked_at": len(sample.part),
        "baseline": sample.baseline,
        "images_per_class": situation.images_per_class,
        "many": situation.many,
        "similarity": situation.similarity,
        "rule": situation.rule,
        "networks": [
            {
                "backbone": one.network.name,
                "weights": one.network.ref.tag,
                "top1": one.network.top1,
                "rank_by_top1": ranks[one.network.name],
                "gmacs": one.network.spec.gmacs,
                "parameters": one.parameters,
                "seconds_per_image": one.seconds_per_image or None,
                "boundaries": [_boundary(probe) for probe in one.probes],
            }
            for one in advice.case.measured
        ],
        "chosen": _place(advice.choice.chosen),
        "near": [_place(one) for one in advice.choice.near],
        "strategies": [_trial(one, advice) for one in tuning.trials],
        "left_out": list(tuning.left_out),
        "budget": advice.budget,
        "budget_needed": advice.budget_needed,
        "seconds": advice.seconds,
        "recommended": asdict(advice.recommended),
        "doubts": [_doubt(one) for one in advice.doubts],
        "failed": [{"title": one.title, "reason": one.reason} for one in (*advice.case.failures, *tuning.failures)],
    }


def _place(probe: Probe) -> dict[str, str]:
    return {"backbone": probe.backbone, "stage": probe.stage}


def _boundary(probe: Probe) -> dict[str, Any]:
    fields = ("stage", "features", "accuracy", "interval", "loss", "logme", "h_score", "sfda", "seconds")
    return {name: getattr(probe, name) for name in fields}


def _trial(trial: Trial, advice: Advice) -> dict[str, Any]:
    return {
        "strategy": trial.strategy,
        "epochs": trial.epochs,
        "folds": trial.folds,
        "images": len(trial.right),
        "accuracy": trial.accuracy,
        "interval": trial.interval,
        "seconds_per_epoch": advice.epoch_seconds.get(trial.strategy),
    }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    pair = doubt.paired
    return {
        "first": doubt.first,
        "second": doubt.second,
        "images": pair.images,
        "groups": pair.groups,
        "difference": pair.difference,
        "interval": pair.interval,
        "p": pair.p,
        "command": doubt.command,
        "seconds": doubt.seconds,
    }
