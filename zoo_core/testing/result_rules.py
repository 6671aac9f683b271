"""Rules for metrics and exporters: what they make of the answers, and of the network, of a run.

Shapes: N images, K answers.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zoo_core.exporting.precision import precisions
from zoo_core.options import parse_options
from zoo_core.result_specs import ExporterSpec, MetricSpec
from zoo_core.specs import TaskName, resolve
from zoo_core.tasks import task_named
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import has_a_name_of_its_own, has_options_that_a_text_can_give
from zoo_core.testing.networks import CLOSE, apart, with_required

IMAGES, ANSWERS = 24, 3
SIZE = 8
NEAR = 0.05  # of an answer: integers of 8 bits move a probability by some hundredths

Answers = npt.NDArray[np.float64]
Targets = npt.NDArray[Any]


@rule("Take (options, *, answers, targets) and return one finite float, for one image too.")
def gives_a_finite_number(spec: MetricSpec) -> None:
    """Answers of chance, perfect ones and the answer for one image have a figure."""
    for task in spec.tasks:
        answers_NK, targets = _chance(task)
        perfect_NK = np.eye(ANSWERS)[targets] if targets.ndim == 1 else targets.astype(np.float64)
        for given in ((answers_NK, targets), (perfect_NK, targets), (answers_NK[:1], targets[:1])):
            figure = _figure(spec, *given)
            assert math.isfinite(figure), f"it gives {figure} for {len(given[0])} images of {task}"


@rule("Compute from copies, and from answers and targets alone.")
def measures_the_same_each_time(spec: MetricSpec) -> None:
    """The same answers have the same figure again, and are as they were."""
    for task in spec.tasks:
        answers_NK, targets = _chance(task)
        first = _figure(spec, answers_NK, targets)
        assert all(map(np.array_equal, (answers_NK, targets), _chance(task))), "it changes what it is given"
        second = _figure(spec, *_chance(task))
        assert first == second, f"the same answers had the figures {first} and {second}"


@rule("Look at the images as a set: a sum or a mean over them.")
def does_not_depend_on_the_order_of_images(spec: MetricSpec) -> None:
    """Images in another order have the same figure."""
    for task in spec.tasks:
        answers_NK, targets = _chance(task)
        first = _figure(spec, answers_NK, targets)
        turned = _figure(spec, answers_NK[::-1].copy(), targets[::-1].copy())
        same = math.isclose(first, turned, rel_tol=1e-9, abs_tol=1e-12)
        assert same, f"the figure {first} is {turned} in reverse order"


@rule("Leave out `is_proportion` where a figure is no share of the images: intervals follow from it.")
def is_the_share_that_it_promises(spec: MetricSpec) -> None:
    """A proportion is 0 or 1 for one image, and for several the mean of these."""
    for task in spec.tasks if spec.is_proportion else ():
        answers_NK, targets = _chance(task)
        alone = [_figure(spec, answers_NK[place : place + 1], targets[place : place + 1]) for place in range(IMAGES)]
        other = next((one for one in alone if one not in (0, 1)), None)
        assert other is None, f"it gives {other} for one image of {task}"
        together = _figure(spec, answers_NK, targets)
        same = math.isclose(together, sum(alone) / IMAGES, abs_tol=1e-9)
        assert same, (
            f"it gives {together:g} for {IMAGES} images of {task}, and for each alone {sum(alone) / IMAGES:g} on average"
        )


@rule("Write to `path` (and its `second_suffix`) alone; let `run` map arrays (B, C, H, W) of any B to arrays (B, K).")
def writes_a_file_that_answers_alike(spec: ExporterSpec) -> None:
    """The file answers as the network does, for one image and for several."""
    _check_written(spec, "", _small_network(), torch.zeros(2, 3, SIZE, SIZE), CLOSE)


@rule("Write the network as it is: it may begin with a cast of bytes, and `run` then gets bytes.")
def writes_a_network_of_bytes(spec: ExporterSpec) -> None:
    """A network that normalises bytes itself, as `--with-preprocessing` has it, is a file too."""
    _check_written(spec, "", OfBytes(_small_network()).eval(), torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8), CLOSE)


@rule("Keep what loses much in float32, and take the ranges of integers from `calibration`.")
def answers_nearly_alike_in_every_precision(spec: ExporterSpec) -> None:
    """Every precision that the options offer makes a file whose answers are near the network's."""
    for precision in precisions(spec):
        if precision != "fp32":
            option = f"precision={precision}"
            _check_written(spec, option, _small_network(), torch.zeros(2, 3, SIZE, SIZE), NEAR)


class OfBytes(nn.Module):
    """A network of images as one of bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels_BCHW: Tensor) -> Any:
        return self.network(pixels_BCHW.float() / 64 - 2)


def _small_network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(4, ANSWERS), nn.Softmax(1)).eval()


def _check_written(spec: ExporterSpec, option: str, network: nn.Module, example_BCHW: Tensor, bound: float) -> None:
    """Write the network, run the file on 1 and on 5 images, and compare."""
    options: Any = parse_options(spec.name, spec.options, with_required(spec.options, option))
    facts = {"task": "classification", "classes": ["a", "b", "c"]}
    calibration = {"calibration": lambda count: iter([_images(example_BCHW, 16).numpy()])} if spec.calibrates else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{spec.suffix}"
        export = resolve(spec.export)
        export(options, network=network, example_BCHW=example_BCHW, facts=facts, path=path, **calibration)
        made = sorted(one.name for one in Path(folder).iterdir())
        asked = sorted(one.name for one in spec.files(path))
        told = f"the one file {path.name}" if len(asked) == 1 else " and ".join(asked)
        assert made == asked, f"it wrote {made or 'nothing'}, and not {told}"
        answers = resolve(spec.run)(path)
        for count in (1, 5):
            images_BCHW = _images(example_BCHW, count)
            with torch.no_grad():
                expected_BK = network(images_BCHW)
            found_BK = torch.from_numpy(np.array(answers(images_BCHW.numpy())))
            shape = tuple(found_BK.shape)
            assert shape == (count, ANSWERS), f"{count} images have answers of the shape {shape}"
            far = apart(expected_BK, found_BK)
            beside = f" with {option}" if option else ""
            assert far <= bound, f"answers for {count} images are {far:.2g} from the network's{beside}"


def _images(example_BCHW: Tensor, count: int) -> Tensor:
    """Random images of the example's type."""
    images_BCHW = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(count))
    if example_BCHW.dtype == torch.uint8:
        return (images_BCHW * 64 + 128).clamp(0, 255).to(torch.uint8)
    return images_BCHW


def _figure(spec: MetricSpec, answers_NK: Answers, targets: Targets) -> float:
    options: Any = parse_options(spec.name, spec.options, with_required(spec.options, ""))
    return float(resolve(spec.compute)(options, answers=answers_NK, targets=targets))


def _chance(task: TaskName) -> tuple[Answers, Targets]:
    """Answers and targets that have nothing to do with each other, always the same."""
    generator = np.random.default_rng(0)
    answers_NK = generator.random((IMAGES, ANSWERS))
    if task_named(task).single_label:
        return answers_NK / answers_NK.sum(1, keepdims=True), generator.integers(0, ANSWERS, IMAGES)
    return answers_NK, generator.integers(0, 2, (IMAGES, ANSWERS)).astype(np.float32)


METRIC_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    gives_a_finite_number,
    measures_the_same_each_time,
    does_not_depend_on_the_order_of_images,
    is_the_share_that_it_promises,
)
EXPORTER_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    writes_a_file_that_answers_alike,
    writes_a_network_of_bytes,
    answers_nearly_alike_in_every_precision,
)
