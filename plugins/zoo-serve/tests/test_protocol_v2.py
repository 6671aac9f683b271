"""The Open Inference Protocol: the answers of numbers, and the outputs that a request names."""

from __future__ import annotations

import pytest
from zoo_serve.protocol_v2 import ModelFacts

import zoo_core
from zoo_core import FinetuneConfig, Prediction
from zoo_core.testing import make_photos


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    """The facts of a run of two numbers, one of them times in seconds since 1970."""
    folder = tmp_path_factory.mktemp("times")
    photos = make_photos(folder / "photos", count=12)
    rows = [
        f"{path.relative_to(photos)},{number},{1_700_000_000 + 20 * number}"
        for number, path in enumerate(sorted(photos.rglob("*.*g")))
    ]
    (photos / "times.csv").write_text("\n".join(["path,width,time", *rows]) + "\n")
    config = FinetuneConfig(backbone="lenet5", data=str(photos / "times.csv"), epochs=1, out=str(folder / "run"))
    return ModelFacts.of(zoo_core.load(zoo_core.finetune(config).directory, device="cpu"), "times")


NUMBERS = Prediction("image 0", (("width", 3.0), ("time", 1_700_000_059.5)), values=(3.0, 1_700_000_059.5))


def test_numbers_in_float64_are_told_so(times):
    """Seen to fail: they were told as FP32, in which clients made equal numbers of them."""
    told = {one["name"]: one for one in times.model()["outputs"]}
    given = {one["name"]: one for one in times.answer({}, [NUMBERS])["outputs"]}
    assert told["values"]["datatype"] == given["values"]["datatype"] == "FP64"
    assert given["values"]["data"] == [3.0, 1_700_000_059.5]
