"""What a run directory from elsewhere may hold: configs of every wrong shape, links out of it, metrics that are none.

Seen to fail without their guards: with the fields taken as they were, most of these ended in a traceback, when the card
was written or when the run was published; with the links followed, a file of the user's was published as a picture.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import zoo_core
from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError, ZooError, printable
from zoo_core.hub.bundle import PublishOptions, _card, build_bundle, without_local_paths
from zoo_core.paths import MAX_JSON_BYTES, MAX_METRICS_BYTES
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import read_metrics, read_result, read_run
from zoo_core.runs.schema import parse_facts
from zoo_core.settings import FinetuneConfig


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Path:
    """A small run, which the tests copy before they spoil it."""
    root = tmp_path_factory.mktemp("trained")
    photos = make_photos(root / "photos", count=4)
    config = FinetuneConfig(
        backbone="lenet5", weights="none", epochs=1, batch_size=4, data=str(photos), out=str(root / "run")
    )
    return zoo_core.finetune(config, catalog=catalog).directory


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def spoiled(run: Path, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    facts = json.loads((run / "config.json").read_text())
    change(facts)
    return facts


DEEP: Any = []
for _ in range(5000):
    DEEP = [DEEP]

WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a number as a time": (lambda f: f.update(created=7), "7 is not a text"),
    "a text without end": (lambda f: f.update(torch="x" * 10_001), "is not a text"),
    "a list as a config": (lambda f: f.update(config=[]), "[] is not an object"),
    "a rate that is too long a number": (lambda f: f["config"].update(lr=10**400), "lr must be a number above 0"),
    "an endless rate": (lambda f: f["config"].update(lr=float("inf")), "lr must be a number above 0"),
    "a rate that is no number": (lambda f: f["config"].update(lr=float("nan")), "lr must be a number above 0"),
    "lists in lists": (lambda f: f["config"].update(lr=DEEP), "got a list that cannot be shown"),
    "a backbone of three": (lambda f: f.update(backbone=["a", "b", "c"]), "is not an object"),
    "a backbone without a version": (lambda f: f["backbone"].pop("version"), "has no 'version'"),
    "a command as a distribution": (
        lambda f: f["backbone"].update(distribution="x; rm -rf ~"),
        "'x; rm -rf ~' is not the name of a distribution",
    ),
    "an option as a distribution": (lambda f: f["head"].update(distribution="--index-url=http://x"), "is not the name"),
    "an address as a distribution": (lambda f: f["head"].update(distribution="git+https://x"), "is not the name of a"),
    "no classes": (lambda f: f.update(classes=[]), "classes are not a list of names"),
    "two classes of one name": (lambda f: f.update(classes=["a", "a"]), "two classes have one name"),
    "a class of a page": (lambda f: f.update(classes=["a", "b" * 501]), "a class name is too long"),
    "too many classes": (lambda f: f.update(classes=[str(n) for n in range(100_001)]), "classes are not a list"),
    "half a pixel": (lambda f: f["preprocessing"].update(size=0.5), "0.5 is not a number of things"),
    "no channel": (lambda f: f["preprocessing"].update(mean=[], std=[]), "images have 1 or 3 channels, got 0"),
    "a mean that is no number": (lambda f: f["preprocessing"].update(mean=[float("nan")]), "nan is not a number"),
    "a spread of nothing": (lambda f: f["preprocessing"].update(std=[0]), "std must be positive"),
    "an interpolation": (
        lambda f: f["preprocessing"].update(interpolation="__import__"),
        "zoo has no interpolation '__import__'",
    ),
    "a list as an interpolation": (lambda f: f["preprocessing"].update(interpolation=["x"]), "is not a text"),
    "no data": (lambda f: f.update(data=None), "None is not an object"),
    "data of another field": (lambda f: f["data"].update(url="x"), "'url' is not known"),
    "minus one image": (lambda f: f["data"]["images"].update(train=-1), "-1 is not a number of things"),
    "half an image": (lambda f: f["data"]["images"].update(train=0.5), "0.5 is not a number of things"),
    "a digest that is a number": (lambda f: f["data"]["digests"].update(val=1), "1 is not a text"),
    "a list in the split": (lambda f: f["data"]["split"].update(kind=[]), "[] is not a number"),
    "a true skip": (lambda f: f["data"].update(skipped=True), "True is not a number of things"),
    "a text of findings": (lambda f: f["data"].update(findings="x"), "'x' is not a list"),
    "no plan": (lambda f: f.update(plan={}), "has no 'stages'"),
    "a plan of a text": (lambda f: f["plan"].update(stages="abc"), "the stages of a plan are not a list of names"),
    "a plan of another key": (lambda f: f["plan"].update(url="x"), "'url' is not known"),
    "a phase of another key": (lambda f: f["plan"]["phases"][0].update(url="x"), "'url' is not known"),
    "a plan without phases": (lambda f: f["plan"].update(phases=[]), "a plan needs at least one phase"),
    "a phase of a number": (lambda f: f["plan"].update(phases=[7]), "not subscriptable"),
    "a phase of no epoch": (lambda f: f["plan"]["phases"][0].update(epochs=0), "at least one epoch, got 0"),
    "a phase of half an epoch": (lambda f: f["plan"]["phases"][0].update(epochs=0.5), "at least one epoch, got 0.5"),
    "a rule too few": (
        lambda f: f["plan"]["phases"][0]["rules"].pop(),
        "rules: one for each stage and one for the head",
    ),
    "a rule with code": (lambda f: f["plan"]["phases"][0]["rules"][0].update(run="x"), "unexpected keyword argument"),
    "a share that is no number": (
        lambda f: f["plan"]["phases"][0]["rules"][0].update(lr=float("nan")),
        "a share of the learning rate must be between 0 and 1000, got nan",
    ),
    "a share that is a text": (
        lambda f: f["plan"]["phases"][0]["rules"][0].update(lr="1"),
        "a share of the learning rate must be between 0 and 1000, got '1'",
    ),
    "other parameters": (
        lambda f: f["plan"]["phases"][0]["rules"][0].update(parameters="weights"),
        "a rule's parameters are all, norm, bias or added",
    ),
    "a start of a text": (lambda f: f.update(start="x"), "'x' is not an object"),
    "half a start": (lambda f: f.update(start={"tag": "x"}), "missing 2 required"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_every_field_of_a_config_is_checked(run: Path, kind: str) -> None:
    change, message = WRONG[kind]
    with pytest.raises(ZooError) as caught:
        parse_facts(spoiled(run, change), "config.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("config.json ")
    assert str(caught.value).isprintable()


def test_a_good_config_comes_back_as_it_was(run: Path) -> None:
    facts = read_run(run).facts
    assert json.loads(json.dumps(facts.to_dict())) == json.loads((run / "config.json").read_text())
    older = spoiled(run, lambda f: [f["data"].pop(name) for name in ("skipped", "findings")])
    assert parse_facts(older, "x") == facts


@pytest.mark.parametrize("text", ["\ud800", "a\x00\x1b[2Jb", "a\n---\nevil: 1\n---\n", "\ufffe\u2028"])
def test_the_header_of_a_card_reads_whatever_the_texts_are(run: Path, text: str) -> None:
    """A half of a character made a header that no reader of YAML takes, so that the Hub showed no card."""

    def change(facts: dict[str, Any]) -> None:
        facts["data"]["title"] = facts["head"]["name"] = facts["strategy"]["name"] = text
        facts["backbone"]["name"] = f"net:{text}"

    result = {**read_result(read_run(run)), "part": text}
    card = _card(parse_facts(spoiled(run, change), "config.json"), result, "a/b", PublishOptions())
    header = yaml.safe_load(card.removeprefix("---\n").partition("\n---\n")[0])
    assert header["zoo"] == {"backbone": printable(f"net:{text}"), "head": printable(text), "strategy": printable(text)}
    assert "evil" not in header


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":['])
@pytest.mark.parametrize("depth", [900, 5_000, 1_000_000])
def test_depth_ends_in_an_error_however_deep(run: Path, opening: str, depth: int) -> None:
    (run / "config.json").write_text((opening * depth)[:MAX_JSON_BYTES])
    started = time.monotonic()
    with pytest.raises(ZooError, match=r"config.json (cannot be read|is not)"):
        read_run(run)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.pop("interval"), "has no 'interval'"),
        (lambda line: line.update(interval=[0.1]), "not enough values"),
        (lambda line: line.update(interval=7), "7 is not a list"),
        (lambda line: line.update(accuracy="high"), "'high' is not a number"),
        (lambda line: line.update(correct=-1), "-1 is not a number of things"),
        (lambda line: line.update(confusion=[[1]]), "the confusion matrix is not one of 2 classes"),
        (lambda line: line.update(confusion=[[1, 2], [3, "x"]]), "'x' is not a number of things"),
        (lambda line: line.update(part=None), "None is not a text"),
        (lambda line: line.update(metric=True), "True is not the metric accuracy"),
        (lambda line: line.update(metric="r2"), "'r2' is not the metric accuracy"),
        (lambda line: line.update(score=0.123), "the score is 0.123 and the accuracy"),
        (lambda line: line.update(score=None), "None is not a number"),
    ],
)
def test_every_field_of_a_result_is_checked_before_it_is_published(
    run: Path, catalog: Catalog, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    *epochs, result = read_metrics(run)
    change(result)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*epochs, result]))
    with pytest.raises(ZooError) as caught:
        build_bundle(read_run(run), "a/b", PublishOptions(), catalog, tmp_path)
    assert message in str(caught.value)
    assert "metrics.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]\n", "holds lines that are not JSON objects"),
        ("{\n", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"event": "result"', "cannot be read"),
        ("", "has no result: the run did not finish"),
        (" " * (MAX_METRICS_BYTES + 1), "is larger than 16 MiB"),
        ("{}\n" * 20_001, "20,001 lines, more than 20,000"),  # as many as 16 MiB hold took 10 seconds and a gigabyte
    ],
)
def test_metrics_that_are_none_are_refused(run: Path, text: str, message: str) -> None:
    (run / "metrics.jsonl").write_text(text)
    with pytest.raises(ZooError, match=message):
        read_result(read_run(run))


# ---- links


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.jsonl", "curves.png", "confusion.png"])
@pytest.mark.parametrize("kind", ["absolute", "relative", "by a folder"])
def test_a_file_of_a_run_that_is_a_link_out_of_it_is_not_followed(
    run: Path, catalog: Catalog, tmp_path: Path, name: str, kind: str
) -> None:
    secret = tmp_path / "secret"
    shutil.move(run / name, secret)
    if kind == "by a folder":
        (run / "inner").symlink_to(tmp_path)
        (run / name).symlink_to("inner/secret")
    else:
        (run / name).symlink_to(secret if kind == "absolute" else "../secret")
    with pytest.raises(ZooError, match=f"{name} is a link that leads out of the run, to {secret}. Put the file itself"):
        build_bundle(read_run(run), "a/b", PublishOptions(), catalog, tmp_path)
    if name in ("config.json", "model.safetensors"):
        with pytest.raises(ZooError, match="leads out of the run"):
            zoo_core.load(run, catalog=catalog)


def test_a_link_within_the_run_and_a_link_to_the_run_are_followed(run: Path, catalog: Catalog, tmp_path: Path) -> None:
    (run / "model.safetensors").rename(run / "best.safetensors")
    (run / "model.safetensors").symlink_to("best.safetensors")
    (tmp_path / "latest").symlink_to(run)
    assert zoo_core.load(tmp_path / "latest", device="cpu", catalog=catalog).classes == ("blue", "red")


def test_the_hubs_cache_may_link_into_its_blobs_and_nowhere_else(run: Path, catalog: Catalog, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / ("c" * 40)
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    shutil.copytree(run, snapshot)
    shutil.move(snapshot / "model.safetensors", blobs / "d")
    (snapshot / "model.safetensors").symlink_to("../../blobs/d")
    assert zoo_core.load(snapshot, device="cpu", catalog=catalog).classes == ("blue", "red")
    shutil.move(blobs / "d", tmp_path / "elsewhere")
    (blobs / "d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ZooError, match="leads out of the run"):
        zoo_core.load(snapshot, catalog=catalog)


def test_a_link_to_itself_and_a_pipe_are_errors(run: Path, catalog: Catalog) -> None:
    for name in ("model.safetensors", "config.json"):
        (run / name).unlink()
        (run / name).symlink_to(name)
        with pytest.raises(ZooError):
            zoo_core.load(run, catalog=catalog)
        (run / name).unlink()
        os.mkfifo(run / name)
        with pytest.raises(ZooError, match="did not finish|not a run directory"):
            zoo_core.load(run, catalog=catalog)


def test_metrics_that_are_a_pipe_are_not_waited_for(run: Path) -> None:
    (run / "metrics.jsonl").unlink()
    os.mkfifo(run / "metrics.jsonl")
    with pytest.raises(ZooError, match="there is no file .*metrics.jsonl"):
        read_metrics(run)


# ---- what is shown and sent on


def test_a_card_of_hostile_facts_is_one_harmless_page(run: Path) -> None:
    """Without the escapes a class's name was a heading, a link or a program of the reader's browser."""
    hostile = "x\n# pwned\n<script>alert(1)</script>[a](javascript:1)|`b`\x1b[2J\u202e"
    facts = read_run(run).facts
    data = replace(facts.data, title=hostile, findings=(hostile,), images={hostile: 1})
    strategy = replace(facts.strategy, name=hostile)
    text = render_card(replace(facts, classes=(hostile, "b"), data=data, strategy=strategy), read_result(read_run(run)))
    assert "\n# pwned" not in text
    assert "<script" not in text.replace("\\<script", "")
    assert "](javascript" not in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_names_of_images_are_not_published(run: Path) -> None:
    facts = read_run(run).facts
    finding = "Leakage: 1 of the 2 val images are also training images, for example val/me.png is train/me.png."
    sent = without_local_paths(replace(facts, data=replace(facts.data, findings=(finding,))))
    assert sent.data.findings == ("Leakage: 1 of the 2 val images are also training images.",)


def test_the_advice_to_install_a_package_says_that_it_has_to_be_trusted(run: Path, catalog: Catalog) -> None:
    facts = spoiled(run, lambda f: f["backbone"].update(distribution="zoo-nowhere"))
    (run / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ZooError, match="If you trust that package, for a plugin is code: `pip install zoo-nowhere`"):
        zoo_core.load(run, catalog=catalog)


@pytest.mark.parametrize("out", ["a_file", "full"])
def test_a_run_is_never_written_over_something(tmp_path: Path, catalog: Catalog, out: str) -> None:
    (tmp_path / "a_file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("mine")
    photos = make_photos(tmp_path / "photos", count=4)
    config = FinetuneConfig(backbone="lenet5", weights="none", epochs=1, data=str(photos), out=str(tmp_path / out))
    with pytest.raises(UsageError, match="exists and is not empty. Give another --out, or remove it."):
        zoo_core.finetune(config, catalog=catalog)
    assert ((tmp_path / "a_file").read_text(), (tmp_path / "full" / "precious").read_text()) == ("mine", "mine")


START = {"tag": "t", "source": "hf:a/b", "sha256": "0" * 64}


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"sha256": value}
            for value in (None, 5, "\ud800" * 64, "[x](//evil.com)", "<!--", "0" * 63, "0" * 64 + "\n")
        ),
        {"source": None},
        {"tag": None},
    ],
    ids=ascii,
)
def test_the_record_of_the_first_weights_is_checked(run: Path, change: dict[str, object]) -> None:
    """Seen to fail: a TypeError or a UnicodeEncodeError for null and surrogates, a live link in the card for text."""
    data = json.loads((run / "config.json").read_text())
    parse_facts({**data, "start": START}, "x")
    with pytest.raises(ZooError, match="does not fit the shape of a run's config"):
        parse_facts({**data, "start": {**START, **change}}, "x")
