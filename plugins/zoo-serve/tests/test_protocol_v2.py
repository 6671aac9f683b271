"""The Open Inference Protocol: the answers of numbers, and the outputs that a request names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from zoo_serve.bodies import images_in
from zoo_serve.limits import Limits, Refusal
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


def test_numbers_have_no_most_probable_answer(times):
    """Seen to fail: the output "answer" held the name of the first number."""
    assert [one["name"] for one in times.model()["outputs"]] == ["values"]
    assert [one["name"] for one in times.answer({}, [NUMBERS])["outputs"]] == ["values"]


@pytest.fixture(scope="module")
def animals():
    """The facts of a classifier of two classes."""
    return replace(ModelFacts.of(zoo_core.load("lenet5", device="cpu"), "animals"), classes=("cat", "dog"))


IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ([{"name": "probs"}], 'there is no output "probs". There is "answer" and "probabilities".'),
        ([{"name": "answer"}, {}], 'there is no output "None". There is "answer" and "probabilities".'),
        ("answer", '"outputs" is a list of {"name": NAME}.'),
        (["answer"], '"outputs" is a list of {"name": NAME}.'),
    ],
)
def test_an_output_that_is_none_is_refused_before_any_work(animals, wanted, told):
    """Seen to fail: it was left out without a word."""
    with pytest.raises(Refusal) as caught:
        animals.read({"inputs": [IMAGE], "outputs": wanted}, Limits())
    assert (caught.value.status, caught.value.reason) == (400, told)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ([], ["answer", "probabilities"]),
        (None, ["answer", "probabilities"]),
        ([{"name": "probabilities"}], ["probabilities"]),
        ([{"name": "probabilities"}, {"name": "answer"}], ["answer", "probabilities"]),
    ],
)
def test_the_outputs_that_a_request_names_are_given(animals, wanted, names):
    prediction = Prediction("image 0", (("dog", 0.75), ("cat", 0.25)), values=(0.25, 0.75))
    given = animals.answer({"outputs": wanted}, [prediction])["outputs"]
    assert [one["name"] for one in given] == names
    assert {"answer": ["dog"], "probabilities": [0.25, 0.75]}.items() >= {
        one["name"]: one["data"] for one in given
    }.items()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("filename*=UTF-8''%e2%82%ac.jpg", "€.jpg"),
        ("filename=\"=?utf-8?B?4oKsLmpwZw==?=\"; filename*=utf-8''%E2%82%AC.jpg", "€.jpg"),
        ("filename*=ISO-8859-1''%e9.jpg", "é.jpg"),
        ('filename="€ 1.jpg"', "€ 1.jpg"),
        ("filename=plain.jpg", "plain.jpg"),
    ],
)
def test_the_name_of_a_file_in_a_form_is_read_in_its_charset(header, name):
    """Seen to fail: a name by RFC 2231, as .NET sends it, was read as Latin-1."""
    body = f'--x\r\nContent-Disposition: form-data; name="a"; {header}\r\n\r\nbytes\r\n--x--\r\n'.encode()
    assert images_in("multipart/form-data; boundary=x", body, Limits()) == ([b"bytes"], [name])
