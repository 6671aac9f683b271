"""Processes that decode images: their pixels are those of the threads, and whatever befalls them, no image is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import act_as_accelerator, make_photos
from zoo_core.catalog import Catalog
from zoo_core.data.arrange import Joined
from zoo_core.data.batches import Batches, resized_store
from zoo_core.data.decoders import COMMAND, Decoders
from zoo_core.data.sources import ArrayImages, FolderImages, Part, Subset, content_digest, content_of
from zoo_core.data.transforms import CENTRE
from zoo_core.errors import DataError, UsageError
from zoo_core.settings import FinetuneConfig
from zoo_core.training import defaults
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job
from zoo_core.training.setup import make_planner
from zoo_core.weights_specs import Preprocessing

PREPROCESSING = Preprocessing(size=48, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), fit="pad")


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    started = Decoders(PREPROCESSING, 2)
    yield started
    started.close()


@pytest.fixture
def folder(tmp_path: Path) -> FolderImages:
    """A photograph on its side, a grey one, one with transparency, and a file that is no image."""
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 256, (300, 200, 3), np.uint8))
    turned = Image.Exif()
    turned[274] = 6
    photo.save(tmp_path / "a.jpg", exif=turned)
    photo.convert("L").save(tmp_path / "b.png")
    photo.convert("RGBA").save(tmp_path / "c.webp")
    (tmp_path / "d.jpg").write_bytes(b"no image")
    return FolderImages(tmp_path, ("a.jpg", "b.png", "c.webp", "d.jpg"))


def batches_of(images: object, decoders: Decoders | None) -> Batches:
    count = len(images)  # type: ignore[arg-type]
    return Batches(Part(images, np.zeros(count, np.int64)), PREPROCESSING, 2, 2, decoders=decoders)  # type: ignore[arg-type]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a process decoded, of each image that one was asked for."""
    found: list[bool] = []
    ask = Decoders.resized

    def noted(decoders: Decoders, content: bytes) -> object:
        pixels = ask(decoders, content)
        found.append(pixels is not None)
        return pixels

    monkeypatch.setattr(Decoders, "resized", noted)
    return found


def processes_of(decoders: Decoders) -> list[subprocess.Popen[bytes]]:
    return [one._process for one in decoders._all if one._process is not None]


def test_the_pixels_are_those_of_this_process(
    folder: FolderImages, decoders: Decoders, tmp_path: Path, answered: list[bool]
) -> None:
    sound = folder.take([0, 1, 2])
    for images in (sound, Subset(sound, (2, 0)), Joined((ArrayImages("two", np.zeros((2, 9, 9), np.uint8)), sound))):
        here, elsewhere = (list(batches_of(images, one).in_order()) for one in (None, decoders))
        assert all(torch.equal(one, other) for (one, _), (other, _) in zip(here, elsewhere, strict=True))
    assert answered == [True] * 8  # the two images of an array have no files
    group = [(0, CENTRE), (2, CENTRE)]
    assert torch.equal(batches_of(sound, decoders).load_batch(group), batches_of(sound, None).load_batch(group))
    with resized_store(tmp_path / "cache", PREPROCESSING) as store:
        stored = replace(batches_of(sound, decoders), resized=store)
        first = [pixels for pixels, _ in stored.in_order()]
        assert len(store) == 3
        assert all(torch.equal(*pair) for pair in zip(first, (pixels for pixels, _ in stored.in_order()), strict=True))


def test_a_file_that_is_no_image_is_named_as_ever(folder: FolderImages, decoders: Decoders) -> None:
    with pytest.raises(DataError) as here:
        list(batches_of(folder, None).in_order())
    with pytest.raises(DataError) as elsewhere:
        list(batches_of(folder, decoders).in_order())
    assert str(elsewhere.value) == str(here.value)
    assert "d.jpg" in str(here.value)
    assert decoders.resized((folder.root / "a.jpg").read_bytes()) is not None  # the process goes on


def test_a_file_that_has_changed_is_refused(folder: FolderImages, decoders: Decoders) -> None:
    digests = tuple(content_digest((folder.root / name).read_bytes()) for name in folder.files)
    scanned = replace(folder, digests=digests)
    assert content_of(scanned, 0) == (folder.root / "a.jpg").read_bytes()
    Image.new("RGB", (50, 50)).save(folder.root / "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg has changed since the images were scanned"):
        list(batches_of(scanned, decoders).in_order())


def test_a_process_that_is_killed_loses_no_image_and_the_others_go_on(
    folder: FolderImages, decoders: Decoders, answered: list[bool]
) -> None:
    """Seen to fail: the dead one was asked first from then on, and the others no more."""
    sound = folder.take([0, 1, 2])
    expected = [pixels for pixels, _ in batches_of(sound, None).in_order()]
    content = (folder.root / "a.jpg").read_bytes()
    assert decoders.resized(content) is not None
    (process,) = processes_of(decoders)
    process.kill()
    process.wait()
    found = [pixels for pixels, _ in batches_of(sound, decoders).in_order()]
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert answered.count(False) in (1, 2)  # the other may have been busy
    answered.clear()
    assert decoders.resized(content) is not None


@pytest.mark.parametrize(
    "command",
    [
        ["/not/there"],
        [sys.executable, "-c", "raise SystemExit(3)"],
        [sys.executable, "-c", "print('hello from a startup file')"],
    ],
)
def test_a_process_that_cannot_start_loses_no_image(
    command: list[str], folder: FolderImages, decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_core.data.decoders.COMMAND", command)
    assert [decoders.resized((folder.root / "a.jpg").read_bytes()) for _ in range(3)] == [None] * 3
    assert len(list(batches_of(folder.take([0, 1, 2]), decoders).in_order())) == 2


def test_what_stops_a_question_leaves_no_answer_for_the_next(folder: FolderImages) -> None:
    """Seen to fail: after a Ctrl-C each file got the pixels of the one before."""
    decoders = Decoders(PREPROCESSING, 1)
    content = (folder.root / "a.jpg").read_bytes()
    assert decoders.resized(content) is not None
    (decoder,) = decoders._all
    assert decoder._answers is not None
    read = decoder._answers.read
    decoder._answers.read = Mock(side_effect=KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        decoders.resized(content)
    decoder._answers.read = read  # type: ignore[method-assign]
    assert decoders.resized((folder.root / "b.png").read_bytes()) is None
    decoders.close()


def test_closing_waits_for_no_process_and_no_later_question_fails(
    folder: FolderImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: a process that hung was waited for before it was killed."""
    monkeypatch.setattr("zoo_core.data.decoders.COMMAND", [sys.executable, "-c", "import time; time.sleep(600)"])
    decoders, content = Decoders(PREPROCESSING, 1), (folder.root / "a.jpg").read_bytes()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(decoders.resized, content)
        while not processes_of(decoders):
            time.sleep(0.01)
        time.sleep(0.2)  # it waits for the answer
        decoders.close()
        assert waiting.result(timeout=60) is None
    assert decoders.resized(content) is None
    unused = Decoders(PREPROCESSING, 1)
    unused.close()
    assert unused.resized(content) is None
    assert not processes_of(unused)
    assert all(process.poll() is not None for process in processes_of(decoders))


def test_an_image_that_is_longer_than_the_memory_is_decoded_here(folder: FolderImages, tmp_path: Path) -> None:
    Image.new("RGB", (900, 90)).save(tmp_path / "long.png")
    cropped = Decoders(replace(PREPROCESSING, fit="crop"), 1)
    assert cropped.resized((tmp_path / "long.png").read_bytes()) is None
    assert cropped.resized((folder.root / "a.jpg").read_bytes()) is not None
    cropped.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_ctrl_c_is_the_runs_and_the_processes_end_with_their_pipes(folder: FolderImages, decoders: Decoders) -> None:
    content = (folder.root / "a.jpg").read_bytes()
    assert decoders.resized(content) is not None
    (process,) = processes_of(decoders)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.1)
    assert decoders.resized(content) is not None
    assert process.stdin is not None
    process.stdin.close()  # as when this process is killed
    assert process.wait(timeout=20) == 0


def test_the_processes_import_no_torch() -> None:
    loaded = subprocess.run(
        [*COMMAND[:-2], "-c", "import sys, zoo_core.data.decoding_process; print('torch' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert loaded.stdout.strip() == "False"


def test_a_run_ends_with_the_same_bytes_either_way(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, answered: list[bool]
) -> None:
    make_photos(tmp_path / "photos")
    written = []
    for decoding in ("threads", "processes"):
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / f"cache-{decoding}"))
        config = FinetuneConfig(
            backbone="lenet5", weights="none", strategy="full", epochs=1, data=str(tmp_path / "photos"), device="cpu",
            out=str(tmp_path / decoding), decoding=decoding,
        )  # fmt: skip
        job = prepare(config, catalog)
        planner = make_planner(job, job.world, lambda text: None)
        assert (planner.train.decoders is None) == (decoding == "threads")
        planner.close()
        answered.clear()
        run_job(job, NullCallback())
        assert any(answered) == (decoding == "processes")
        written.append((tmp_path / decoding / "model.safetensors").read_bytes())
    assert written[0] == written[1]


def test_processes_decode_many_files_for_an_accelerator(folder: FolderImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "FEWEST_DECODED", 3)
    monkeypatch.setattr(defaults, "FEWEST_DECODERS", 2)

    def chosen(images: object, workers: int = 2) -> str:
        part = Part(images, np.zeros(len(images), np.int64))  # type: ignore[arg-type]
        return defaults.default_decoding(part, torch.device("cpu"), workers)[0]

    assert chosen(folder) == "threads"
    act_as_accelerator(monkeypatch)
    assert chosen(folder) == "processes"
    assert chosen(folder, workers=1) == "threads"
    assert chosen(folder.take([0, 1])) == "threads"
    assert chosen(ArrayImages("some", np.zeros((5, 9, 9), np.uint8))) == "threads"
    monkeypatch.setattr(defaults, "HAS_DECODERS", False)
    assert chosen(folder) == "threads"


def test_processes_are_refused_where_there_are_none(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(tmp_path)
    monkeypatch.setattr("zoo_core.training.resolve.HAS_DECODERS", False)
    config = FinetuneConfig(backbone="lenet5", weights="none", data=str(tmp_path), device="cpu", decoding="processes")
    with pytest.raises(UsageError, match="--decoding processes"):
        prepare(config, catalog)
