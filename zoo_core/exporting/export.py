"""Export: a run as one file of another format, which is kept only if it answers as the run does.

Shapes: B batch, N images, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, Choice, open_catalog, owner_of
from zoo_core.data.batches import Batches, default_workers
from zoo_core.data.on_device import normalised
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part, PartName
from zoo_core.devices.precision import exact_float32, full_precision
from zoo_core.errors import PluginError, UsageError, ZooError, printable
from zoo_core.exporting.agreement import DIFFERENCES, MAX_LOSS, Agreement, Tolerance, compared
from zoo_core.exporting.explained import explained_network
from zoo_core.exporting.file import beside, blaming, free_path, opened, written
from zoo_core.exporting.network import example_of, exported_network, facts_of
from zoo_core.exporting.precision import chosen_exporter, precision_of
from zoo_core.library import load
from zoo_core.paths import written_whole
from zoo_core.predict import Predictor
from zoo_core.result_specs import ExporterSpec, Precision
from zoo_core.run_images import measured_part, part_title, training_images
from zoo_core.settings import BadImages
from zoo_core.specs import TaskName
from zoo_core.tasks.metrics import Interval
from zoo_core.wording import quoted

BATCH_SIZE = 16
ALONE = 1e-3  # kernels for one image add up in another order
CPU = torch.device("cpu")
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Export:
    """A file that was written, and how its answers differ from the run's on the images that it was
    checked on."""

    path: Path
    format: str
    precision: str
    with_preprocessing: bool
    """Whether the file takes bytes and normalises them itself."""
    bytes: int
    """Of the second file too, if the format has two."""
    images: int
    part: str
    task: TaskName
    difference: float
    """The largest of any answer; of a number above 1, as a share of it."""
    changed: int
    """Images with another class, or with other labels."""
    changed_images: tuple[str, ...]
    metric: str
    before: float
    """The score of the run, by the task's own metric."""
    before_interval: Interval | None
    after: float
    """The score of the file."""
    after_interval: Interval | None
    calibration: dict[str, Any] | None
    """The `images` and the `part` that the ranges of 8-bit integers follow from, and the `problem`
    where they are none of the run's own training images; or None."""


@names_plugins
def export_run(
    run: str | Path,
    to: str,
    *,
    out: str | Path | None = None,
    precision: Precision | None = None,
    with_preprocessing: bool = False,
    data: Any = None,
    tolerance: float | None = None,
    max_loss: float = MAX_LOSS,
    bad_images: BadImages | None = None,
    catalog: Catalog | None = None,
    message: Callable[[str], None] = lambda text: None,
    scanning: Watch | None = None,
    calibrating: Watch | None = None,
    watch: Watch | None = None,
) -> Export:
    """Write a run in the format `to` ("NAME" or "NAME:options") to the file `out`.

    Without `out` it is model.SUFFIX in the run directory, or in the current folder for a run of the
    Hub. The file maps normalised images (B, C, H, W), or bytes `with_preprocessing`, to
    probabilities of classes or labels, or to numbers. `precision` sets the format's option of that
    name. The file is run on `data`, or on the held-out part of the run's own data, and kept only
    where no answer differs by more than `tolerance` (by precision, where it is None) and no more
    than `max_loss` of the score is lost. 8-bit ranges follow from the run's own training images,
    and from `data` where those cannot be read. `message` is told the steps that take long. `data`,
    `bad_images`, `scanning` and `watch` are as in `zoo_core.evaluate_run`.

    Raises UsageError for an unknown format and a file that exists, ZooError for answers that
    differ, and PluginError, which names the distribution, where the format's code fails.
    """
    catalog = catalog or open_catalog()
    exporter = chosen_exporter(to, precision, catalog)
    name_of_file = "model" if precision_of(exporter) == "fp32" else f"model-{precision_of(exporter)}"
    path = free_path(run, out, name_of_file, exporter.spec, to)
    predictor = load(run, device="cpu", catalog=catalog)
    if predictor.facts is None or predictor.directory is None:
        raise UsageError(
            f"'{printable(str(run))}' is a backbone; `zoo export` writes a run directory that `zoo finetune` made."
        )
    command = f"zoo export {quoted(str(run))} --to {quoted(to)}"
    source, name = measured_part(run, predictor.facts, data, catalog, scanning, bad_images, command=command)
    part, task = source.parts[name], predictor.objective.task
    part = replace(part, targets=task.reordered(part.targets, source.classes, predictor.classes, source.title))

    def training() -> tuple[Part, str, str | None]:
        assert predictor.facts is not None
        if data is None:
            return source.parts["train"], "train", None
        try:
            return training_images(run, predictor.facts, catalog, scanning).parts["train"], "train", None
        except ZooError as error:
            given: PartName = "train" if "train" in source.parts else name
            return source.parts[given], part_title(given, data) if given == name else given, str(error)

    calibration = Calibration(predictor, training, with_preprocessing, calibrating)
    with beside(path) as file:
        message(f"writing the {exporter} file")
        example_BCHW = example_of(predictor.preprocessing, with_preprocessing=with_preprocessing)
        written(
            exporter,
            file,
            network=exported_network(predictor, with_preprocessing=with_preprocessing),
            example_BCHW=example_BCHW,
            facts=facts_of(predictor, with_preprocessing=with_preprocessing),
            calibration=calibration.batches,
            explained=partial(explained_network, predictor, example_BCHW, with_preprocessing=with_preprocessing),
        )
        agreement = _checked(exporter, predictor, opened(exporter, file), part, with_preprocessing, watch)
        bound = DIFFERENCES[precision_of(exporter)] if tolerance is None else tolerance
        if (objection := agreement.objection(Tolerance(bound, max_loss))) is not None:
            raise ZooError(f"the {exporter} file {objection}. It was not kept. {_ways_out(exporter)}")
        for made, target in reversed(list(zip(*map(exporter.spec.files, (file, path)), strict=True))):
            with written_whole(target) as temporary:  # the first file comes last: with it the export is there
                made.replace(temporary)
    return Export(
        path=path,
        format=str(exporter),
        precision=precision_of(exporter),
        with_preprocessing=with_preprocessing,
        bytes=sum(one.stat().st_size for one in exporter.spec.files(path)),
        images=agreement.images,
        part=part_title(name, data),
        task=task.name,
        difference=agreement.difference,
        changed=len(agreement.changed),
        changed_images=agreement.changed,
        metric=agreement.metric.name,
        before=agreement.before,
        before_interval=agreement.before_interval,
        after=agreement.after,
        after_interval=agreement.after_interval,
        calibration=calibration.told,
    )


class Calibration:
    """Training images for an exporter that asks for some, and a record of what it took."""

    def __init__(
        self,
        predictor: Predictor,
        training: Callable[[], tuple[Part, str, str | None]],
        with_preprocessing: bool,
        watch: Watch | None,
    ) -> None:
        """`training` gives the images, the name of their part, and the problem where they are none
        of the run's own training images."""
        self.predictor, self.training, self.watch = predictor, training, watch
        self.with_preprocessing = with_preprocessing
        self.told: dict[str, Any] | None = None

    def batches(self, count: int) -> Iterator[Array]:
        """Batches of `count` images at most, drawn from all over the part, as the network takes
        them."""
        whole, name, problem = self.training()
        order = np.random.default_rng(0).permutation(len(whole))[:count].tolist()
        self.told = {"images": len(order), "part": name, "problem": problem}
        part = whole.take(sorted(order))
        done = 0
        for _, prepared_BCHW, _ in _inputs(self.predictor, part, self.with_preprocessing):
            yield prepared_BCHW.numpy()
            done += len(prepared_BCHW)
            if self.watch is not None:
                self.watch(done, len(part))


def _inputs(predictor: Predictor, part: Part, with_preprocessing: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of images normalised, and as the exported network takes them, with their targets."""
    preprocessing = predictor.preprocessing
    for pixels_BCHW, targets in Batches(part, preprocessing, BATCH_SIZE, default_workers()).in_order():
        normalised_BCHW = normalised(pixels_BCHW, preprocessing, CPU).contiguous()
        yield normalised_BCHW, pixels_BCHW.contiguous() if with_preprocessing else normalised_BCHW, targets


def _checked(
    exporter: Choice[ExporterSpec],
    predictor: Predictor,
    answers: Callable[[Array], Array],
    part: Part,
    with_preprocessing: bool,
    watch: Watch | None,
) -> Agreement:
    """Run a file and the run on the images of a part, and compare their answers."""
    expected, found, truth = [], [], []
    predictor.network.eval()
    for images_BCHW, prepared_BCHW, targets in _inputs(predictor, part, with_preprocessing):
        with exact_float32(predictor.device), torch.inference_mode():
            outputs_BK = full_precision(predictor.network(images_BCHW))
            expected.append(predictor.objective.values(outputs_BK))
        found.append(_answers(exporter, answers, prepared_BCHW))
        if found[-1].shape != expected[-1].shape:
            shapes = " and not ".join(f"({', '.join(map(str, one[-1].shape))})" for one in (found, expected))
            raise PluginError(f"{owner_of(exporter.entry)} gives answers {shapes} for {len(targets)} images.")
        truth.append(targets)
        if watch is not None:
            watch(sum(map(len, truth)), len(part))
    _check_alone(exporter, answers, prepared_BCHW, found[-1])
    names = [part.images.name(index) for index in range(len(part))]
    return compared(predictor.objective, torch.cat(expected), torch.cat(found), torch.cat(truth), names, part.groups)


def _answers(exporter: Choice[ExporterSpec], answers: Callable[[Array], Array], images_BCHW: Tensor) -> Tensor:
    with blaming(exporter), torch.inference_mode():
        return full_precision(torch.from_numpy(np.array(answers(images_BCHW.numpy()))))


def _check_alone(
    exporter: Choice[ExporterSpec], answers: Callable[[Array], Array], images_BCHW: Tensor, found_BK: Tensor
) -> None:
    """Raise PluginError where an image alone is answered otherwise than among others."""
    alone_K = _answers(exporter, answers, images_BCHW[:1].contiguous())
    if not torch.allclose(alone_K, found_BK[:1], rtol=ALONE, atol=ALONE):
        raise PluginError(f"{owner_of(exporter.entry)} answers otherwise for one image than for several.")


def _ways_out(exporter: Choice[ExporterSpec]) -> str:
    """What else can be done after a refusal, as sentences."""
    others = "`zoo list exporters` shows other formats; --tolerance and --max-loss allow more."
    if precision_of(exporter) == "fp32":
        return others
    return f"Without --{precision_of(exporter)} the file answers as the run does; {others}"
