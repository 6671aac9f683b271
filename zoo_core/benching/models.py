"""The models of a bench, each as a run directory, and the files of their formats.

Shapes: N images, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo_core.benching.images import make_up, write_timed
from zoo_core.benching.measured import Score
from zoo_core.benching.process import Asked
from zoo_core.catalog import Catalog
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part
from zoo_core.devices.find import find_device
from zoo_core.errors import UsageError, ZooError
from zoo_core.exporting.export import export_run
from zoo_core.library import create_model, load, names_backbone
from zoo_core.paths import user_path
from zoo_core.predict import Predictor
from zoo_core.run_images import measured_part, part_title
from zoo_core.runs.directory import FITTED, MODEL
from zoo_core.saving import save_run
from zoo_core.settings import BadImages
from zoo_core.specs import resolve
from zoo_core.wording import quoted

TORCH = "torch"
"""The format of a run as `zoo predict` computes it."""
MADE_UP_CLASSES = 1000


@dataclass(frozen=True)
class OpenedRun:
    """A run with the images that it is measured on."""

    name: str
    predictor: Predictor
    part: Part
    title: str
    part_name: str | None
    data: Any
    """Of the user, or made up; None for the run's own."""
    bad_images: BadImages | None = None

    @property
    def directory(self) -> Path:
        assert self.predictor.directory is not None
        return self.predictor.directory


@dataclass
class Formats:
    """The formats of one model: those to measure, their scores, and the problems of the others."""

    model: str
    title: str
    part: str | None
    timed: int = 0
    asked: list[Asked] = field(default_factory=list)
    scores: dict[str, Score] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def names_run(model: str, catalog: Catalog) -> bool:
    """Whether a text means a run, here or on the Hub, and no backbone."""
    return "/" in model or (not names_backbone(model, catalog) and user_path(model).is_dir())


def opened_run(
    model: str, data: Any, device: str, catalog: Catalog, scanning: Watch | None, bad_images: BadImages | None = None
) -> OpenedRun:
    """A run with its held-out images, or with `data`."""
    predictor = load(model, device=device, catalog=catalog)
    assert predictor.facts is not None
    command = f"zoo bench {quoted(model)}"
    source, name = measured_part(model, predictor.facts, data, catalog, scanning, bad_images, command=command)
    part, task = source.parts[name], predictor.objective.task
    targets = task.reordered(part.targets, source.classes, predictor.classes, source.title)
    return OpenedRun(
        model, predictor, replace(part, targets=targets), source.title, part_title(name, data), data, bad_images
    )


def as_run(backbone: str, folder: Path, catalog: Catalog) -> OpenedRun:
    """A backbone as a run that nobody trained: random weights, a linear head, made-up images."""
    choice = catalog.backbone(backbone)
    classes = [f"class{number}" for number in range(MADE_UP_CLASSES)]
    images = make_up(folder / "made-up", classes[:2])
    model = create_model(backbone, num_classes=len(classes), weights="none", catalog=catalog)
    directory = folder / "run"
    save_run(model.eval(), directory, data=str(images), classes=classes, catalog=catalog)
    opened = opened_run(str(directory), str(images), "cpu", catalog, None)
    return replace(opened, name=str(choice), title="made-up photographs", part_name=None)


def formats_of(opened: OpenedRun, formats: Sequence[str], folder: Path, device: str, catalog: Catalog) -> Formats:
    """Write the files of the formats and measure their scores; a format that fails has a
    problem."""
    made = Formats(opened.name, opened.title, opened.part_name)
    images = folder / "images"
    made.timed = write_timed(opened.part, images)
    preprocessing = opened.predictor.preprocessing
    exporters = {text: catalog.exporter(text) for text in formats if text != TORCH}  # all names before any work
    for number, text in enumerate(formats):
        if text == TORCH:
            files = [opened.directory / MODEL, opened.directory / FITTED]
            asked = Asked.of(
                opened.name,
                text,
                str(find_device(device)),
                images,
                preprocessing,
                files,
                model=str(opened.directory.resolve()),
            )
            score = _score(opened)
        else:
            file = folder / f"{number}{exporters[text].spec.suffix}"
            run = exporters[text].spec.run
            try:
                export_run(
                    str(opened.directory),
                    text,
                    out=file,
                    data=opened.data,
                    bad_images=opened.bad_images,
                    catalog=catalog,
                )
                score = _score(opened, resolve(run)(file))
            except UsageError:
                raise
            except ZooError as error:
                made.problems[text] = str(error)
                continue
            files = exporters[text].spec.files(file)
            asked = Asked.of(opened.name, text, "cpu", images, preprocessing, files, file=str(file), run=run)
        made.asked.append(asked)
        if opened.part_name is not None:
            made.scores[text] = score
    return made


def _score(opened: OpenedRun, run: Callable[[Any], Any] | None = None) -> Score:
    """The score of a run, or of the function that its file is."""
    predictor, task = opened.predictor, opened.predictor.objective.task
    if run is None:
        outputs_NK, targets = predictor.outputs(opened.part)
        answers_NK = predictor.objective.values(outputs_NK)
    else:
        answering = run

        def compute(images_BCHW: Tensor) -> Tensor:
            return torch.from_numpy(answering(images_BCHW.cpu().contiguous().numpy()))

        answers_NK, targets = predictor.outputs(opened.part, None, compute)
    found = task.evaluate(answers_NK, targets, 0.0).grouped(opened.part.groups)
    return Score(task.metric, found.score, found.score_interval, len(targets))
