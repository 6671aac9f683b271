"""The commands of the quick start and the guides work, one after the other, as a reader would type them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from docs.pages import ROOT, blocks
from helpers import Zoo
from zoo_core.testing import make_photos

GUIDES = [ROOT / "docs" / "quickstart.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
GUIDES.remove(ROOT / "docs" / "guides" / "write-a-plugin.md")  # test_readme.py follows it
CLASSES = ("cats", "dogs", "fish", "birds", "horses", "mice")
QUICKER = {
    "resnet50": "lenet5",  # its weights are not here
    "--budget 10m": "--budget 10s",
    "--folds 5": "--folds 2",
}
NOT_HERE = {
    "zoo pull": "a network",
    "zoo search": "a network",
    "you/my-pets new.jpg": "a published model",
    "you/my-pets --data": "a published model",
    "you/my-pets --private": "a token",
    "you/my-pets --update": "a token",
    "you/my-pets --pr": "a token",
    "cuda:1": "two GPUs",
    "--port": "a process that stays; a test of its own asks it",
}
"""Commands that need something that no test has. They are parsed, as every command of a page is."""


def commands(path: Path) -> list[str]:
    """The zoo commands of a page's blocks, in order, made quicker."""
    lines = [line for language, text in blocks(path) if language == "sh" for line in text.splitlines()]
    found = [line for line in lines if line.startswith("zoo ") and not any(part in line for part in NOT_HERE)]
    for long, short in QUICKER.items():
        found = [line.replace(long, short) for line in found]
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Photos in folders, a new one, an inbox and nothing else."""
    photos = make_photos(tmp_path / "photos", classes=CLASSES, count=20, size=64)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in CLASSES:
        shutil.copy(photos / name / "0.jpg", inbox / f"{name}.jpg")
    shutil.move(photos / "dogs" / "0.jpg", tmp_path / "new.jpg")
    return tmp_path


@pytest.mark.whole
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_the_commands_of_a_guide_work(path: Path, place: Path, zoo: Zoo) -> None:
    lines = commands(path)
    assert lines
    if "--out runs/photos" not in " ".join(lines):
        zoo("finetune", "--backbone", "efficientnet_lite0", "--data", "photos/", "--epochs", 2, "--out", "runs/photos")
    for line in lines:
        done = zoo(*shlex.split(line)[1:], timeout=900, warnings="default")
        assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"


@pytest.mark.whole
@pytest.mark.parametrize("name", ["augmentation.md", "features.md"])
def test_the_program_of_a_page_runs(name: str, place: Path) -> None:
    (code,) = [text for language, text in blocks(ROOT / "docs" / name) if language == "python"]
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.whole
def test_the_programs_of_the_guide_to_serving_work(place: Path, zoo: Zoo) -> None:
    made = zoo(
        "finetune", "--backbone", "efficientnet_lite0", "--data", "photos/", "--epochs", 2, "--out", "runs/photos"
    )
    assert made.returncode == 0, made.stderr
    assert zoo("export", "runs/photos", "--to", "torch-export", "-o", "photos.pt2").returncode == 0
    assert zoo("export", "runs/photos", "--to", "onnx", "--with-preprocessing", "-o", "photos.onnx").returncode == 0
    predicted = zoo("predict", "runs/photos", "new.jpg", "--json")
    service, of_onnx, of_torch = [
        text for language, text in blocks(ROOT / "docs" / "guides" / "serving.md") if language == "python"
    ]
    for reader in (of_onnx, of_torch):
        done = subprocess.run([sys.executable, "-c", reader], cwd=place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if reader == of_torch:
            assert all(name in done.stdout for name in CLASSES)
        else:
            best = json.loads(predicted.stdout)["predictions"][0]["answers"][0]
            name, probability = done.stdout.splitlines()[-1].split()
            assert (name, pytest.approx(float(probability), abs=1e-3)) == (best["class"], best["probability"])

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", service.replace("8000", str(port))], cwd=place)
    try:
        answers = json.loads(posted(port, (place / "new.jpg").read_bytes()))
        assert len(answers) == 3
        assert answers[0][0] in CLASSES
        assert 0 < answers[0][1] <= 1
        with pytest.raises(urllib.error.HTTPError, match="400"):
            posted(port, b"no image")
    finally:
        process.terminate()
        process.wait()


@pytest.mark.whole
def test_the_requests_of_the_guide_to_the_server_are_answered(place: Path, zoo: Zoo) -> None:
    made = zoo(
        "finetune", "--backbone", "efficientnet_lite0", "--data", "photos/", "--epochs", 2, "--out", "runs/photos"
    )
    assert made.returncode == 0, made.stderr
    lines = [
        line for language, text in blocks(ROOT / "docs" / "guides" / "server.md") if language == "sh"
        for line in text.splitlines()
    ]  # fmt: skip
    curls = [line for line in lines if line.startswith("curl")]
    assert len(curls) == 5
    main = [sys.executable, "-c", "from zoo_core.cli.main import main; main()"]
    process = subprocess.Popen(
        [*main, "serve", "runs/photos", "--port", "0"], cwd=place, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        port = next(found[1] for line in process.stderr if (found := re.search(r"127.0.0.1:(\d+)/predict", line)))
        reader = threading.Thread(target=process.stderr.read, daemon=True)
        reader.start()
        for line in curls:
            command = ["bash", "-c", line.replace(":8000", f":{port}")]
            told = json.loads(subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout)
            named = [one["answers"][0]["class"] for one in told.get("predictions", [])] or told["parameters"]["classes"]
            assert set(named) <= set(CLASSES), line
    finally:
        process.terminate()
        assert process.wait(30) == 0
    reader.join()
    process.stderr.close()


def posted(port: int, body: bytes) -> bytes:
    """The answer of the service, which takes some seconds to begin."""
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", data=body, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def test_every_command_that_is_left_out_is_in_a_guide() -> None:
    text = "".join(block for path in GUIDES for _, block in blocks(path))
    assert not [part for part in NOT_HERE if part not in text]
    assert sum(len(commands(path)) for path in GUIDES) > 35
    assert not re.search(r"zoo publish(?!.*(--dry-run|--private|--update|--pr))", text)
