"""Reads the preprocessing that stands beside a weights file: in a zoo run's config.json, or in
timm's.

Weights answer wrongly, and without an error, for images that are prepared in another way than those
they were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_core.errors import PluginError, ZooError, reason_of
from zoo_core.json_checks import as_count, as_list, as_mapping, as_number, as_text
from zoo_core.options import split_name
from zoo_core.runs.directory import CONFIG, file_of, is_run, read_facts, read_json
from zoo_core.runs.schema import INTERPOLATIONS
from zoo_core.specs import BackboneSpec
from zoo_core.weights_specs import Fit, Preprocessing

TIMM = "pretrained_cfg"
"""The key of timm's config.json under which the preprocessing of its weights stands."""

CROP_MODES: dict[Fit, str] = {"crop": "center", "pad": "border", "squash": "squash"}
"""timm's words for the ways from an oblong image to a square."""


def default_preprocessing(
    spec: BackboneSpec, reason: str = "nothing beside the weights names another"
) -> tuple[Preprocessing, str]:
    """The backbone's own preprocessing, and a sentence about its origin."""
    return spec.preprocessing, f"the default of {spec.name}: {reason}"


def preprocessing_beside(spec: BackboneSpec, directory: Path) -> tuple[Preprocessing, str]:
    """The preprocessing for weights in a folder, and a sentence about its origin.

    It is the backbone's default where the folder's config.json has none for this backbone.
    """
    default = default_preprocessing(spec)
    try:
        if not file_of(directory, CONFIG).is_file():
            return default
        if is_run(directory):
            facts = read_facts(directory)
            ours = split_name(facts.backbone.name)[0] == spec.name
            return (facts.preprocessing, "that of the run beside the weights") if ours else default
        config = read_json(directory / CONFIG)
        if not isinstance(config, dict) or TIMM not in config:
            return default
        found = _of_timm(as_mapping(config[TIMM]))
        if found.channels != spec.preprocessing.channels:
            raise ValueError(f"it is for {found.channels} channels")
    except (ZooError, PluginError, ValueError, TypeError, KeyError) as error:
        return default_preprocessing(spec, f"{CONFIG} beside the weights cannot be used ({reason_of(error)})")
    return found, f"that of {TIMM} in {CONFIG} beside the weights"


def _of_timm(config: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of timm's `pretrained_cfg`. Raises an error for one that zoo does not have."""
    _, height, width = (as_count(one) for one in as_list(config["input_size"]))
    interpolation = as_text(config.get("interpolation", "bilinear"))
    mode = config.get("crop_mode") or "center"
    fit = next((fit for fit, name in CROP_MODES.items() if name == mode), None)
    if height != width or interpolation not in INTERPOLATIONS or fit is None:
        raise ValueError(f"zoo has no {interpolation} {height}x{width} {mode}")
    return Preprocessing(
        size=height,
        crop=as_number(config.get("crop_pct", 0.875)),
        interpolation=interpolation,  # type: ignore[arg-type]
        fit=fit,
        mean=tuple(as_number(one) for one in as_list(config["mean"])),
        std=tuple(as_number(one) for one in as_list(config["std"])),
    )
