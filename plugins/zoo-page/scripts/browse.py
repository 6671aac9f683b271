"""Open an exported page in a browser without a network, give it photos, and compare its answers with `zoo predict`.

    python plugins/zoo-page/scripts/browse.py PAGE RUN PHOTO [PHOTO ...] [--picture FILE] [--most 0.001]

It needs selenium (`pip install selenium`), chromium and chromedriver, and `zoo` in the path. The answers of the
photos must be within `--most` of each other; the exit code is 1 otherwise, and where the page asks for an address.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By

WAIT = 180  # seconds for all answers


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare a page's answers with those of zoo predict.")
    parser.add_argument("page", type=Path)
    parser.add_argument("run")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--picture", type=Path, help="write a picture of the page there")
    parser.add_argument("--most", type=float, default=1e-3, help="the largest difference (default 0.001)")
    arguments = parser.parse_args()
    shown = _by_browser(arguments)
    command = ["zoo", "predict", arguments.run, *map(str, arguments.photos), "--json", "--top", "5"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["predictions"]
    worst = 0.0
    for prediction, rows in zip(told, shown, strict=True):
        expected = {one["class"]: one["probability"] for one in prediction["answers"]}
        found = dict(rows)
        difference = max(abs(expected.get(name, 0.0) - value) for name, value in found.items() if name in expected)
        same = next(iter(expected)) == rows[0][0]
        print(
            f"{prediction['image']}: {rows[0][0]} {rows[0][1]:.4f}, difference {difference:.2g}{'' if same else ' !'}"
        )
        worst = max(worst, difference)
    print(f"{len(shown)} photos: the largest difference is {worst:.2g}")
    sys.exit(worst > arguments.most)


def _by_browser(arguments: argparse.Namespace) -> list[list[tuple[str, float]]]:
    """The names and values that the page shows for each photo, in the order of the photos."""
    options = webdriver.ChromeOptions()
    for word in ("headless=new", "no-sandbox", "host-resolver-rules=MAP * ~NOTFOUND", "window-size=900,1200"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        start = time.monotonic()
        driver.get(arguments.page.resolve().as_uri())
        driver.find_element(By.ID, "files").send_keys("\n".join(str(photo.resolve()) for photo in arguments.photos))
        while len(driver.find_elements(By.CSS_SELECTOR, "article[data-done]")) < len(arguments.photos):
            if time.monotonic() - start > WAIT:
                raise SystemExit(f"no answer after {WAIT} s: {driver.find_element(By.ID, 'state').text}")
            time.sleep(0.2)
        print(f"{time.monotonic() - start:.1f} s from the start to the last answer")
        if arguments.picture:
            driver.save_screenshot(str(arguments.picture))
        _check_alone(driver)
        cards = reversed(driver.find_elements(By.CSS_SELECTOR, "article"))  # the newest is shown first
        return [_rows(card) for card in cards]
    finally:
        driver.quit()


def _rows(card: Any) -> list[tuple[str, float]]:
    rows = card.find_elements(By.CSS_SELECTOR, "li")
    if not rows:
        raise SystemExit(card.text)
    return [(row.find_element(By.TAG_NAME, "span").text, float(row.get_attribute("data-value"))) for row in rows]


def _check_alone(driver: Any) -> None:
    """Stop where the page asked for an address, or complained."""
    for line in driver.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith(("file:", "blob:", "data:")):
                raise SystemExit(f"the page asks for {address}")
    severe = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    if severe:
        raise SystemExit("\n".join(severe))


if __name__ == "__main__":
    main()
