"""Opens pages in a headless Chromium, offline, and looks for faults that only a browser shows.

    apt-get install chromium chromium-driver; pip install selenium; npm pack axe-core
    python tests/reporting/browse.py PAGE.html [PAGE.html ...] --axe axe.min.js [--pictures FOLDER [--height 1500]]

Each page is opened 1280 and 390 pixels wide, light and dark. It fails where the console has an error, a request leaves the
page, the page is wider than the window, axe-core finds a violation, no image of the map appears under the pointer, or a button
or a slider does not change the part of the page that its `data-changes` names.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

WIDTHS = (1280, 390)
OPERATE = """
const idle = [];
for (const control of document.querySelectorAll('[data-changes]:not(:disabled)')) {
  if (!control.offsetParent) continue;
  const target = document.getElementById(control.dataset.changes);
  const before = target.outerHTML;
  if (control.type === 'range') {
    control.value = control.value === control.max ? control.min : control.max;
    control.dispatchEvent(new Event('input', {bubbles: true}));
  } else control.click();
  if (target.outerHTML === before) idle.push(control.id || control.textContent);
}
return idle;
"""
"""Clicks every button and moves every slider; returns those that leave their part of the page as it was."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for faults in pages with a headless Chromium.")
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of the npm package axe-core")
    parser.add_argument("--pictures", type=Path, help="a folder for screenshots")
    parser.add_argument("--height", type=int, help="the pixels of a page that a screenshot has (default all)")
    arguments = parser.parse_args()
    browser = started()
    faults = []
    for page in arguments.pages:
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                found = faults_of(browser, page, width, scheme, arguments.axe.read_text(encoding="utf-8"))
                if arguments.pictures:
                    save(browser, arguments.pictures / f"{page.stem}-{width}-{scheme}.png", width, arguments.height)
                print(f"{page.name}, {width} pixels, {scheme}: {'; '.join(found) or 'no fault'}")
                faults += found
    browser.quit()
    raise SystemExit(1 if faults else 0)


def started() -> Any:
    options = webdriver.ChromeOptions()
    webgl = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # drawn by the CPU
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *webgl):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def faults_of(browser: Any, page: Path, width: int, scheme: str, axe: str) -> list[str]:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(page.resolve().as_uri())
    found = said_on_the_console(browser)
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        address = (
            message["params"].get("request", {}).get("url", "") if "requestWillBeSent" in message["method"] else ""
        )
        if address and not address.startswith(("data:", "blob:", page.resolve().as_uri())):
            found.append(f"a request for {address:.80}")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    if wide > width:
        found.append(f"it is {wide} pixels wide")
    marks = browser.find_elements(By.CSS_SELECTOR, "svg g:has(image)")
    if marks:
        mark = marks[len(marks) // 2].find_element(By.CSS_SELECTOR, "circle, path")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", mark)
        ActionChains(browser).move_to_element(mark).perform()
        shown = browser.execute_script(
            "return [...document.querySelectorAll('g image')].filter(i => getComputedStyle(i).visibility == 'visible').length"
        )
        if shown != 1:
            found.append(f"{shown} images of the map are shown under the pointer")
    found += [f"the {one} changes nothing" for one in browser.execute_script(OPERATE)]
    found += said_on_the_console(browser)
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    results = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    found += [f"axe: {one['id']} ({one['help']}): {one['nodes'][0]['html'][:120]}" for one in results["violations"]]
    return found


def said_on_the_console(browser: Any) -> list[str]:
    """The messages of the page; not those of the driver, which draws WebGL slowly here."""
    lines = [line["message"] for line in browser.get_log("browser")]
    return [f"console: {line}" for line in lines if "GL Driver Message (OpenGL, Performance" not in line]


def save(browser: Any, target: Path, width: int, height: int | None) -> None:
    """Write a picture of the page, or of its upper part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    clip = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}} if height else {}
    made = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, **clip})
    target.write_bytes(base64.b64decode(made["data"]))


if __name__ == "__main__":
    main()
