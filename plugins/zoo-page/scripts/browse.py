"""Open an exported page in a browser without a network, give it photos, and compare it with `zoo predict` and
`zoo explain`: the answers, the distances to the training images, the words on strangers, and the heat maps.

    python plugins/zoo-page/scripts/browse.py PAGE RUN PHOTO [PHOTO ...] [--picture FILE] [--most 0.001]

It needs selenium (`pip install selenium`), chromium and chromedriver, and `zoo` in the path. The answers and the
distances must be within `--most` of each other, and the heat maps, as shares of their highest values, too; the exit
code is 1 otherwise, and where the page asks for an address.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
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
    predicted = _by_zoo("predict", arguments, "--top", "5")["predictions"]
    with tempfile.TemporaryDirectory() as folder:
        picture = str(Path(folder) / "maps.png")
        explained = _by_zoo("explain", arguments, "--nearest", "0", "-o", picture)["explanations"]
    worst: dict[str, float] = {}
    differs = False
    for one, prediction, explanation in zip(shown, predicted, explained, strict=True):
        found = {
            "answer": _of_answers(one.rows, prediction["answers"]),
            "distance": _of_distance(one.distance, prediction["distance"]),
            "map": _of_map(one.cells, explanation["map"]),
        }
        told = (prediction["hint"] or "").lower()
        differs |= one.doubt.lower() != told or next(iter(prediction["answers"]))["class"] != one.rows[0][0]
        known = {name: value for name, value in found.items() if value is not None}
        print(f"{prediction['image']}: {one.rows[0][0]} {one.rows[0][1]:.4f}, {one.doubt or 'no doubt'}; ", end="")
        print(", ".join(f"{name} {value:.2g} off" for name, value in known.items()))
        worst = {name: max(value, worst.get(name, 0.0)) for name, value in {**worst, **known}.items()}
    print(f"{len(shown)} photos; the largest differences: {', '.join(f'{k} {v:.2g}' for k, v in worst.items())}")
    if differs:
        print("the first answers or the words on strangers differ")
    sys.exit(differs or max(worst.values()) > arguments.most)


@dataclass(frozen=True)
class Shown:
    """The words and pictures of the page for a photo."""

    rows: list[tuple[str, float]]
    doubt: str
    distance: float | None
    cells: list[float] | None


def _by_zoo(command: str, arguments: argparse.Namespace, *options: str) -> Any:
    words = ["zoo", command, arguments.run, *map(str, arguments.photos), "--json", *options]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _of_answers(rows: list[tuple[str, float]], answers: list[dict[str, Any]]) -> float:
    expected = {one["class"]: one["probability"] for one in answers}
    return max(abs(expected[name] - value) for name, value in rows if name in expected)


def _of_distance(found: float | None, expected: float | None) -> float | None:
    if (found is None) != (expected is None):
        return float("inf")
    return None if found is None or expected is None else abs(found - expected)


def _of_map(found: list[float] | None, expected_HW: list[list[float]]) -> float | None:
    """The largest difference of two maps, each as shares of its highest value; None where the page shows none."""
    if found is None:
        return None
    expected = [value for row in expected_HW for value in row]
    if len(expected) != len(found):
        return float("inf")
    return max(abs(one / max(found) - other / max(expected)) for one, other in zip(found, expected, strict=True))


def _by_browser(arguments: argparse.Namespace) -> list[Shown]:
    """The words and pictures of the page for each photo, in the order of the photos."""
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
        return [Shown(_rows(card), *_beside(card)) for card in cards]
    finally:
        driver.quit()


def _rows(card: Any) -> list[tuple[str, float]]:
    rows = card.find_elements(By.CSS_SELECTOR, "li")
    if not rows:
        raise SystemExit(card.text)
    return [(row.find_element(By.TAG_NAME, "span").text, float(row.get_attribute("data-value"))) for row in rows]


def _beside(card: Any) -> tuple[str, float | None, list[float] | None]:
    distance = card.get_attribute("data-distance")
    cells = card.find_element(By.TAG_NAME, "canvas").get_attribute("data-cells")
    doubt = card.find_element(By.TAG_NAME, "p").text
    return doubt, None if distance is None else float(distance), cells and json.loads(cells)


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
