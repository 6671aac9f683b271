"""A model that was trained in a loop of one's own, written as a run directory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.findings import findings
from zoo_core.data.groups import group_counts
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import PartName, Source
from zoo_core.discovery import CORE
from zoo_core.errors import UsageError
from zoo_core.freezing.plan import Plan
from zoo_core.model.adapt import make_plan
from zoo_core.model.apply import applied_to
from zoo_core.model.assemble import Model
from zoo_core.predict import Predictor
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import RunWriter, now, provider
from zoo_core.runs.pictures import optional_picture
from zoo_core.runs.schema import DataFacts, Provided, RunFacts
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import result_figures
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import objective_for
from zoo_core.training.opening import open_dataset, others_named
from zoo_core.version import __version__

OWN_LOOP = (
    "Trained in a loop of its own and saved with zoo_core.save_run: the optimizer, learning rate, batches, augmentation "
    "and seed above are not those of that loop."
)

NO_EPOCH = 0
"""The best epoch in the result of a run that zoo did not train: none was chosen."""


@names_plugins
def save_run(
    model: Model,
    directory: str | Path,
    *,
    data: Any,
    classes: Sequence[str] | None = None,
    catalog: Catalog | None = None,
) -> Evaluation:
    """Write a model of `create_model` as a run, which `load`, `zoo evaluate` and `zoo publish`
    open.

    `data` (all that `FinetuneConfig(data=...)` takes) are measured: their test or validation part,
    or else the share that `zoo finetune` would hold out; for images that you held out yourself,
    give `{"val": images}`. `classes` names the outputs in the model's order; without it that of the
    data counts. Parameters that a strategy added are merged. Returns the evaluation. Raises
    UsageError when the directory is not empty or the data do not fit the model.
    """
    catalog = catalog or open_catalog()
    design = model.design
    source = scan_images(open_dataset(data, catalog, design.task))
    config = FinetuneConfig(
        backbone=str(design.backbone),
        head=str(design.head),
        weights=design.start.tag if design.start else "none",
        data=str(data) if isinstance(data, str | Path) else source.title,
        task=design.task,
        size=design.preprocessing.size,
        out=str(directory),
    )
    source, part = _measured_part(source, config)
    names = tuple(classes) if classes is not None else source.classes
    device = next(model.parameters()).device
    _check_outputs(model, names, device)
    plan, strategy = _plan_of(model, catalog)
    predictor = Predictor(
        str(directory), model, design.preprocessing, names, device, objective_for(design.task, model.head)
    )
    task = task_named(design.task)
    targets = task.reordered(source.parts[part].targets, source.classes, names, source.title)
    evaluation = predictor.evaluate(replace(source.parts[part], targets=targets))
    facts = RunFacts(
        created=now(),
        zoo_core=__version__,
        torch=torch.__version__,
        config=replace(config, strategy=strategy.name, epochs=plan.epochs),
        backbone=Provided(**provider(design.backbone)),
        head=Provided(**provider(design.head)),
        strategy=strategy,
        start=design.start,
        classes=names,
        preprocessing=design.preprocessing,
        data=DataFacts(
            title=source.title,
            images={name: len(part) for name, part in source.parts.items()},
            digests={name: part.digest() for name, part in source.parts.items()},
            split=source.split,
            skipped=source.skipped,
            findings=(OWN_LOOP, *(findings(source) if "train" in source.parts else ())),
            groups=group_counts(source),
        ),
        plan=plan.to_dict(),
        task=design.task,
        provided={
            name: tuple(Provided(**provider(one)) for one in parts)
            for name, parts in others_named(config, catalog, ()).items()
        },
    )
    _write(RunWriter.create(str(directory), "run"), model, facts, evaluation, part)
    return evaluation


def _measured_part(source: Source, config: FinetuneConfig) -> tuple[Source, PartName]:
    """The source with the part that is measured."""
    if "test" not in source.parts:
        source = source if "val" in source.parts else source.with_validation(share=config.val_share, seed=config.seed)
    return source, "test" if "test" in source.parts else "val"


@torch.inference_mode()
def _check_outputs(model: Model, names: Sequence[str], device: torch.device) -> None:
    """Raise UsageError unless the model has an output for each name, by one empty image."""
    expected = model.preprocessing
    is_training = model.training
    model.eval()
    image_1CHW = torch.zeros(1, expected.channels, expected.size, expected.size, device=device)
    try:
        outputs = model(image_1CHW).shape[1]
    finally:
        model.train(is_training)
    if outputs != len(names):
        raise UsageError(
            f"the model has {outputs} outputs, and the data {len(names)}: {', '.join(names)[:200]}. `classes` names the "
            "outputs in the model's order."
        )


def _plan_of(model: Model, catalog: Catalog) -> tuple[Plan, Provided]:
    """The plan that was applied to the model, with added parameters merged; without one, everything
    was trained."""
    applied = applied_to(model)
    if applied is None:
        full = catalog.strategy("full")
        return make_plan(full, model.backbone.stages, 1), Provided(**provider(full))
    applied.merge()
    if applied.strategy is None:  # a plan of the program's own
        return applied.plan, Provided(name="plan", distribution=CORE, version=__version__)
    return applied.plan, Provided(**provider(applied.strategy))


def _write(writer: RunWriter, model: Model, facts: RunFacts, evaluation: Evaluation, part: PartName) -> None:
    task = task_named(facts.task)
    line = {
        "event": "result",
        "part": part,
        "best_epoch": NO_EPOCH,
        **result_figures(evaluation),
    }
    writer.write_facts(facts)
    with writer.model_written(model.named_saved()):
        with optional_picture(writer.directory / task.picture, warnings.warn):
            task.draw(writer.directory / task.picture, evaluation, facts.classes)
        writer.add_metrics(line)
        writer.write_card(render_card(facts, line))
