"""Export: a run as one file of another format, which is kept only if it answers as the run does.

Shapes: B batch, N images, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo_core.attribution import names_plugins, plugin_error
from zoo_core.catalog import Catalog, Choice, open_catalog, owner_of
from zoo_core.data.scan import Watch
from zoo_core.devices.precision import full_precision
from zoo_core.errors import PluginError, UsageError, ZooError, is_out_of_memory, printable, reason_of
from zoo_core.evaluation import measured_part
from zoo_core.library import load
from zoo_core.paths import written_whole
from zoo_core.predict import Predictor
from zoo_core.result_specs import ExporterSpec
from zoo_core.settings import BadImages
from zoo_core.specs import resolve
from zoo_core.tasks.objective import Objective
from zoo_core.wording import quoted

TOLERANCE = 1e-4
"""The largest difference of an answer; float32 in another order of operations stays far below."""

STEM = "model"
"""The name of an exported file in a run directory, without its suffix."""

OTHERS = "`zoo list exporters` shows other formats."


@dataclass(frozen=True)
class Export:
    """A file that was written, and how its answers differ from the run's on the images that it was
    checked on."""

    path: Path
    format: str
    bytes: int
    images: int
    part: str
    difference: float
    """The largest of any answer; of a number above 1, as a share of it."""
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
    bad_images: BadImages | None = None,
    catalog: Catalog | None = None,
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> Export:
    """Write a run in the format `to` ("NAME" or "NAME:options") to the file `out`.

    Without `out` it is model.SUFFIX in the run directory, or in the current folder for a run of the
    Hub. The file maps normalised images (B, C, H, W) to probabilities of classes or labels, or to
    numbers. It is run on `data`, or on the held-out part of the run's own data, and kept only where
    no answer differs by more than `tolerance`. `data`, `bad_images`, `scanning` and `watch` are as
    in `zoo_core.evaluate_run`.

    Raises UsageError for an unknown format and a file that exists, ZooError for answers that
    differ, and PluginError, which names the distribution, where the format's code fails.
    """
    catalog = catalog or open_catalog()
    exporter = catalog.exporter(to)
    path = _free(run, out, exporter.spec.suffix, to)
    predictor = load(run, device="cpu", catalog=catalog)
    if predictor.facts is None or predictor.directory is None:
        raise UsageError(
            f"'{printable(str(run))}' is a backbone; `zoo export` writes a run directory that `zoo finetune` made."
        )
    command = f"zoo export {quoted(printable(str(run)))} --to {quoted(to)}"
    source, name = measured_part(run, predictor.facts, data, catalog, scanning, bad_images, command=command)
    part, task = source.parts[name], predictor.objective.task
    expected_NK = predictor.objective.values(predictor.outputs(part)[0])
    with _beside(path) as file:
        answers = _written(exporter, predictor, file)
        found_NK, _ = predictor.outputs(part, watch, answers)
        if found_NK.shape != expected_NK.shape:
            shapes = " and not ".join(f"({', '.join(map(str, one.shape))})" for one in (found_NK, expected_NK))
            raise PluginError(f"{owner_of(exporter.entry)} gives answers {shapes}.")
        difference_N = ((found_NK - expected_NK).abs() / expected_NK.abs().clamp_min(1)).amax(1)
        worst = int(difference_N.nan_to_num(torch.inf).argmax())
        difference, changed = float(difference_N[worst]), task.changed(expected_NK, found_NK)
        if not difference <= tolerance:
            raise ZooError(
                f"the {exporter.spec.name} file answers otherwise than the run: by up to {difference:.2g}, and the "
                f"tolerance is {tolerance:g}, most for {printable(part.images.name(worst))}; {changed} of "
                f"{len(found_NK)} answers change. It was not kept. {OTHERS} --tolerance allows more."
            )
        with written_whole(path) as temporary:
            file.replace(temporary)
    return Export(path, str(exporter), path.stat().st_size, len(found_NK), name, difference, changed)


class _Answering(nn.Module):
    """A network whose outputs are answers: probabilities, or numbers."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.task, self.temperature = objective.task, objective.fitted.temperature

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.task.values(self.network(images_BCHW) / self.temperature)


def _free(run: str | Path, out: str | Path | None, suffix: str, to: str) -> Path:
    """The path of the new file. Raises UsageError where something stands there, and for another
    suffix than the format's."""
    name = f"{STEM}{suffix}"
    path = Path(out) if out is not None else Path(run) / name if Path(run).is_dir() else Path(name)
    if path.is_dir():
        raise UsageError(f"{printable(str(path))} is a folder. Give a file in it: -o {quoted(str(path / name))}")
    if path.suffix != suffix:
        raise UsageError(
            f"{printable(to)} writes {suffix} files. Give such a name: -o {quoted(str(path.with_suffix(suffix)))}"
        )
    if path.exists() or path.is_symlink():
        raise UsageError(f"{printable(str(path))} exists already. Remove it, or give another name with -o.")
    return path


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A path of the same name in a new folder, which goes with all that is in it."""
    parent = next(folder for folder in path.absolute().parents if folder.is_dir())
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=".export-"))
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _written(exporter: Choice[ExporterSpec], predictor: Predictor, path: Path) -> Callable[[Tensor], Tensor]:
    """Write the file, open it, and return the function that it is."""
    preprocessing = predictor.preprocessing
    example_BCHW = torch.zeros(2, preprocessing.channels, preprocessing.size, preprocessing.size)
    thresholds_K = predictor.objective.fitted.thresholds_K
    facts = {
        "task": predictor.objective.task.name,
        "classes": list(predictor.classes),
        "preprocessing": asdict(preprocessing),
        **({} if thresholds_K is None else {"thresholds": thresholds_K.tolist()}),
    }
    network = _Answering(predictor.network, predictor.objective).eval()
    with _blaming(exporter):
        export, run = resolve(exporter.spec.export), resolve(exporter.spec.run)
        export(exporter.options, network=network, example_BCHW=example_BCHW, facts=facts, path=path)
    made = sorted(one.name for one in path.parent.iterdir())
    if made != [path.name] or not path.is_file() or not path.stat().st_size:
        told = ", ".join(map(printable, made)) or "nothing"
        raise PluginError(
            f"{owner_of(exporter.entry)} wrote {told}, and not one file {path.name} with something in it."
        )
    with _blaming(exporter):
        answers = run(path)

    def compute(images_BCHW: Tensor) -> Tensor:
        with _blaming(exporter):
            return full_precision(torch.from_numpy(np.asarray(answers(images_BCHW.contiguous().numpy()))))

    return compute


@contextmanager
def _blaming(exporter: Choice[ExporterSpec]) -> Iterator[None]:
    """Name the plugin whose code fails: that of the format, or that of a part of the network.

    A full disk and a full memory are nobody's fault.
    """
    try:
        yield
    except (ZooError, OSError):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        if (named := plugin_error(error)) is not None:
            raise PluginError(f"{named} {OTHERS}") from error
        raise PluginError(f"{owner_of(exporter.entry)} failed: {reason_of(error)}. {OTHERS}") from error
