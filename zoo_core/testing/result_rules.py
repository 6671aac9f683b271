"""Rules for metrics and exporters: what they make of the answers, and of the network, of a run."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zoo_core.options import parse_options
from zoo_core.specs import ExporterSpec, MetricSpec, TaskName, resolve
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import has_a_name_of_its_own, has_options_that_a_text_can_give
from zoo_core.testing.networks import CLOSE, with_required

IMAGES, OUTPUTS = 24, 3
SIZE = 8


@rule("Take (options, *, answers, targets) and return one finite float.")
def gives_a_finite_number(spec: MetricSpec) -> None:
    """Any answers have a figure: those of chance and perfect ones, of one image too."""
    for task in spec.tasks:
        for answers, targets in (_chance(task), _perfect(task), tuple(one[:1] for one in _chance(task))):
            figure = _figure(spec, answers, targets)
            assert math.isfinite(figure), f"it gives {figure} for {len(answers)} images of {task}"


@rule("Compute from copies: zoo measures the same arrays with other metrics, too.")
def leaves_its_inputs_alone(spec: MetricSpec) -> None:
    """Answers and targets are as before, and the same ones have the same figure again."""
    for task in spec.tasks:
        answers, targets = _chance(task)
        before = answers.copy(), targets.copy()
        first, second = (_figure(spec, answers, targets) for _ in range(2))
        assert first == second, f"the same answers had the figures {first} and {second}"
        assert np.array_equal(answers, before[0]), "it changes the answers"
        assert np.array_equal(targets, before[1]), "it changes the targets"


@rule("Look at the images as a set: sum or average over them.")
def does_not_depend_on_the_order_of_images(spec: MetricSpec) -> None:
    """Images in another order have the same figure."""
    for task in spec.tasks:
        answers, targets = _chance(task)
        first, turned = _figure(spec, answers, targets), _figure(spec, answers[::-1].copy(), targets[::-1].copy())
        assert math.isclose(first, turned, rel_tol=1e-9, abs_tol=1e-12), f"{first} became {turned} in reverse order"


@rule("Write one file to `path`, and let `run` map arrays (B, C, H, W) of any B to arrays (B, K).")
def writes_a_file_that_answers_alike(spec: ExporterSpec) -> None:
    """The file answers as the network does, for one image and for several."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, OUTPUTS))
    network = network.append(nn.Softmax(1)).eval()
    export, run = resolve(spec.export), resolve(spec.run)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{spec.suffix}"
        options = parse_options(spec.name, spec.options, with_required(spec.options, ""))
        facts = {"task": "classification", "classes": ["a", "b", "c"]}
        export(options, network=network, example_BCHW=torch.zeros(2, 3, SIZE, SIZE), facts=facts, path=path)
        assert path.is_file(), f"there is no file {path.name}"
        answers = run(path)
        for count in (1, 5):
            images_BCHW = torch.randn(count, 3, SIZE, SIZE)
            with torch.no_grad():
                expected = network(images_BCHW).numpy()
            found = answers(images_BCHW.numpy())
            assert found.shape == expected.shape, f"{count} images have answers of the shape {found.shape}"
            far = float(np.abs(found - expected).max())
            assert far <= CLOSE, f"answers for {count} images are {far:.2g} from those of the network"


def _figure(spec: MetricSpec, answers: np.ndarray, targets: np.ndarray) -> float:
    options = parse_options(spec.name, spec.options, with_required(spec.options, ""))
    return float(resolve(spec.compute)(options, answers=answers, targets=targets))  # type: ignore[arg-type]


def _chance(task: TaskName) -> tuple[np.ndarray, np.ndarray]:
    """Answers and targets that have nothing to do with each other."""
    generator = np.random.default_rng(0)
    answers = generator.random((IMAGES, OUTPUTS))
    if task == "classification":
        return answers / answers.sum(1, keepdims=True), generator.integers(0, OUTPUTS, IMAGES)
    targets = generator.random((IMAGES, OUTPUTS))
    return answers, (targets > 0.5).astype(np.float32) if task == "multilabel" else targets.astype(np.float32)


def _perfect(task: TaskName) -> tuple[np.ndarray, np.ndarray]:
    _, targets = _chance(task)
    answers = np.eye(OUTPUTS)[targets] if task == "classification" else targets.astype(np.float64)
    return answers, targets


METRIC_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    gives_a_finite_number,
    leaves_its_inputs_alone,
    does_not_depend_on_the_order_of_images,
)
EXPORTER_RULES = (has_a_name_of_its_own, has_options_that_a_text_can_give, writes_a_file_that_answers_alike)
