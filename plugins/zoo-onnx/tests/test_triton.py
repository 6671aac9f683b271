"""A model repository for Triton: its configuration says what the network in it takes and gives."""

import json
import re
import zipfile

import numpy as np
import onnxruntime
import pytest

import zoo_core
from zoo_core import FinetuneConfig, export_run
from zoo_core.testing import make_photos


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("triton") / "run"
    return zoo_core.finetune(FinetuneConfig(backbone="lenet5", epochs=1, out=str(out))).directory


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    """A run of numbers whose differences float32 cannot hold: times in seconds since 1970."""
    folder = tmp_path_factory.mktemp("times")
    photos = make_photos(folder / "photos", count=12)
    rows = [
        f"{path.relative_to(photos)},{1_700_000_000 + 20 * number}"
        for number, path in enumerate(sorted(photos.rglob("*.*g")))
    ]
    (photos / "times.csv").write_text("\n".join(["path,time", *rows]) + "\n")
    config = FinetuneConfig(
        backbone="lenet5", data=str(photos / "times.csv"), task="regression", epochs=1, out=str(folder / "run")
    )
    return zoo_core.finetune(config).directory


@pytest.mark.parametrize(("with_preprocessing", "kind"), [(False, "TYPE_FP32"), (True, "TYPE_UINT8")])
def test_the_repository_holds_the_network_its_configuration_and_the_names(run, tmp_path, with_preprocessing, kind):
    made = export_run(run, "triton", out=tmp_path / "model.zip", with_preprocessing=with_preprocessing)
    assert made.difference <= 1e-4
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(tmp_path / "models")
        assert sorted(archive.namelist()) == [
            "zoo/1/model.onnx",
            "zoo/config.pbtxt",
            "zoo/facts.json",
            "zoo/labels.txt",
        ]
    folder = tmp_path / "models" / "zoo"
    config = (folder / "config.pbtxt").read_text()
    session = onnxruntime.InferenceSession(str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    (image,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (
        f'input [ {{ name: "{image.name}" data_type: {kind} dims: [ {", ".join(map(str, image.shape[1:]))} ] }} ]'
        in config
    )
    assert re.search(rf'output \[ {{ name: "{answer.name}" data_type: TYPE_FP32 dims: \[ {answer.shape[1]} \]', config)
    assert config.count("{") == config.count("}")
    batch = int(re.search(r"max_batch_size: (\d+)", config)[1])
    pixels = np.zeros((batch, *image.shape[1:]), np.uint8 if with_preprocessing else np.float32)
    assert session.run(None, {image.name: pixels})[0].shape == (batch, 10)
    classes = json.loads((folder / "facts.json").read_text())["classes"]
    assert (folder / "labels.txt").read_text().splitlines() == classes
    predictor = zoo_core.load_exported(made.path)
    image = np.full((28, 28), 90, np.uint8)
    (found,), (expected,) = predictor.predict([image]), zoo_core.load(run, device="cpu").predict([image])
    assert found.values == pytest.approx(expected.values, abs=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_configuration_names_the_type_of_numbers_in_float64(times, tmp_path, precision):
    """Seen to fail: it named float32, and Triton's backend refuses a graph of another type."""
    path = tmp_path / "model.zip"
    made = export_run(times, "triton", out=path, precision=precision, tolerance=1, max_loss=1)
    with zipfile.ZipFile(made.path) as archive:
        config, facts = archive.read("zoo/config.pbtxt").decode(), json.loads(archive.read("zoo/facts.json"))
        session = onnxruntime.InferenceSession(archive.read("zoo/1/model.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].type == "tensor(double)"
    assert "data_type: TYPE_FP64 dims: [ 1 ]" in config
    assert facts["output"].startswith("float64 (batch, numbers)")
    images = [np.full((28, 28), level, np.uint8) for level in (20, 200)]
    (dark,), (light,) = (one.values for one in zoo_core.load_exported(made.path).predict(images))
    assert dark != light
