"""An exported file as a predictor: its answers with the names and the preprocessing that it
carries.

Shapes: B batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, Choice, open_catalog
from zoo_core.devices.precision import full_precision
from zoo_core.errors import UsageError, ZooError, printable
from zoo_core.exporting.file import Array, blaming, opened
from zoo_core.predict import Predictor
from zoo_core.result_specs import ExporterSpec
from zoo_core.specs import TASKS, resolve
from zoo_core.tasks import task_named
from zoo_core.tasks.fitted import Fitted
from zoo_core.tasks.objective import objective_for
from zoo_core.tasks.task import Task
from zoo_core.weights_specs import Preprocessing

LEAST = 1e-38  # of a probability, whose logarithm has to be finite


class ExportedFile(nn.Module):
    """A file's function as a network: its outputs are those whose answers the file gives."""

    def __init__(self, answers: Callable[[Array], Array], task: Task[Any], taken: Preprocessing | None) -> None:
        """`taken` is the preprocessing of a file that takes bytes and normalises them itself."""
        super().__init__()
        self.answers, self.task, self.taken = answers, task, taken

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if self.taken is not None:
            mean, std = (torch.tensor(values)[:, None, None] for values in (self.taken.mean, self.taken.std))
            images_BCHW = ((images_BCHW * std + mean) * 255).round().to(torch.uint8)
        answers_BK = full_precision(torch.from_numpy(np.array(self.answers(images_BCHW.contiguous().numpy()))))
        if not self.task.has_temperature:
            return answers_BK
        logs_BK = answers_BK.clamp_min(LEAST).log()
        return logs_BK if self.task.single_label else logs_BK - (1 - answers_BK).clamp_min(LEAST).log()


@names_plugins
def load_exported(path: str | Path, *, catalog: Catalog | None = None) -> Predictor:
    """Load a file of `zoo export` as a predictor on the CPU.

    Its answers are those of the run, but for the distance to the training images, which no file
    has. The code of the format opens the file: load only files from people whom you trust. Raises
    UsageError for a file of another kind, and ZooError for one without zoo's facts.
    """
    catalog = catalog or open_catalog()
    path = Path(path)
    exporter = _format_of(path, catalog)
    assert exporter.spec.facts is not None
    with blaming(exporter):
        facts = resolve(exporter.spec.facts)(path)
    try:
        made = _predictor(path, opened(exporter, path), facts)
    except (KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{printable(str(path))} has no facts of zoo in it: write it with `zoo export`.") from error
    return made


def _predictor(path: Path, answers: Callable[[Array], Array], facts: Mapping[str, Any]) -> Predictor:
    if facts["task"] not in TASKS:
        raise ValueError(facts["task"])
    how: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in facts["preprocessing"].items()
    }
    preprocessing = Preprocessing(**how)
    network = ExportedFile(answers, task_named(facts["task"]), preprocessing if facts["normalises"] else None)
    thresholds = facts.get("thresholds")
    fitted = Fitted(thresholds_K=None if thresholds is None else np.asarray(thresholds, np.float64))
    objective = replace(objective_for(facts["task"], network), fitted=fitted)
    classes = tuple(map(str, facts["classes"]))
    return Predictor(str(path), network, preprocessing, classes, torch.device("cpu"), objective)


def _format_of(path: Path, catalog: Catalog) -> Choice[ExporterSpec]:
    """The format of a file, by its suffix."""
    entries = [entry for entry in catalog.entries(ExporterSpec) if entry.spec.facts is not None]
    fitting = [entry for entry in entries if entry.spec.suffix == path.suffix]
    if not path.is_file() or not fitting:
        known = ", ".join(sorted({entry.spec.suffix for entry in entries}))
        raise UsageError(f"{printable(str(path))} is no file that `zoo export` wrote and zoo can open ({known}).")
    for one in fitting[0].spec.files(path):
        if not one.is_file():
            raise UsageError(f"{printable(str(path))} belongs to a file {printable(one.name)}, which is not beside it.")
    return catalog.exporter(f"{fitting[0].distribution}:{fitting[0].spec.name}")
