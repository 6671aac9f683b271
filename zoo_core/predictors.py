"""Opens predictors: a run directory, or a pretrained backbone with its original classifier."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import torch

from zoo_core.catalog import Catalog, Choice
from zoo_core.devices.proof import placed
from zoo_core.errors import UsageError, ZooError
from zoo_core.model.assemble import Model, build_head_for, build_network, split_base
from zoo_core.model.design import ModelDesign
from zoo_core.model.shapes import stage_shapes
from zoo_core.predict import Predictor
from zoo_core.runs.directory import read_run
from zoo_core.runs.fitted import read_fitted
from zoo_core.specs import HEAD, BackboneSpec
from zoo_core.tasks import task_named
from zoo_core.tasks.objective import objective_for
from zoo_core.tensors import read_tensors
from zoo_core.weights.load import assign, build_empty, check_finite, check_keys_and_shapes, load_chain
from zoo_core.weights.resolve import load_whole, named_weights, unknown_weights

CLASS_LISTS = {"imagenet-1k": "imagenet_1k.txt"}
"""Lists of class names that weights refer to, and their files in resources."""


def open_run(directory: Path, catalog: Catalog, device: torch.device) -> Predictor:
    """Load a run directory. Raises ZooError when it is damaged or needs a plugin that is not
    installed."""
    run = read_run(directory)
    facts = run.facts
    backbone = catalog.backbone(catalog.text_of(facts.backbone.distribution, facts.backbone.name))
    head = catalog.head(catalog.text_of(facts.head.distribution, facts.head.name))
    tensors = read_tensors(run.weights_path)
    check_finite(tensors.items(), run.weights_path)
    base, _ = split_base(build_empty(lambda: build_network(backbone)), backbone)
    outputs = len(facts.classes)
    shapes = stage_shapes(base, facts.preprocessing.channels, facts.preprocessing.size)
    module = build_empty(lambda: build_head_for(shapes, backbone, head, num_outputs=outputs, task=facts.task))
    load_chain(base, tensors, path=run.weights_path, ignored=(f"{HEAD}.",), classifier=None)
    own = {key.removeprefix(f"{HEAD}."): tensor for key, tensor in tensors.items() if key.startswith(f"{HEAD}.")}
    check_keys_and_shapes(module.state_dict(keep_vars=True), own, subject=f"the head in {run.weights_path}")
    task_named(facts.task).match_units(module, own)
    assign(module, own)
    design = ModelDesign(
        backbone=backbone, head=head, preprocessing=facts.preprocessing, task=facts.task, start=facts.start
    )
    model = placed(Model(base, module, design).eval(), device, facts.preprocessing, str(directory))
    objective = replace(
        objective_for(facts.task, module), fitted=read_fitted(directory, outputs, task_named(facts.task))
    )
    return Predictor(str(directory), model, facts.preprocessing, facts.classes, device, objective, facts, directory)


def open_pretrained(choice: Choice[BackboneSpec], weights: str, device: torch.device) -> Predictor:
    """Load a backbone with its original classifier. Raises UsageError when its weights have
    none."""
    spec = choice.spec
    ref = named_weights(spec, weights)
    if ref is None and weights not in ("default", "none"):
        raise unknown_weights(spec, weights)
    if ref is None or not ref.has_classifier or ref.classes is None:
        raise UsageError(
            f"'{spec.name}' has no pretrained classifier to predict with. Fine-tune it first "
            f"(`zoo finetune --backbone {spec.name} --data DIR`) and predict with the run directory."
        )
    network = placed(load_whole(choice, ref).eval(), device, ref.preprocessing, spec.name)
    objective = objective_for("classification", network)
    return Predictor(
        f"{spec.name} ({ref.tag})", network, ref.preprocessing, class_names(ref.classes), device, objective
    )


def class_names(classes: str | tuple[str, ...]) -> tuple[str, ...]:
    """The class names of a classifier, from the names themselves or from the name of a list in
    core."""
    if isinstance(classes, tuple):
        return classes
    if classes not in CLASS_LISTS:
        raise ZooError(
            f"the class list '{classes}' is not known. Known: {', '.join(CLASS_LISTS)}, or the names themselves."
        )
    text = files("zoo_core").joinpath("resources", CLASS_LISTS[classes]).read_text(encoding="utf-8")
    return tuple(text.splitlines())
