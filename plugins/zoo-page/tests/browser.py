"""A page in Chromium without a network, given files by its input, by Chromium's protocol over two pipes."""

import json
import os
import select
import shutil
import subprocess
import time

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SECONDS = 150  # for all answers, on a machine that does other work
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not here to open the page")
READY = "document.readyState === 'complete' && document.getElementById('files') !== null"
REPORT = """[...document.querySelectorAll("article[data-done]")].reverse().map((card) => ({
  done: card.dataset.done,
  text: card.querySelector("p").textContent,
  distance: card.dataset.distance === undefined ? null : Number(card.dataset.distance),
  map: JSON.parse(card.querySelector("canvas").dataset.cells || "null"),
  answers: Object.fromEntries([...card.querySelectorAll("li")].map(
    (row) => [row.querySelector("span").textContent, Number(row.dataset.value)])),
}))"""


class Browser:
    """Chromium with one page."""

    def __init__(self, page, folder):
        (to_child, self.to), (self.back, from_child) = os.pipe(), os.pipe()
        shell = ["bash", "-c", f'exec "$@" 3<&{to_child} 4>&{from_child}', "-"]
        options = ["--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
        command = [*shell, CHROMIUM, *options, "--host-resolver-rules=MAP * ~NOTFOUND"]
        self.process = subprocess.Popen(
            command, pass_fds=(to_child, from_child), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_child)
        os.close(from_child)
        self.end, self.read, self.number = time.monotonic() + SECONDS, b"", 0
        target = self.call("Target.createTarget", url=page.as_uri())["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        while not self.value(READY):
            time.sleep(0.1)

    def call(self, method, **given):
        """The result of one command of the protocol."""
        self.number += 1
        session = {"sessionId": self.session} if hasattr(self, "session") else {}
        message = {"id": self.number, "method": method, "params": given, **session}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                assert "result" in answer, answer
                return answer["result"]

    def value(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _message(self):
        while b"\0" not in self.read:
            ready, _, _ = select.select([self.back], [], [], max(0, self.end - time.monotonic()))
            assert ready, "the browser did not answer in time"
            found = os.read(self.back, 2**20)
            assert found, "the browser ended"
            self.read += found
        first, _, self.read = self.read.partition(b"\0")
        return json.loads(first)

    def close(self):
        self.process.terminate()
        self.process.wait()
        os.close(self.to)
        os.close(self.back)

    def give(self, files):
        """The words and pictures of the page for each file, in order."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        field = self.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path) for path in files], nodeId=field)
        while len(found := self.value(REPORT)) < len(files):
            assert time.monotonic() < self.end, f"{len(found)} answers; {self.value('document.body.innerText')}"
            time.sleep(0.1)
        return found


def shown(page, files, folder):
    """The answers that the page shows of each file, in a browser of its own."""
    browser = Browser(page, folder)
    try:
        return browser.give(files)
    finally:
        browser.close()


def measured(page, files, folder, width, expression):
    """The value of an expression in a window of so many pixels, when the page has answered the files."""
    browser = Browser(page, folder)
    try:
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        browser.give(files)
        return browser.value(expression)
    finally:
        browser.close()
