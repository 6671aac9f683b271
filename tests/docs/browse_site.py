"""Opens the built site in a headless Chromium, from a server on this machine, and looks for faults that a reader would meet.

    apt-get install chromium chromium-driver; pip install selenium; npm pack axe-core
    python docs/build.py
    python tests/docs/browse_site.py site/html --axe axe.min.js [--pictures FOLDER] [--only data.html ...]

Each page is opened 1280 and 390 pixels wide, light and dark. It fails where the console has an error, a request leaves
this machine, the page is wider than the window, axe-core finds a violation, the search does not find a page, or
the filters of the table of backbones do not filter it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

sys.path.insert(0, str(Path(__file__).parents[1] / "reporting"))
from browse import WIDTHS, started

SCHEMES = ("light", "dark")
AXE = """
const done = arguments[arguments.length - 1];
axe.run({exclude: [['#catalogue tbody tr:nth-child(n+20)']]}, {preload: false}).then(done);
"""
"""Rows of the table of backbones are alike, and axe-core would take minutes for all of them."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for faults of the built site with a headless Chromium.")
    parser.add_argument("site", type=Path)
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of the npm package axe-core")
    parser.add_argument("--pictures", type=Path, help="a folder for screenshots")
    parser.add_argument("--only", nargs="+", help="pages of the site")
    arguments = parser.parse_args()
    found = faults_of_site(arguments.site, arguments.axe, only=arguments.only, pictures=arguments.pictures)
    print(f"{len(found)} faults")
    raise SystemExit(1 if found else 0)


def faults_of_site(site: Path, axe: Path, *, only: list[str] | None = None, pictures: Path | None = None) -> list[str]:
    """All faults of the pages, of the search and of the table, each with its page, width and colours."""
    names = only or sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    code = axe.read_text(encoding="utf-8")
    found = []
    with served(site) as address, contextlib.closing(started_here()) as browser:
        for width in WIDTHS:
            for scheme in SCHEMES:
                set_window(browser, width, scheme)
                for name in names:
                    told = faults_of_page(browser, address, name, width, code)
                    print(f"{name}, {width} pixels, {scheme}: {'; '.join(told) or 'no fault'}", flush=True)
                    found += [f"{name}, {width} pixels, {scheme}: {one}" for one in told]
                    if pictures:
                        picture = pictures / f"{name.replace('/', '-')}-{width}-{scheme}.png"
                        save(browser, picture)
        if only is None:
            set_window(browser, 1280, "light")
            found += faults_of_search(browser, address) + faults_of_table(browser, address)
    return found


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of a server of the folder, on this machine alone."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Closing:
    """A browser that `contextlib.closing` ends."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._browser, name)

    def close(self) -> None:
        self._browser.quit()


def started_here() -> Any:
    browser = started()
    browser.set_script_timeout(300)
    return Closing(browser)


def set_window(browser: Any, width: int, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )


def faults_of_page(browser: Any, address: str, name: str, width: int, axe: str) -> list[str]:
    """The faults of one page."""
    browser.get(address + name)
    found = [f"console: {line['message']}" for line in browser.get_log("browser")]
    found += [f"a request for {asked:.80}" for asked in asked_of_others(browser, address)]
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    if wide > width:
        found.append(f"it is {wide} pixels wide")
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    violations = browser.execute_async_script(AXE)["violations"]
    return found + [f"axe: {one['id']} ({one['help']}): {one['nodes'][0]['html'][:160]}" for one in violations]


def asked_of_others(browser: Any, address: str) -> list[str]:
    """The addresses of requests that left the server, since the last call."""
    found = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked = message["params"]["request"]["url"]
            if not asked.startswith((address, "data:", "blob:")):
                found.append(asked)
    return found


def faults_of_search(browser: Any, address: str) -> list[str]:
    """Search for a word with the keyboard; the page on it has to be found, and one on a backbone."""
    found = []
    for word, page in (("imbalance", "guides/imbalance.html"), ("resume", "going_on.html")):
        browser.get(address)
        browser.find_element(By.TAG_NAME, "body").send_keys("/")
        time.sleep(1)
        browser.switch_to.active_element.send_keys(word)
        if not waited(lambda page=page: page in browser.execute_script(RESULTS)):
            found.append(f"search: '{word}' does not find {page}, but {browser.execute_script(RESULTS)[:200]}")
        browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    found += [f"search: a request for {asked}" for asked in asked_of_others(browser, address)]
    return found


RESULTS = """
const links = [];
const visit = (root) => {
  for (const one of root.querySelectorAll('*')) {
    if (one.tagName === 'A' && one.href && one.closest('[role=dialog], .md-search, [class*=search]')) links.push(one.href);
    if (one.shadowRoot) { for (const a of one.shadowRoot.querySelectorAll('a')) links.push(a.href); visit(one.shadowRoot); }
  }
};
visit(document);
return links.join(' ');
"""


def faults_of_table(browser: Any, address: str) -> list[str]:
    """Filter and sort the table of backbones as a reader does."""
    browser.get(address + "reference/backbones.html")
    shown = "return [...document.querySelectorAll('#catalogue tbody tr')].filter(r => r.offsetParent).map(r => r.id)"
    everything = len(browser.execute_script(shown))
    browser.find_element(By.NAME, "text").send_keys("resnet5")
    browser.find_element(By.NAME, "plugin").send_keys("zoo-resnet")
    found = [] if browser.execute_script(shown) == ["resnet50"] else [f"table: {browser.execute_script(shown)[:5]}"]
    if browser.find_element(By.ID, "count").text != f"1 of {everything}":
        found.append(f"table: it counts {browser.find_element(By.ID, 'count').text}")
    browser.find_element(By.NAME, "text").clear()
    browser.find_element(By.NAME, "text").send_keys(" ")
    browser.find_element(By.XPATH, "//th/button[text()='params']").click()
    if browser.execute_script(shown)[0] != "resnet18":
        found.append(f"table: sorted by params it begins with {browser.execute_script(shown)[0]}")
    return found


def waited(holds: Any, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.2)
    return False


def save(browser: Any, target: Path) -> None:
    """Write a picture of the window."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = browser.execute_cdp_cmd("Page.captureScreenshot", {})
    target.write_bytes(base64.b64decode(made["data"]))


if __name__ == "__main__":
    main()
