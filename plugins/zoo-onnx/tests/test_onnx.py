"""Runs as ONNX files: they answer as the run does, say what is inside, and open without zoo."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import zoo_core
from zoo_core import FinetuneConfig, ZooError, export_run
from zoo_core.testing import make_photos

TASKS = ("classification", "multilabel", "regression")
COMBINATIONS = [(head, task) for head in ("linear", "mlp:hidden=16") for task in TASKS] + [("logreg", "classification")]


def smallest(spec):
    """The smallest image size of a backbone from 32 pixels on."""
    return next(size for size in range(max(32, spec.min_size), 1000) if spec.takes_size(size))


def first_party():
    names = ("alexnet", "efficientnet-lite", "googlenet", "lenet", "resnet", "vgg", "zfnet")
    catalog = zoo_core.open_catalog()
    entries = catalog.entries(zoo_core.BackboneSpec)
    return [entry.spec for entry in entries if entry.distribution in {f"zoo-{name}" for name in names}]


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


def trained(root, *, backbone="lenet5", head="linear", task="classification", size=32):
    config = FinetuneConfig(
        backbone=backbone, weights="none", head=head, task=task, size=size, epochs=1, batch_size=16,
        data=str(photos_of(root, task)), out=str(root / "run"),
    )  # fmt: skip
    return zoo_core.finetune(config).directory


def answers_of(file, images_BCHW):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images_BCHW})[0]


def facts_in(file):
    return json.loads({one.key: one.value for one in onnx.load(file).metadata_props}["zoo"])


def read_as_told(path, facts):
    """The bytes (1, C, S, S) of an image, by the words of the file alone."""
    how = facts["preprocessing"]
    side = int(facts["resize"].split(" pixels")[0].split()[-1])
    assert facts["resize"].startswith("the shorter side to ")
    assert "bilinear with antialiasing, as Pillow's resize" in facts["resize"]
    with Image.open(path) as opened:
        image = opened.convert("RGB" if len(how["mean"]) == 3 else "L")
    scale = side / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = ((length - how["size"]) // 2 for length in image.size)
    image = image.crop((left, top, left + how["size"], top + how["size"]))
    pixels = np.asarray(image)
    return (pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))[None]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of lenet5 on the bundled images, with a temperature and a distance."""
    out = tmp_path_factory.mktemp("onnx") / "run"
    return zoo_core.finetune(FinetuneConfig(backbone="lenet5", epochs=1, out=str(out))).directory


@pytest.mark.parametrize(
    ("spec", "head", "task"),
    [
        pytest.param(
            spec,
            head,
            task,
            marks=() if (spec.name, head, task) in (
                ("lenet5", "mlp:hidden=16", "multilabel"),
                ("resnet18", "linear", "regression"),
                ("lenet5", "logreg", "classification"),
            ) else pytest.mark.whole,
            id=f"{spec.name}-{head}-{task}",
        )
        for spec in first_party()
        for head, task in COMBINATIONS
    ],
)  # fmt: skip
def test_both_formats_answer_as_the_run(tmp_path, spec, head, task):
    run = trained(tmp_path, backbone=spec.name, head=head, task=task, size=smallest(spec))
    for to in ("onnx", "torch-export"):
        made = export_run(run, to)
        assert made.difference <= 1e-4
        assert made.changed == 0
        assert made.after == pytest.approx(made.before, rel=1e-6, abs=1e-4)  # R2 may be far below 0


def test_the_file_answers_as_predict_does_for_photos_read_by_its_own_words(run, tmp_path):
    """Temperature, resize and scaling are all as the metadata say."""
    file = export_run(run, "onnx", out=tmp_path / "bytes.onnx", with_preprocessing=True).path
    facts = facts_in(file)
    predictor = zoo_core.load(run, device="cpu")
    assert facts["classes"] == list(predictor.classes)
    assert facts["temperature"] != 1
    assert facts["lacks"] == ["the resize", "the distance to the training images"]
    generator = np.random.default_rng(0)
    for number, shape in enumerate([(40, 60), (28, 28), (90, 33)]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).resize(shape[::-1]).save(path)
        (found,) = predictor.predict([path])
        assert answers_of(file, read_as_told(path, facts))[0] == pytest.approx(found.values, abs=1e-5)


def test_labels_come_with_their_thresholds(tmp_path):
    run = trained(tmp_path, task="multilabel")
    facts = facts_in(export_run(run, "onnx").path)
    predictor = zoo_core.load(run, device="cpu")
    assert facts["classes"] == ["any", "blue", "red"]
    fitted = predictor.objective.fitted.thresholds_K
    assert facts.get("thresholds") == (None if fitted is None else fitted.tolist())
    assert "each lies between 0 and 1" in facts["output"]


def test_the_file_carries_nothing_of_this_machine(run, tmp_path):
    file = export_run(run, "onnx", out=tmp_path / "a.onnx").path
    content = file.read_bytes()
    for word in (str(Path(zoo_core.__file__).parent), str(tmp_path), str(run), "class_hierarchy", "site-packages"):
        assert word.encode() not in content
    assert answers_of(file, np.zeros((7, 1, 32, 32), np.float32)).shape == (7, 10)


def test_halves_and_integers_are_smaller_and_the_command_says_how_they_answer(run, tmp_path):
    whole = export_run(run, "onnx", out=tmp_path / "whole.onnx")
    half = export_run(run, "onnx", precision="fp16", out=tmp_path / "half.onnx")
    command = ["export", str(run), "--to", "onnx", "--int8", "-o", str(tmp_path / "int.onnx"), "--json"]
    shown = subprocess.run([sys.executable, "-m", "zoo_core", *command], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    told = json.loads(shown.stdout)
    assert [facts_in(tmp_path / f"{name}.onnx")["precision"] for name in ("whole", "half", "int")] == [
        whole.precision,
        half.precision,
        told["precision"],
    ]
    assert half.bytes < 0.6 * whole.bytes
    assert told["bytes"] == (tmp_path / "int.onnx").stat().st_size < 0.5 * whole.bytes
    assert (whole.calibration, told["calibration"]) == (None, {"images": 256, "part": "train", "problem": None})
    assert 1e-6 < half.difference < 0.02
    assert told["before"] - told["after"] <= 0.01
    weights = {one.data_type for one in onnx.load(tmp_path / "int.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 in weights
    assert {one.domain for one in onnx.load(tmp_path / "int.onnx").graph.node} == {""}, "operators of ONNX alone"


def test_integers_that_lose_too_much_are_refused_and_leave_nothing(run, tmp_path):
    with pytest.raises(ZooError, match=r"the onnx:int8,images=1 file .* was not kept.* Without --int8") as refused:
        export_run(run, "onnx:images=1", precision="int8", out=tmp_path / "a.onnx", tolerance=1e-6)
    assert "answers otherwise than the run: by up to" in str(refused.value)
    assert list(tmp_path.iterdir()) == []
