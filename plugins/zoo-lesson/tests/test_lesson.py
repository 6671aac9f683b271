"""`zoo lesson` as a reader calls it: all chapters on a few tiny photos, its page, its notebook, its errors."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from html import unescape
from html.parser import HTMLParser
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo_lesson.chapters import cost, one_by_one, residual, strategies

import zoo_core
from zoo_core.testing import make_photos

HOSTILE = "<img src=x onerror=alert(1)>&amp;"
SMALLER = {residual: {"EPOCHS": 2}, strategies: {"EPOCHS": 1}, one_by_one: {"PHOTOS": 2}}
SMALLER[cost] = {"PHOTOS": 2, "NETWORKS": ("googlenet", "mobilenet_v3_large")}
"""A lesson of seconds: every chapter with its own code, its own networks and its own commands."""


class Terminal(io.StringIO):
    """Lines that somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


def zoo(folder: Path, *words: object, typed: io.StringIO | None = None) -> str:
    """The output of zoo, called in a folder as a shell does; it has to end well."""
    (script,) = entry_points(group="console_scripts", name="zoo")
    printed = io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["zoo", *map(str, words)])
        patch.setattr(sys, "stdin", typed or io.StringIO())
        with pytest.raises(SystemExit) as ended:
            script.load()()
    signal.signal(signal.SIGTERM, handler)
    assert ended.value.code == 0, printed.getvalue()[-3000:]
    return printed.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with tiny photos and the lesson on them, all chapters taken."""
    folder = tmp_path_factory.mktemp("lesson")
    make_photos(folder / "photos", classes=(f"blue{HOSTILE}", "red"), count=14)
    with pytest.MonkeyPatch.context() as patch:
        for module, values in SMALLER.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        said = zoo(folder, "lesson", "all", "--data", "photos", "--backbone", "lenet5")
        (folder / "said.txt").write_text(said, encoding="utf-8")
        yield folder


@pytest.fixture(scope="module")
def told(place: Path) -> dict:
    return json.loads((place / "lesson" / "lesson.json").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """The tags, the addresses and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_every_chapter_says_what_it_measured_and_draws_it(place: Path, told: dict) -> None:
    said = (place / "said.txt").read_text(encoding="utf-8")
    assert [one["number"] for one in told["chapters"]] == list(range(1, 11))
    for one in told["chapters"]:
        assert one["sentence"] in said
        assert re.search(r"\d", one["sentence"])
        assert re.search(r"\(.*\d to .*\d", one["sentence"]), "there is an interval"
        assert one["choice"] in (None, *range(len(one["choices"])))
        assert one["guess"] is None, "nobody is asked where no terminal is"
        with Image.open(place / "lesson" / f"{one['picture']}.png") as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
        assert (place / "lesson" / f"{one['picture']}.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_numbers_are_those_of_the_commands(place: Path, told: dict) -> None:
    first, patches = told["chapters"][0], told["chapters"][2]
    evaluation = json.loads(zoo(place, "evaluate", "lesson/runs/head", "--json"))
    assert first["numbers"]["accuracy"] == evaluation["accuracy"]
    assert first["numbers"]["interval"] == evaluation["interval"]
    assert first["numbers"]["head"] == 120 * 2 + 2, "the weights and biases of a linear head of two classes"
    assert patches["numbers"]["chance"] == pytest.approx(2 * (4 * 3) / (8 * 7)), "of 8 photos, 4 of each class"


def test_every_command_can_be_given_again(place: Path, told: dict) -> None:
    commands = [shlex.split(command) for one in told["chapters"] for command in one["commands"]]
    assert {words[1] for words in commands} == {"finetune", "evaluate", "embed", "info", "compare", "runs"}
    quick = next(words for words in commands if words[1] == "embed")
    assert "6 x 14 x 14" in zoo(place, *quick[1:])
    (place / quick[-1]).unlink()


def test_the_page_holds_all_and_asks_no_network(place: Path, told: dict) -> None:
    text = (place / "lesson" / "lesson.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "form"})
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(one.startswith(("data:image/svg+xml;base64,", "#")) for one in page.addresses)
    assert len([one for one in page.addresses if one.startswith("data:")]) == 10
    assert "default-src 'none'" in text
    read = unescape(" ".join(" ".join(page.words).split()))
    for one in told["chapters"]:
        for part in (one["question"], one["sentence"], *one["choices"], *one["commands"], *one["explanation"]):
            assert " ".join(part.split()) in read


def test_the_notebook_has_the_shape_of_nbformat_and_the_results(place: Path, told: dict) -> None:
    notebook = json.loads((place / "lesson" / "lesson.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    for cell in notebook["cells"]:
        fields = {"cell_type", "id", "metadata", "source"}
        assert set(cell) == (fields | {"outputs", "execution_count"} if cell["cell_type"] == "code" else fields)
        assert all(line.endswith("\n") for line in cell["source"][:-1])
    ran = {cell["id"]: cell for cell in notebook["cells"]}
    for one in told["chapters"]:
        stream, picture = ran[f"{one['name']}-run"]["outputs"]
        assert one["sentence"] in "".join(stream["text"])
        assert picture["data"]["image/png"].startswith("iVBOR")
        assert f"zoo lesson {one['number']} " in ran[f"{one['name']}-run"]["source"][0]


def test_the_cells_of_a_notebook_can_run_again_and_leave_it_as_its_reader_made_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: the first cell went up another folder each time, and a chapter that ran wrote the notebook anew,
    without the cells that were added to it."""
    path = place / "lesson" / "lesson.ipynb"
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    starting = "".join(notebook["cells"][1]["source"])
    monkeypatch.chdir(place / "lesson")
    names: dict = {}
    for _ in range(2):
        exec(starting, names)
        assert Path.cwd() == place
    kept = [cell for cell in notebook["cells"] if not cell["id"].startswith("receptive-field")]
    own = {"cell_type": "markdown", "id": "mine", "metadata": {}, "source": ["My own notes"]}
    path.write_text(json.dumps(notebook | {"cells": [*kept, own]}), encoding="utf-8")
    zoo(place, "lesson", "4", "--data", "photos", "--backbone", "lenet5")
    after = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert after == [*[cell["id"] for cell in notebook["cells"]], "mine"], "the chapter that it lacks has its place"
    changed = path.stat().st_mtime_ns
    zoo(place, "lesson", "2", "--data", "photos", "--backbone", "lenet5")
    assert path.stat().st_mtime_ns == changed, "a notebook that is open somewhere does not change below its reader"
    path.write_text("no notebook", encoding="utf-8")
    zoo(place, "lesson", "2", "--data", "photos", "--backbone", "lenet5")
    assert path.read_text(encoding="utf-8") == "no notebook"
    path.write_text(before, encoding="utf-8")


def test_names_with_braces_and_dollars_reach_the_command_as_they_are(place: Path) -> None:
    """IPython reads a line behind '!' for both, also within quotes. Seen to fail: 'ph{1}' became 'ph1'."""
    folder = place / "ph{1} $HOME"
    (place / "photos").rename(folder)
    zoo(place, "lesson", "2", "--data", folder.name, "--backbone", "lenet5", "--out", "odd {place}")
    (folder).rename(place / "photos")
    notebook = json.loads((place / "odd {place}" / "lesson.ipynb").read_text(encoding="utf-8"))
    code = next(cell["source"] for cell in notebook["cells"] if cell["id"].endswith("-run"))
    assert code[1] == "!{command}\n"
    names: dict = {}
    exec(code[0], names)
    words = shlex.split(names["command"])
    assert words[words.index("--data") + 1] == folder.name
    assert words[-1] == "odd {place}"


def test_a_guess_is_asked_at_a_terminal_and_a_chapter_can_be_taken_again(place: Path) -> None:
    words = ("lesson", "2", "--data", "photos", "--backbone", "lenet5")
    said = zoo(place, *words, typed=Terminal("9\nnone\n3\n"))
    assert said.count("Your guess, 1 to 3") == 3, "what is none of the choices is asked again"
    again = json.loads((place / "lesson" / "lesson.json").read_text(encoding="utf-8"))["chapters"]
    assert again[1]["guess"] == 2
    assert len(again) == 10, "the other chapters stay"
    assert "<i>your guess</i>" in (place / "lesson" / "lesson.html").read_text(encoding="utf-8")
    assert "Your guess, 1" not in zoo(place, *words, "--no-ask", typed=Terminal("1\n"))
    again = json.loads((place / "lesson" / "lesson.json").read_text(encoding="utf-8"))["chapters"]
    assert again[1]["guess"] == 2, "nobody was asked, so that the guess stays"


def test_without_a_chapter_they_are_listed(tmp_path: Path) -> None:
    said = zoo(tmp_path, "lesson")
    assert re.findall(r"^ ?(\d+)  ", said, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["11"], "from 1 to 10"),
        (["1", "--data", "lost/", "--backbone", "lenet5"], "lost"),
        (["1", "--backbone", "lenot5"], "lenet5"),
        (["1", "--backbone", "vit_b_16"], "tokens"),
        (["1", "--backbone", "cifar_resnet"], "no pretrained weights"),
        (["1", "--data", "numbers.csv", "--backbone", "lenet5"], "one class each"),
        (["1", "--data", "few", "--backbone", "lenet5"], "the lesson needs"),
        (["1", "--out", "mine"], "no folder of a lesson"),
        (["1", "--out", "taken", "--data", "photos"], "is the lesson on"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    from click import Group
    from click.testing import CliRunner
    from zoo_lesson.command import lesson

    make_photos(tmp_path / "few", count=3)
    (tmp_path / "few" / "notes.txt").write_text("mine")
    (tmp_path / "numbers.csv").write_text("path,size\nfew/blue/0.jpg,1.5\nfew/red/0.jpg,2.5\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    (tmp_path / "taken").mkdir()
    kept = {"version": 1, "data": "other", "backbone": "lenet5", "classes": [], "train": 1, "test": 1, "unread": 0}
    (tmp_path / "taken" / "lesson.json").write_text(json.dumps(kept | {"chapters": []}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(Group(commands={"lesson": lesson}), ["lesson", *arguments])
    assert isinstance(result.exception, zoo_core.ZooError), result.output
    assert reason in str(result.exception)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "lesson").exists()


@pytest.mark.whole
def test_the_lesson_runs_whole_on_the_bundled_images(tmp_path: Path) -> None:
    zoo(tmp_path, "lesson", "all")
    told = json.loads((tmp_path / "lesson" / "lesson.json").read_text(encoding="utf-8"))
    assert (told["train"], told["test"], len(told["classes"])) == (600, 300, 10)
    chapters = {one["name"]: one["numbers"] for one in told["chapters"]}
    assert len(chapters) == 10
    assert chapters["base-and-head"]["accuracy"] > 0.5
    assert chapters["pretrained"]["difference"] > 0
