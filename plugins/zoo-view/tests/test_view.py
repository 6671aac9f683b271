"""Pages of `zoo view`, read as a browser reads them; tests/reporting/browse.py opens them in one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from zoo_view.command import view

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.testing import make_photos

HOSTILE = '"><img src=x onerror=alert(1)>&amp;</script>'.replace("/", "-")


class Page(HTMLParser):
    """The tags, the addresses, the scripts and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> dict[str, object]:
        return json.loads(self.scripts[0])


def viewed(*arguments: object) -> str:
    result = CliRunner().invoke(view, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    photos = make_photos(folder / "photos", count=4)
    out = folder / f"run{HOSTILE}"
    config = FinetuneConfig(
        backbone="lenet5", data=str(photos), strategy="gradual:every=1", epochs=3, out=str(out), device="cpu"
    )
    return zoo_core.finetune(config).directory


def test_the_page_of_a_run_has_its_plan_its_maps_and_no_way_out(run: Path, tmp_path: Path) -> None:
    photo = tmp_path / f"{HOSTILE}.png"
    Image.new("RGB", (40, 50), "red").save(photo)
    told = viewed(run, "--image", photo, "--time", "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert "Open it in a browser" in told
    assert HOSTILE in page.text, "the run and the photo are named, as text"
    assert {"iframe", "object", "link", "form"}.isdisjoint(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(one.startswith("data:image/") for one in page.addresses)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    policy = re.search(r'content="default-src \'none\';[^"]*"', text)
    assert policy
    for script in page.scripts[2:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in unescape(policy[0]), "the policy lets the two scripts run"
    assert len(page.scripts) == 4
    assert "unsafe-inline" not in policy[0].partition("script-src")[2]
    stages = page.data["stages"]
    assert [one["name"] for one in stages] == ["c1", "c3", "c5"]
    assert page.data["phases"][0] == {"trained": [False, False, False]}
    assert page.data["phases"][-1]["trained"][-1]
    assert all(one["seconds"][1] > 0 for one in stages)
    assert page.data["maps"] == [6, 16, 16]
    for name in ("c1", "c3", "c5", "6 × 14 × 14", "the whole image", "epoch 1: only the head is trained"):
        assert name in page.text


def test_a_run_can_be_shown_with_another_plan(run: Path, tmp_path: Path) -> None:
    viewed(run, "--strategy", "last:1", "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.data["phases"] == [{"trained": [False, False, True]}]
    assert "48.1 k parameters of the backbone and the head are trained" in page.text


def test_the_folder_of_a_page_is_made_and_the_run_in_this_folder_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: a traceback once all was computed; and a page without a title, `view-.html`."""
    monkeypatch.chdir(run)
    viewed(".", "-o", tmp_path / "deep" / "er" / "page.html")
    assert HOSTILE in Page(tmp_path / "deep" / "er" / "page.html").text
    told = viewed(".")
    assert "view-run" in told
    next(run.glob("view-run*.html")).unlink()


def test_a_backbone_needs_no_weights_and_another_strategy_another_plan(tmp_path: Path) -> None:
    viewed("lenet5", "--strategy", "last:2", "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.data["phases"] == [{"trained": [False, True, True]}]
    assert page.data["maps"] == [None, None, None]
    assert "img" in page.tags, "the flat picture stands where there is no WebGL"
    assert "120 × 1 × 1" in page.text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["lenet5", "-o", "page.txt"], "does not end in .html"),
        (["lenet5", "-o", "there.html"], "exists already"),
        (["lenet5", "-o", "there.html/page.html"], "nothing can be written to"),
        (["lenot5"], "lenet5"),
        (["lenet5", "--strategy", "lost"], "lost"),
        (["lenet5", "--image", "no.jpg"], "no.jpg"),
    ],
)
def test_a_mistake_is_told_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.html").write_text("mine")
    result = CliRunner().invoke(view, arguments)
    assert isinstance(result.exception, zoo_core.ZooError)
    assert reason in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]
    assert Path("there.html").read_text() == "mine"
