"""The site of the documentation: it builds without a network, all of it, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.pages import DOCUMENTS, ROOT
from zoo_core.catalog import Catalog
from zoo_core.cli.main import COMMANDS
from zoo_core.specs import BackboneSpec, FreezeSpec, HeadSpec

NAVIGATION = tomllib.loads((ROOT / "docs" / "site" / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]


def pages_of(entries: list[dict[str, object]]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, list):
                yield from pages_of(value)
            else:
                yield str(value)


class Page(HTMLParser):
    """The links and the ids of a page, and what it loads by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" and value:
                self.ids.append(value)
            if tag == "a" and name == "href" and value:
                self.links.add(value)
            elif value and (name == "src" or (tag == "link" and name == "href")):
                self.loaded.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command that CONTRIBUTING gives, with every proxy a dead end."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "docs/build.py", "--into", str(folder)]
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **dead}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_stands_in_the_navigation_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(pages_of(NAVIGATION))
    monkeypatch.syspath_prepend(ROOT / "docs")
    site_name = runpy.run_path(str(ROOT / "docs" / "build.py"))["site_name"]
    sources = [*DOCUMENTS, *ROOT.glob("plugins/*/ARCHITECTURES.md")]
    assert len(names) == len(set(names))
    missing = {site_name(path) for path in sources} - set(names)
    assert not missing, f"these pages have no line in docs/site/zensical.toml: {missing}"
    made = {"reference/backbones.md", "reference/choices.md", "reference/commands.md"}
    assert set(names) <= {site_name(path) for path in sources} | made


def test_every_link_of_the_site_leads_to_a_page_and_to_an_id_of_it(pages: dict[Path, Page]) -> None:
    lost = []
    for path, page in pages.items():
        for link in sorted(page.links):
            target, _, anchor = link.partition("#")
            if re.match(r"\w+:", target):
                continue
            file = Path(os.path.normpath(path.parent / target)) if target else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (anchor and file in pages and anchor not in pages[file].ids):
                lost.append(f"{path.name}: {link}")
    assert not lost


def test_a_page_loads_nothing_from_elsewhere_and_has_no_id_twice(pages: dict[Path, Page]) -> None:
    assert len(pages) > 40
    for path, page in pages.items():
        assert not [one for one in page.loaded if re.match(r"\w+:|//", one) and not one.startswith("data:")], path.name
        assert len(page.ids) == len(set(page.ids)), path.name
        for one in page.loaded:
            assert one.startswith("data:") or (path.parent / one).is_file(), f"{path.name}: {one}"


def test_the_table_of_backbones_has_a_row_for_each(pages: dict[Path, Page], site: Path) -> None:
    names = set(pages[site / "reference" / "backbones.html"].ids)
    from zoo_core.catalog import open_catalog

    assert {entry.spec.name for entry in open_catalog().entries(BackboneSpec)} <= names


def test_the_reference_has_every_command_head_and_strategy(site: Path, catalog: Catalog) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert not [name for name in COMMANDS if f'id="zoo-{name}"' not in commands]
    assert "--cached-views" in commands
    choices = (site / "reference" / "choices.html").read_text(encoding="utf-8")
    for kind in (HeadSpec, FreezeSpec):
        assert not [one.spec.name for one in catalog.entries(kind) if f"<code>{one.spec.name}</code>" not in choices]


def test_the_search_knows_the_pages(site: Path) -> None:
    index = (site / "search.js").read_text(encoding="utf-8")
    for words in ("guides/imbalance.html", "timm-vit_small_patch16_224", "--group-by"):
        assert words in index


@pytest.mark.whole
def test_a_browser_finds_no_fault_in_the_site(site: Path) -> None:
    """Needs Chromium with its driver, selenium, and ZOO_AXE: the file axe.min.js of the npm package axe-core."""
    pytest.importorskip("selenium")
    axe = Path(os.environ.get("ZOO_AXE", "axe.min.js"))
    if not axe.is_file():
        pytest.skip("ZOO_AXE names no file axe.min.js")
    script = ROOT / "tests" / "docs" / "browse_site.py"
    done = subprocess.run([sys.executable, script, site, "--axe", axe], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
