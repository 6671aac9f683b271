"""Export: a run as one file of another format, which is kept only if it answers as the run does.

Shapes: B batch, N images, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, Choice, attributing_errors, open_catalog, owner_of
from zoo_core.data.scan import Watch
from zoo_core.errors import PluginError, UsageError, ZooError, printable
from zoo_core.evaluation import measured_part
from zoo_core.library import load
from zoo_core.paths import written_whole
from zoo_core.predict import Predictor
from zoo_core.specs import ExporterSpec, resolve
from zoo_core.tasks import task_named
from zoo_core.tasks.task import Task

TOLERANCE = 1e-4
"""The largest difference of an answer that an export may have: float32 in another order of operations stays far below."""

STEM = "model"
"""The name of an exported file in a run directory, without its suffix."""


@dataclass(frozen=True)
class Export:
    """A file that was written, and how its answers differ from the run's on the images that it was checked on."""

    path: Path
    format: str
    bytes: int
    images: int
    part: str
    difference: float
    """The largest, of any answer for any image."""
    changed: int
    """Images with another class, or with other labels."""


@names_plugins
def export_run(
    run: str | Path,
    to: str,
    *,
    out: str | Path | None = None,
    data: Any = None,
    tolerance: float = TOLERANCE,
    catalog: Catalog | None = None,
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> Export:
    """Write a run in the format `to` ("NAME" or "NAME:options") to `out`, by default a file in its directory.

    The file maps normalised images (B, C, H, W) to probabilities of classes or labels, or to numbers. It is run on
    `data` (all that `FinetuneConfig(data=...)` takes), or on the held-out part of the run's own data, and kept only
    where no answer differs by more than `tolerance`. `scanning` and `watch` are as in `zoo_core.evaluate`.

    Raises UsageError for an unknown format and a file that exists, ZooError for answers that differ, and PluginError,
    which names the distribution, where the format's code fails.
    """
    catalog = catalog or open_catalog()
    exporter = catalog.exporter(to)
    predictor = load(run, device="cpu", catalog=catalog)
    if predictor.facts is None or predictor.directory is None:
        raise UsageError(f"'{printable(str(run))}' is a backbone; `zoo export` takes a run that `zoo finetune` made.")
    path = _free(run, out, exporter)
    source, name = measured_part(run, predictor.facts, data, catalog, scanning)
    task = task_named(predictor.facts.task)
    outputs_NK, _ = predictor.outputs(source.parts[name])
    expected_NK = task.values(outputs_NK)
    with written_whole(path) as temporary:
        answers = _written(exporter, predictor, task, temporary)
        found_NK, _ = predictor.outputs(source.parts[name], watch, answers)
        with attributing_errors(exporter.entry):
            if found_NK.shape != expected_NK.shape:
                raise PluginError(
                    f"{owner_of(exporter.entry)} gives {_shape(found_NK)}, and not {_shape(expected_NK)}."
                )
        difference_N = (found_NK - expected_NK).abs().amax(1)
        changed = _changed(task, expected_NK, found_NK)
        worst = int(difference_N.nan_to_num(torch.inf).argmax())
        if not difference_N[worst] <= tolerance:
            raise ZooError(
                f"the {exporter.spec.name} file answers otherwise than the run: by up to {difference_N[worst]:.2g} (the "
                f"tolerance is {tolerance:g}), most for {printable(source.parts[name].images.name(worst))}; {changed} of "
                f"{len(found_NK)} answers change. It was not kept. Choose another format (`zoo list exporters`), or "
                f"allow more with --tolerance."
            )
    size = path.stat().st_size
    return Export(path, str(exporter), size, len(found_NK), name, float(difference_N[worst]), changed)


class _Answering(nn.Module):
    """A network whose outputs are answers: probabilities, or numbers."""

    def __init__(self, network: nn.Module, task: Task[Any]) -> None:
        super().__init__()
        self.network = network
        self.task = task

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.task.values(self.network(images_BCHW))


def _free(run: str | Path, out: str | Path | None, exporter: Choice[ExporterSpec]) -> Path:
    name = f"{STEM}{exporter.spec.suffix}"
    path = Path(out) if out is not None else Path(run) / name if Path(run).is_dir() else Path(name)
    if path.exists() or path.is_symlink():
        raise UsageError(f"{printable(str(path))} exists already. Remove it, or give another name with -o.")
    return path


def _written(
    exporter: Choice[ExporterSpec], predictor: Predictor, task: Task[Any], path: Path
) -> Callable[[Tensor], Tensor]:
    """Write the file, open it, and return the function that it is."""
    preprocessing = predictor.preprocessing
    example_BCHW = torch.zeros(2, preprocessing.channels, preprocessing.size, preprocessing.size)
    facts = {"task": task.name, "classes": list(predictor.classes), "preprocessing": asdict(preprocessing)}
    network = _Answering(predictor.network, task).eval()
    with attributing_errors(exporter.entry):
        export, run = resolve(exporter.spec.export), resolve(exporter.spec.run)
        export(exporter.options, network=network, example_BCHW=example_BCHW, facts=facts, path=path)
        answers = run(path)

    def compute(images_BCHW: Tensor) -> Tensor:
        with attributing_errors(exporter.entry):
            return torch.from_numpy(answers(images_BCHW.contiguous().numpy())).float()

    return compute


def _changed(task: Task[Any], expected_NK: Tensor, found_NK: Tensor) -> int:
    """How many images get another class, or other labels. Numbers have no such step."""
    if task.single_label:
        return int((expected_NK.argmax(1) != found_NK.argmax(1)).sum())
    if task.name == "multilabel":
        return int(((expected_NK > 0.5) != (found_NK > 0.5)).any(1).sum())
    return 0


def _shape(tensor: Tensor) -> str:
    return f"answers ({', '.join(map(str, tensor.shape))})"
