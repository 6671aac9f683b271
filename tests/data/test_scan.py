"""The look at every image before the training (row 24 of docs/reliability.md).

Seen to fail without their guards: without the scan the training stopped in mid-epoch, after the split was made; without
the stamp a changed file kept its old look, and without its third part so did one whose time was set back; without the
check of shapes a damaged cache ended in a TypeError.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from PIL import Image

from helpers import decoding, make_photos
from zoo_core.data import decode, scan
from zoo_core.data.bundled import fashion_small
from zoo_core.data.decode import FORMATS
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import TOGETHER, scan_images
from zoo_core.data.sources import Source
from zoo_core.errors import DataError
from zoo_core.paths import cache_dir


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan, "CLOCK_TICK_NS", 0)  # files of a test are always new, which no scan remembers
    return tmp_path / "cache" / "scans"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the files that were decoded, not taken from the cache."""
    return decoding(scan, monkeypatch)


def told(source: Source) -> object:
    """All that a scan decides of a source, to be compared."""
    parts = {name: (len(part), part.digest()) for name, part in source.parts.items()}
    return source.classes, parts, source.skipped, source.ignored


def test_a_scan_goes_on_where_it_was_stopped(tmp_path: Path, decoded: list[int]) -> None:
    make_photos(tmp_path / "photos", count=3 * TOGETHER // 2)
    source = read_folders(tmp_path / "photos")

    def stop(done: int, total: int) -> None:
        assert (done, total) == (TOGETHER, 3 * TOGETHER)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_images(source, watch=stop)
    decoded.clear()
    scan_images(source)
    assert len(decoded) <= 2 * TOGETHER


def spoil(photos: Path) -> None:
    """One file of each kind of damage."""
    whole = (photos / "red" / "0.jpg").read_bytes()
    (photos / "red" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "red" / "1.png").write_bytes(b"")
    (photos / "red" / "2.jpg").write_text("<html>not found</html>")
    Image.new("1", (10_000, 9_500)).save(photos / "blue" / "3.png")
    (photos / "blue" / "4.jpg").unlink()
    (photos / "blue" / "4.jpg").symlink_to("nowhere.jpg")


def test_all_bad_images_are_named_in_one_error_with_the_next_step(photos: Path) -> None:
    spoil(photos)
    with pytest.raises(DataError) as caught:
        scan_images(read_folders(photos))
    first, *lines, last = str(caught.value).split("\n")
    assert first == f"5 images in {photos} cannot be used:"
    assert [line.split(": ")[0].split(", more")[0] for line in lines] == [
        "  blue/3.png has 10000 x 9500 pixels",
        "  blue/4.jpg is not there",
        "  red/0.jpg is damaged or unreadable",
        "  red/1.png is empty",
        f"  red/2.jpg is not an image that can be read ({', '.join(FORMATS)})",
    ]
    assert last == "Repair or remove them, or add --bad-images skip."


def test_many_bad_images_are_named_up_to_twenty_and_then_counted(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", count=15)
    for path in photos.rglob("*.*"):
        path.write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        scan_images(read_folders(photos))
    lines = str(caught.value).split("\n")
    assert (lines[0], len(lines), lines[-2]) == (f"30 images in {photos} cannot be used:", 23, "  ... and 10 more")


def test_skipped_images_leave_their_parts_and_are_counted(photos: Path) -> None:
    spoil(photos)
    source = scan_images(read_folders(photos), bad_images="skip")
    train = source.parts["train"]
    assert (len(train), source.skipped) == (15, 5)
    names = {train.images.name(index) for index in range(len(train))}
    assert not names & {"red/0.jpg", "red/1.png", "red/2.jpg", "blue/3.png", "blue/4.jpg"}
    assert all(train.images.read(index).size == (40, 40) for index in range(len(train)))
    assert [source.classes[label] for label in train.targets] == [train.images.name(i).split("/")[0] for i in range(15)]


def test_a_class_of_which_nothing_is_left_is_an_error(photos: Path) -> None:
    for path in (photos / "red").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image of the class 'red' can be read. Repair them or remove the folder."):
        scan_images(read_folders(photos), bad_images="skip")


def test_a_part_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    make_photos(tmp_path / "data" / "train")
    for path in make_photos(tmp_path / "data" / "val", count=1).rglob("*.*"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image of the val part"):
        scan_images(read_folders(tmp_path / "data"), bad_images="skip")


def test_an_unchanged_folder_is_only_asked_for_sizes_and_times(photos: Path, decoded: list[int]) -> None:
    source = scan_images(read_folders(photos))
    assert len(decoded) == 20
    again = scan_images(read_folders(photos))
    assert len(decoded) == 20
    assert told(again) == told(source)
    Image.new("RGB", (9, 9), "red").save(photos / "red" / "1.png")
    changed = scan_images(read_folders(photos))
    assert len(decoded) == 21
    assert changed.parts["train"].digest() != source.parts["train"].digest()


@pytest.mark.parametrize("set_back", [False, True])
def test_a_file_of_the_same_size_is_looked_at_again_whatever_its_time_says(
    photos: Path, decoded: list[int], set_back: bool
) -> None:
    scan_images(read_folders(photos))
    path = photos / "red" / "1.png"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns if set_back else 1))
    assert path.stat().st_size == before.st_size
    time.sleep(0.03)  # a file that changed just now is not cached
    with pytest.raises(DataError, match="red/1.png is damaged"):
        scan_images(read_folders(photos))
    with pytest.raises(DataError, match="red/1.png is damaged"):  # what is bad is kept as well
        scan_images(read_folders(photos))
    assert len(decoded) == 21


def written_with(text: str, change: Callable[[Any], Any], key: str = scan.INSPECTION) -> str:
    """The cache's file with its entries changed and a checksum that fits them."""
    entries = json.dumps(change(json.loads(text.split("\n")[1])))
    return json.dumps({"key": key, "crc32": crc32(entries.encode())}) + "\n" + entries


def with_column(text: str, column: int, value: object) -> str:
    """The cache's file with one column of every row replaced; the stamps still fit."""

    def change(entries: dict[str, list[object]]) -> dict[str, list[object]]:
        return {file: [*row[:column], value, *row[column + 1 :]] for file, row in entries.items()}

    return written_with(text, change)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text.replace("red/1.png", "red/1.pnG"),
        lambda text: written_with(text, lambda entries: entries, key="another"),
        lambda text: written_with(text, lambda entries: {"red/1.png": [1, 2, 3]}),
        lambda text: with_column(text, 3, None),
        lambda text: with_column(text, 3, "no hex"),
        lambda text: with_column(text, 3, "00"),
        lambda text: with_column(text, 4, 7),
        lambda text: written_with(text, lambda entries: {"red/1.png": "x"}),
        lambda text: written_with(text, lambda entries: None),
    ],
)
def test_a_damaged_cache_is_ignored_and_made_anew(photos: Path, cache: Path, decoded: list[int], damage) -> None:
    source = scan_images(read_folders(photos))
    (index,) = cache.iterdir()
    index.write_text(damage(index.read_text()))
    assert told(scan_images(read_folders(photos))) == told(source)
    assert len(decoded) == 40
    assert told(scan_images(read_folders(photos))) == told(source)
    assert len(decoded) == 40


def test_an_index_that_is_no_regular_file_is_not_read(photos: Path, cache: Path, decoded: list[int]) -> None:
    """Seen to fail: a link to /dev/zero took all memory, and a pipe was waited for."""
    scan_images(read_folders(photos))
    (index,) = cache.iterdir()
    index.unlink()
    index.symlink_to("/dev/zero")
    scan_images(read_folders(photos))
    assert (len(decoded), index.is_symlink()) == (40, False)


def test_too_little_memory_is_no_damage_of_an_image(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reported: such an image was called damaged, and left out with --bad-images skip."""

    def no_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode, "upright", no_memory)
    with pytest.raises(MemoryError):
        scan_images(read_folders(photos), bad_images="skip")


def test_a_file_that_was_written_just_now_is_inspected_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that follows within a tick of the clock has the same times. Seen to fail where the file was remembered."""
    monkeypatch.setattr(scan, "CLOCK_TICK_NS", 10**13)
    looked = decoding(scan, monkeypatch)
    for _ in range(2):
        scan_images(read_folders(photos))
    assert len(looked) == 40


def test_a_cache_that_cannot_be_written_costs_time_only(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", "/dev/null/cache")
    assert len(scan_images(read_folders(photos)).parts["train"]) == 20


def test_two_folders_have_a_cache_each(tmp_path: Path, cache: Path) -> None:
    for name in ("a", "b"):
        scan_images(read_folders(make_photos(tmp_path / name)))
    assert len(list(cache.iterdir())) == 2


def test_progress_is_told_every_few_images(photos: Path) -> None:
    told: list[tuple[int, int]] = []
    scan_images(read_folders(photos), watch=lambda done, total: told.append((done, total)))
    assert told == [(TOGETHER, 20), (20, 20)]


def test_file_names_that_are_no_text_are_read_and_kept(photos: Path, decoded: list[int]) -> None:
    (photos / "red" / "1.png").rename(os.fsdecode(bytes(photos / "red") + b"/\xff\xfe.png"))
    source = scan_images(read_folders(photos))
    assert told(scan_images(read_folders(photos))) == told(source)
    assert len(decoded) == 20
    assert source.parts["train"].digest() != ""


def test_images_in_arrays_need_no_look(decoded: list[int]) -> None:
    assert scan_images(fashion_small()).parts["val"].images is not None
    assert decoded == []


def test_the_digest_of_a_part_covers_names_labels_and_content(photos: Path) -> None:
    """Without the content in it, a run went on with other pixels under the same names."""
    part = read_folders(photos).parts["train"]
    assert part.digest() == scan_images(read_folders(photos)).parts["train"].digest()  # scanned or not
    digests = {part.digest()}
    path = photos / "red" / "1.png"
    with Image.open(path) as image:
        image.load()
    image.putpixel((0, 0), (1, 2, 3))
    image.save(path)
    digests.add(read_folders(photos).parts["train"].digest())
    path.rename(photos / "red" / "10.png")
    digests.add(read_folders(photos).parts["train"].digest())
    (photos / "red" / "10.png").rename(photos / "blue" / "10.png")
    digests.add(read_folders(photos).parts["train"].digest())
    assert len(digests) == 4


def test_images_of_an_array_have_digests_of_their_pixels() -> None:
    train = fashion_small().parts["train"]
    digests = {train.images.digest(index) for index in range(100)}
    assert {len(digest) for digest in digests} == {16}
    assert len(digests) == 100
    assert train.take([5]).images.digest(0) == train.images.digest(5)


def test_two_lists_of_one_folder_are_each_scanned_once(photos: Path, decoded: list[int]) -> None:
    """Seen to fail: a scan forgot the files that it was not asked about, which two tables in turn opened each time."""
    red, blue = ([f"{name}/{number}.png" for number in range(10)] for name in ("red", "blue"))
    red, blue = ([file for file in files if (photos / file).is_file()] for files in (red, blue))
    for files in (red, blue, red, blue):
        scan.inspect_files(photos, files)
    assert len(decoded) == len(red) + len(blue) > 4
    (photos / red[0]).rename(photos / "red" / "new.png")
    scan.inspect_files(photos, [*red[1:], "red/new.png"])
    (index,) = (cache_dir() / "scans").iterdir()
    assert f'"{blue[0]}"' in index.read_text()
    assert f'"{red[0]}"' not in index.read_text(), "a file that is gone is forgotten"


def test_progress_reaches_the_end_with_a_file_that_is_named_twice(photos: Path) -> None:
    told: list[tuple[int, int]] = []
    file = next(photos.rglob("*.png")).relative_to(photos)
    scan.inspect_files(photos, [str(file)] * 3, lambda *done: told.append(done))
    assert told == [(3, 3)]
