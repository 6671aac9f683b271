"""Runs as OpenVINO models: they answer as the run does, hold its facts, and open without zoo."""

import json
import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from zoo_openvino.export import export
from zoo_openvino.plugin import OpenvinoOptions

import zoo_core
from zoo_core import FinetuneConfig, UsageError, ZooError, export_run
from zoo_core.testing import make_photos

TASKS = ("classification", "multilabel", "regression")
COMBINATIONS = [(head, task) for head in ("linear", "mlp:hidden=16") for task in TASKS] + [("logreg", "classification")]
SMALL = ("lenet5", "resnet18", "zfnet", "googlenet", "vgg11_bn", "efficientnet_lite0")
"""A network of each family."""


def photos_of(root, task):
    """Photos in folders, or with labels or numbers in a table."""
    photos = make_photos(root / "photos", count=30)
    if task == "classification":
        return photos
    rows = ["path,labels" if task == "multilabel" else "path,size"]
    for path in sorted(photos.rglob("*.*g")):
        name, number = path.parent.name, int(path.stem)
        rows.append(f"{name}/{path.name},{f'{name}|any' if task == 'multilabel' else number * 1.5}")
    (photos / "table.csv").write_text("\n".join(rows) + "\n")
    return photos / "table.csv"


def trained(root, *, backbone="lenet5", head="linear", task="classification"):
    spec = zoo_core.open_catalog().backbone(backbone).spec
    least = 112 if backbone == "zfnet" else 32  # its last pooling sees less than its kernel in smaller ones
    size = next(size for size in range(max(least, spec.min_size), 1000) if spec.takes_size(size))
    config = FinetuneConfig(
        backbone=backbone, weights="none", head=head, task=task, size=size, epochs=1, batch_size=16,
        data=str(photos_of(root, task)), out=str(root / "run"),
    )  # fmt: skip
    return zoo_core.finetune(config).directory


def facts_in(path):
    """The facts, read as the README has it."""
    return json.loads(openvino.Core().read_model(path).get_rt_info(["zoo"]).astype(str))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of lenet5 on the bundled images, with a temperature and a distance."""
    out = tmp_path_factory.mktemp("openvino") / "run"
    return zoo_core.finetune(FinetuneConfig(backbone="lenet5", epochs=1, out=str(out))).directory


@pytest.fixture(scope="module")
def made(run):
    """The run in each precision; the one in float32 takes bytes."""
    return {
        "fp32": export_run(run, "openvino", out=run.parent / "whole.xml", with_preprocessing=True),
        "fp16": export_run(run, "openvino", out=run.parent / "half.xml", precision="fp16"),
        "int8": export_run(run, "openvino", out=run.parent / "int.xml", precision="int8"),
    }


@pytest.mark.parametrize(
    ("backbone", "head", "task"),
    [
        pytest.param(
            backbone, head, task, id=f"{backbone}-{head}-{task}",
            marks=() if (backbone, head, task) == ("lenet5", "mlp:hidden=16", "multilabel") else pytest.mark.whole,
        )
        for backbone in SMALL
        for head, task in COMBINATIONS
    ],
)  # fmt: skip
def test_the_model_answers_as_the_run(tmp_path, backbone, head, task):
    made = export_run(trained(tmp_path, backbone=backbone, head=head, task=task), "openvino")
    assert made.difference <= 1e-4
    assert made.changed == 0
    assert made.after == pytest.approx(made.before, rel=1e-6, abs=1e-4)  # R2 may be far below 0


def test_the_model_takes_bytes_and_opens_without_zoo_and_as_a_predictor(run, made):
    facts, predictor = facts_in(made["fp32"].path), zoo_core.load(run, device="cpu")
    assert facts["classes"] == list(predictor.classes)
    assert facts["normalises"]
    assert facts["temperature"] != 1
    assert round(facts["preprocessing"]["size"] / facts["preprocessing"]["crop"]) == 32, "the image needs no resize"
    square = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    (found,) = predictor.predict([Image.fromarray(square)])
    (opened,) = zoo_core.load_exported(made["fp32"].path).predict([Image.fromarray(square)])
    compiled = openvino.Core().compile_model(made["fp32"].path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for answers in (opened.values, compiled(square[None, None])[0][0]):
        assert answers == pytest.approx(found.values, abs=1e-5)


def test_halves_and_integers_are_smaller_and_the_model_says_what_it_is(run, made):
    assert {name: facts_in(one.path)["precision"] for name, one in made.items()} == {name: name for name in made}
    weights = {name: one.path.with_suffix(".bin").stat().st_size for name, one in made.items()}
    for name, one in made.items():
        assert one.bytes == one.path.stat().st_size + weights[name]
    assert weights["fp16"] < 0.6 * weights["fp32"]
    assert weights["int8"] < 0.4 * weights["fp32"]
    assert made["int8"].calibration == {"images": 256, "part": "train", "problem": None}
    assert 1e-6 < made["fp16"].difference < 0.02
    assert made["int8"].before - made["int8"].after <= 0.01


def test_the_convolutions_of_an_int8_model_are_computed_in_integers(made):
    """OpenVINO says of each layer of the compiled model in which type it is computed."""
    compiled = openvino.Core().compile_model(made["int8"].path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    types = [
        one.get_rt_info()["runtimePrecision"].astype(str)
        for one in compiled.get_runtime_model().get_ops()
        if one.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert types
    assert set(types) <= {"u8", "i8"}


def test_the_model_carries_nothing_of_this_machine(run, made):
    path = made["fp32"].path
    content = path.read_bytes() + path.with_suffix(".bin").read_bytes()
    for word in (str(Path(zoo_core.__file__).parent), str(run.parent), "site-packages"):
        assert word.encode() not in content


def test_a_model_that_is_refused_leaves_nothing(run, tmp_path):
    with pytest.raises(ZooError, match=r"the openvino:fp16 file answers otherwise .* was not kept.* Without --fp16"):
        called("export", run, "--to", "openvino", "--fp16", "-o", tmp_path / "a.xml", "--tolerance", "1e-9")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_openvino_does_not_take_is_told(tmp_path):
    """Seen to fail: zfnet on images of 32 pixels, with OpenVINO's log of lines as the message."""
    pooling = torch.nn.Sequential(torch.nn.MaxPool2d(3, 2, ceil_mode=True), torch.nn.Flatten()).eval()
    example_BCHW, file = torch.zeros(2, 3, 2, 2), tmp_path / "a.xml"
    with pytest.raises(
        ZooError, match="OpenVINO does not take this network: Kernel .* --to onnx writes this one"
    ) as told:
        export(OpenvinoOptions(), network=pooling, example_BCHW=example_BCHW, facts={}, path=file, calibration=iter)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_neither_of_the_two_files_is_overwritten_or_missed(run, made, tmp_path):
    (tmp_path / "a.bin").write_text("mine")
    with pytest.raises(UsageError, match=r"a\.bin exists already. Remove it, or give another name with -o"):
        called("export", run, "--to", "openvino", "-o", tmp_path / "a.xml")
    assert (tmp_path / "a.bin").read_text() == "mine"
    alone = Path(shutil.copy(made["fp32"].path, tmp_path / "b.xml"))
    with pytest.raises(UsageError, match=r"b\.xml belongs to a file b\.bin, which is not beside it"):
        zoo_core.load_exported(alone)


def called(*arguments):
    """Run a command in this process. Raises its errors."""
    zoo = next(one for one in entry_points(group="console_scripts") if one.name == "zoo").load()
    done = CliRunner().invoke(sys.modules[zoo.__module__].zoo, [str(one) for one in arguments])
    if done.exception is not None:
        raise done.exception
