"""The kit finds the faults of metrics and exporters; sound ones pass."""

from __future__ import annotations

import copy
import itertools
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import torch

from conformance.planted import failures_of
from zoo_core import ExporterSpec, MetricSpec, builtin, hookimpl
from zoo_core.testing import plugin_checks

NUMBERS = itertools.count()


def right(options: Any, *, answers: Any, targets: Any) -> float:
    return float((answers.argmax(1) == targets).mean())


def write(options: Any, *, network: Any, path: Path, **given: Any) -> None:
    path.write_bytes(pickle.dumps(network))


def run(path: Path) -> Any:
    network = pickle.loads(path.read_bytes())
    return lambda images_BCHW: network(torch.from_numpy(images_BCHW)).detach().numpy()


def failures(monkeypatch: pytest.MonkeyPatch, *, is_proportion: bool = False, **code: Any) -> list[str]:
    module = ModuleType("zoo_kit_test")
    metric = MetricSpec(name="kit-test", compute="zoo_kit_test:right", summary="s", is_proportion=is_proportion)
    exporter = ExporterSpec(
        name="kit-test",
        export="zoo_kit_test:write",
        run="zoo_kit_test:run",
        suffix=".x",
        summary="s",
        options=Precisions,
        calibrates=True,
    )
    hooks = {"zoo_metrics": hookimpl(lambda: [metric]), "zoo_exporters": hookimpl(lambda: [exporter])}
    vars(module).update({"right": right, "write": write, "run": run, **hooks, **code})
    monkeypatch.setitem(sys.modules, "zoo_kit_test", module)
    return failures_of(module)


def changes(options: Any, *, answers: Any, targets: Any) -> float:
    targets[:] = 0
    return 1.0


def several(options: Any, *, path: Path, **given: Any) -> None:
    path.write_text("a")
    path.with_suffix(".data").write_text("b")


def one_image(path: Path) -> Any:
    return lambda images_BCHW: run(path)(images_BCHW[:1])


@dataclass(frozen=True)
class Precisions:
    precision: Literal["fp32", "int8"] = "fp32"


def shrunk(options: Precisions, *, network: Any, path: Path, **given: Any) -> None:
    """Integers that are far too coarse."""
    if options.precision == "int8":
        network = copy.deepcopy(network)
        for parameter in network.parameters():
            parameter.data.round_()
    write(options, network=network, path=path)


def of_floats(path: Path) -> Any:
    """Images that are no floats, which a format may not know, count as black."""
    return lambda images_BCHW: run(path)(images_BCHW * (images_BCHW.dtype == np.float32))


def logits(path: Path) -> Any:
    return lambda images_BCHW: np.log(run(path)(images_BCHW))


def test_a_sound_metric_and_a_sound_exporter_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(monkeypatch) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ({"right": lambda options, *, answers, targets: float("nan")}, "it gives nan for 24 images of classification"),
        ({"right": lambda options, *, answers, targets: np.corrcoef(answers[:, 0], targets)[0, 1]}, "for 1 images"),
        ({"right": changes}, "it changes what it is given"),
        ({"right": lambda options, *, answers, targets: next(NUMBERS)}, "the same answers had the figures"),
        ({"right": lambda options, *, answers, targets: answers[0, 0]}, "in reverse order"),
        ({"write": lambda options, **given: None}, "it wrote nothing, and not the one file model.x"),
        ({"write": several}, "it wrote ['model.data', 'model.x'], and not the one file model.x"),
        ({"run": one_image}, "5 images have answers of the shape (1, 3)"),
        ({"run": logits}, "from the network's"),
        ({"run": of_floats}, "writes a network of bytes"),
        ({"write": shrunk}, "from the network's with precision=int8"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:numpy")
def test_a_planted_fault_is_found_and_the_way_to_mend_it_told(
    monkeypatch: pytest.MonkeyPatch, code: dict[str, Any], words: str
) -> None:
    found = failures(monkeypatch, **code)
    assert any(words in one and "To mend it: " in one for one in found), found


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda answers, targets: 2.5, "it gives 2.5 for one image of classification"),
        (lambda answers, targets: float(answers.argmax(1)[0] == targets[0]), "for each alone 0."),
        (lambda answers, targets: right(None, answers=answers, targets=targets), None),
    ],
)
def test_a_proportion_is_that_of_the_images(monkeypatch: pytest.MonkeyPatch, compute: Any, words: str | None) -> None:
    def figure(options: Any, *, answers: Any, targets: Any) -> float:
        return float(compute(answers, targets))

    found = [one for one in failures(monkeypatch, right=figure, is_proportion=True) if "share that it promises" in one]
    assert [words in one for one in found] == ([] if words is None else [True])


def test_zoos_own_metrics_and_exporters_pass() -> None:
    names = ("accuracy: ", "top: ", "balanced-accuracy: ", "torch-export: ")
    checks = [check for check in plugin_checks(builtin) if check.name.startswith(names)]
    assert len(checks) == 23
    for check in checks:
        check()
