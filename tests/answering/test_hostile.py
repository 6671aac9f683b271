"""Hostile images through `zoo predict`: each has one clear answer, a row with classes or a row with the reason."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import Zoo

NOISE = np.random.default_rng(0)


def photo(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.fromarray(NOISE.integers(0, 256, (*size[::-1], 3), np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of 100,000 x 1,000 grey pixels in 97 kB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 100_000, 1_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(100_001 * 1_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def sixteen_bits() -> Image.Image:
    return Image.fromarray(NOISE.integers(0, 65536, (30, 40), np.uint16))


def rotated() -> bytes:
    marks = Image.Exif()
    marks[0x0112] = 6
    return encoded(photo(), "JPEG", exif=marks)


JPEG = encoded(photo(), "JPEG")
ANSWERED = {
    "sound.jpg": JPEG,
    "cmyk.jpg": encoded(photo("CMYK"), "JPEG"),
    "palette.png": encoded(photo("P"), "PNG", transparency=0),
    "transparent.png": encoded(photo("RGBA"), "PNG"),
    "animated.gif": encoded(photo("P"), "GIF", save_all=True, append_images=[photo("P")]),
    "sixteen-bits.png": encoded(sixteen_bits(), "PNG"),
    "rotated.jpg": rotated(),
    "one-pixel.png": encoded(photo(size=(1, 1)), "PNG"),
    "line.jpg": encoded(photo(size=(20_000, 1)), "JPEG"),
    "spacer.gif": encoded(photo("P", (2_000, 1)), "GIF"),
    "trailing.jpg": JPEG + b"<script>alert(1)</script>" * 99,
    "of-another-kind.png": JPEG,
    "café\x1b[31m red.jpg": JPEG,
    "two\nlines.jpg": JPEG,
    "--json.jpg": JPEG,
    "=cmd|calc.jpg": JPEG,
}
DAMAGED, NO_IMAGE = "is damaged or unreadable", "is not an image that can be read"
REFUSED = {
    "empty.jpg": (b"", "is empty"),
    "truncated.jpg": (JPEG[:-400], DAMAGED),
    "header.jpg": (JPEG[:20], NO_IMAGE),
    "text.jpg": (b"hello", NO_IMAGE),
    "page.png": (b"<html>404</html>", NO_IMAGE),
    "vector.png": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', NO_IMAGE),
    "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n", NO_IMAGE),
    "pickle.jpg": (b"cos\nsystem\n(S'touch pwned'\ntR.", NO_IMAGE),
    "bomb.png": (bomb(), "has 100000 x 1000 pixels, more than 80 million"),
}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    for name, content in {**ANSWERED, **{name: content for name, (content, _) in REFUSED.items()}}.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(2**31)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "nowhere.jpg").symlink_to("/nowhere.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    return folder


SPECIAL = {
    "sparse.jpg": "2,147,483,648 bytes",
    "pipe.jpg": "is not a file",
    "zero.jpg": "is not a file",
    "nowhere.jpg": "is not there",
    "loop.jpg": "cannot be read",
}


def test_each_hostile_file_is_one_row_and_the_sound_ones_are_answered(zoo: Zoo, inputs: Path, tmp_path: Path) -> None:
    names = [*ANSWERED, *REFUSED, *SPECIAL]
    files = [inputs / name for name in names]
    answer = zoo(
        "predict", "lenet5", "-o", "answers.jsonl", "--", *files, "missing.jpg", inputs / "sound.jpg" / "x.jpg"
    )
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "\x1b" not in answer.stderr
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows[: len(files)]] == [str(file) for file in files]
    told = {Path(row["image"]).name: row for row in rows}
    for name in ANSWERED:
        assert told[name]["problem"] is None, told[name]
        assert len(told[name]["answers"]) == 5
        assert 0 < sum(one["probability"] for one in told[name]["answers"]) < 1.0001
    reasons = {**{name: reason for name, (_, reason) in REFUSED.items()}, **SPECIAL, "missing.jpg": "is not there"}
    for name, reason in reasons.items():
        assert reason in told[name]["problem"], told[name]
        assert told[name]["answers"] == []
        assert "\n" not in told[name]["problem"]
    assert told["x.jpg"]["problem"]
    unanswered = len(reasons) + 1
    assert f"{unanswered} of {len(rows)} images have no answer:" in answer.stderr
    assert f"Answers for {len(ANSWERED)} of {len(rows)} images are in answers.jsonl." in answer.stdout
    assert not (tmp_path / "pwned").exists()


def test_a_folder_of_hostile_files_is_answered_as_a_table(zoo: Zoo, inputs: Path, tmp_path: Path) -> None:
    """The pipe and the device are no images of a folder; every other file is a row."""
    answer = zoo("predict", "lenet5", "inputs", "-o", "answers.csv", "--top", "1")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    text = (tmp_path / "answers.csv").read_text()
    for name in (*ANSWERED, *REFUSED):
        assert name.split("\n")[0] in text
    assert text.count(NO_IMAGE) == sum(reason == NO_IMAGE for _, reason in REFUSED.values())
