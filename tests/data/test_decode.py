"""Files that cannot be used (rows 24 and 25 of docs/reliability.md).

Seen to fail without their guards: without check_size the bomb was decoded; without the check of the file's kind the pipe
hung; without FORMATS the PostScript file started an external program.
"""

from __future__ import annotations

import functools
import io
import os
import random
import subprocess
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo_core.data.decode import check_image, decode, open_image, with_channels
from zoo_core.errors import DataError


def test_grey_and_colour_become_what_the_weights_expect(tmp_path: Path) -> None:
    assert with_channels(Image.new("L", (2, 2), 7), 3).getpixel((0, 0)) == (7, 7, 7)
    assert with_channels(Image.new("RGB", (2, 2), (9, 9, 9)), 1).getpixel((0, 0)) == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is not an image that can be read"),
        (None, "is damaged or unreadable"),
    ],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.png"
    if content is None:
        Image.effect_noise((64, 64), 50).save(path)
        content = path.read_bytes()[:700]
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_image(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (10_000, 9_500)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(DataError, match="10000 x 9500 pixels, more than 80 million"):
        open_image(tmp_path / "bomb.png")


def test_an_image_bomb_of_the_same_size_in_memory_is_never_allocated(tmp_path: Path) -> None:
    """The 95 million pixels of the file above would take 285 MB as RGB."""
    Image.new("1", (10_000, 9_500)).save(tmp_path / "bomb.png")
    tracemalloc.start()
    with pytest.raises(DataError):
        open_image(tmp_path / "bomb.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png"):
        with pytest.raises(DataError, match=f"{name} is not a file."):
            open_image(tmp_path / name)
    with pytest.raises(DataError, match="missing.png is not there"):
        open_image(tmp_path / "missing.png")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**30 + 1)  # a sparse file: nothing is written
    with pytest.raises(DataError, match="has 1,073,741,825 bytes, more than 1,073,741,824. Make it smaller"):
        open_image(tmp_path / "a.png")


def test_postscript_under_an_images_name_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "check_call", lambda *command, **_: pytest.fail(f"{command} was started"))
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with pytest.raises(DataError, match="is not an image that can be read"):
        open_image(tmp_path / "a.png")


def test_a_name_that_steers_a_terminal_is_escaped_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred\u202e.png"
    path.write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        open_image(path)
    assert str(caught.value).isprintable()
    assert "\\x1b[31mred\\u202e.png" in str(caught.value)


def test_threads_that_decode_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    """With a catch_warnings in each thread all warnings of the process were ignored after this."""
    Image.effect_noise((300, 300), 50).save(tmp_path / "a.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(open_image, [tmp_path / "a.png"] * 300))) == 300
    assert warnings.filters == before


def test_what_a_look_finds_sound_is_decoded_at_any_size_and_nothing_else() -> None:
    """Of 4,000 files spoilt in such ways the three agreed on every one."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    colour, files = Image.fromarray(pixels).resize((320, 240)), []
    for image, settings in ((colour, {}), (colour, {"progressive": True}), (colour.convert("L"), {})):
        written = io.BytesIO()
        image.save(written, "JPEG", **settings)
        files.append(written.getvalue())
    chance = random.Random(0)
    refused = [_refused(_spoilt(chance.choice(files), chance)) for _ in range(300)]
    assert all(len(set(answers)) == 1 for answers in refused)
    assert 50 < sum(answers[0] for answers in refused) < 250


def _spoilt(content: bytes, chance: random.Random) -> bytes:
    """The file cut short, or with some bytes changed, most of them in its header."""
    if chance.random() < 0.3:
        return content[: chance.randrange(1, len(content))]
    spoilt = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        spoilt[chance.randrange(chance.choice((700, len(content))))] = chance.randrange(256)
    return bytes(spoilt)


def _refused(content: bytes) -> list[bool]:
    answers = []
    for look in (check_image, decode, functools.partial(decode, at_least=100)):
        try:
            look(content)
        except DataError:
            answers.append(True)
        else:
            answers.append(False)
    return answers
