"""The pages of zoo in a headless Chromium, offline: `pytest -m whole tests/reporting/test_browser.py`.

It needs Chromium with its driver, selenium, and in ZOO_AXE the file axe.min.js of the npm package axe-core. Where one of
them is missing these tests fail, and do not pass unseen.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.cli.main import zoo
from zoo_core.testing import make_photos

pytestmark = pytest.mark.whole
NEEDS = (
    "apt-get install chromium chromium-driver; pip install selenium; npm pack axe-core, and its axe.min.js in ZOO_AXE"
)
ARABIC = "\u0641\u0633\u062a\u0627\u0646"
HOSTILE = '<img src=x onerror="alert(1)">&amp;'


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of a run with hostile names, and the views of the run and of a backbone."""
    folder = tmp_path_factory.mktemp("pages")
    photos = make_photos(folder / "photos", count=20)
    (photos / "red").rename(photos / HOSTILE)
    (photos / "blue").rename(photos / ARABIC)
    for path in [*(photos / HOSTILE).iterdir()]:
        path.rename(path.with_stem(f"{path.stem}'><script>alert(2)<"))
    config = FinetuneConfig(backbone="lenet5", data=str(photos), epochs=3, strategy="full", out=str(folder / "run"))
    run = zoo_core.finetune(config).directory
    photo = next((photos / HOSTILE).iterdir())
    made = {
        "report": run / "report.html",
        "check": folder / "check.html",
        "view": folder / "view.html",
        "backbone": folder / "backbone.html",
    }
    for words in (
        ["report", run],
        ["check", photos, "--html", made["check"]],
        ["view", run, "--image", photo, "-o", made["view"]],
        ["view", "resnet18", "-o", made["backbone"]],
    ):
        result = CliRunner().invoke(zoo, [*map(str, words)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    try:
        from reporting.browse import started
    except ImportError as error:
        missing.append(str(error.name))
    if missing:
        pytest.fail(f"{', '.join(missing)} is missing, and no page was opened: {NEEDS}")
    found = started()
    yield found
    found.quit()


@pytest.fixture(scope="module")
def axe() -> str:
    file = Path(os.environ.get("ZOO_AXE", ""))
    if not file.is_file():
        pytest.fail(f"ZOO_AXE names no file, and no page was checked: {NEEDS}")
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["report", "check", "view", "backbone"])
def test_a_page_opens_without_a_fault(
    name: str, width: int, scheme: str, pages: dict[str, Path], browser: Any, axe: str
) -> None:
    from reporting.browse import faults_of

    assert faults_of(browser, pages[name], width, scheme, axe) == []


def test_a_report_fits_into_the_narrowest_window_and_breaks_no_figure(pages: dict[str, Path], browser: Any) -> None:
    """Seen to fail: 364 pixels of 360, and "0.62" above "5" in each row."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    )
    browser.get(pages["report"].resolve().as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    heights = browser.execute_script(LINES)
    assert heights
    assert max(heights) == 1


LINES = """
return [...document.querySelectorAll('#outputs + div td + td')].map((cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return new Set([...range.getClientRects()].map((one) => one.top)).size;
});
"""
"""The number of lines of each figure in the table of classes."""


@pytest.mark.parametrize("name", ["report", "check"])
def test_a_name_in_arabic_turns_nothing_beside_it(name: str, pages: dict[str, Path], browser: Any) -> None:
    """Seen to fail: the file 'NAME/5.png' was shown as '5/NAME.png', and 'NAME 78 %' as '78 NAME %'."""
    browser.get(pages[name].resolve().as_uri())
    wrong = browser.execute_script(TURNED, ARABIC)
    assert wrong == []


TURNED = """
const [name, wrong] = [arguments[0], []];
const texts = document.createTreeWalker(document.querySelector('body'), NodeFilter.SHOW_TEXT);
const leftOf = (node, place) => {
  const range = document.createRange();
  range.setStart(node, place);
  range.setEnd(node, place + 1);
  return range.getClientRects()[0];
};
for (let node; (node = texts.nextNode());) {
  const start = node.data.indexOf(name), beside = node.data.slice(start + name.length).search(/\\d/);
  if (start < 0 || beside < 0 || !node.parentElement.getClientRects().length) continue;
  const [letter, digit] = [leftOf(node, start), leftOf(node, start + name.length + beside)];
  if (letter && digit && Math.abs(letter.top - digit.top) < 4 && digit.left < letter.left) wrong.push(node.data.trim());
}
return wrong;
"""
"""The texts in which a digit behind a name stands left of it."""
