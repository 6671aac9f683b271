"""Tar shards as a data set: on this machine, behind addresses, in less room than they take.

Seen to fail without their guards: an index that ignored a shard's size and time kept the old images, a shelf that never
made room held all shards, a reader that did not compare digests gave images that were exchanged, threads brought one shard
several times, leftovers of a killed process stayed for good, and a password went into the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import close_session

from helpers import decoding, files_of_at_most
from streaming.support import FileServer, Photo, content_of, serving, write_shards
from zoo_core.catalog import Catalog
from zoo_core.data.decode import INSPECTION
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import Source, windows_of
from zoo_core.errors import DataError, FullError, HubError, UsageError
from zoo_core.json_index import write_index
from zoo_core.streaming import index as indexing
from zoo_core.streaming import shard_cache
from zoo_core.streaming.shard_cache import ShardCache
from zoo_core.streaming.webdataset import expanded, open_tars
from zoo_core.training.opening import open_dataset

SMALL_ROOM = 0.000065  # gigabytes: two of the shards, which have 30,720 bytes each


@pytest.fixture
def shards(tmp_path: Path, photos: list[Photo]) -> Path:
    write_shards(tmp_path / "shards", photos)
    return tmp_path / "shards"


@pytest.fixture
def server(shards: Path) -> Iterator[FileServer]:
    with serving(shards) as running:
        yield running
        close_session()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the images that were looked at, not found in an index."""
    return decoding(indexing, monkeypatch)


def bytes_on_shelf(cache: Path) -> int:
    return sum(path.stat().st_size for path in (cache / "shards").glob("*.tar"))


def read_all(source: Source) -> None:
    for part in source.parts.values():
        for number in range(len(part)):
            part.images.read(number)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{8..11}.tar", ["a-8.tar", "a-9.tar", "a-10.tar", "a-11.tar"]),
        ("{0..1}/a-{000..001}.tar", ["0/a-000.tar", "0/a-001.tar", "1/a-000.tar", "1/a-001.tar"]),
    ],
)
def test_a_pattern_stands_for_its_shards_in_order(pattern: str, meant: list[str]) -> None:
    assert expanded(pattern) == meant


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("wds:photos-{a,b}.tar", "braces may hold a range of numbers only, such as {000..010}"),
        ("wds:photos-*.tar", "* and ? are not read. Name a range of shards, such as {000..010}"),
        ("wds:photos-{5..1}.tar", "stands for 0 shards; there must be 1 to 100,000"),
        ("wds:photos-{0..999999999}.tar", "stands for 1,000,000,000 shards"),
        (f"wds:photos-{{0..{'9' * 5000}}}.tar", "braces may hold a range of numbers only"),
        (f"wds:photos-{'{0..999999999999}' * 400}.tar", "stands for more than 10^18 shards"),
        ("wds:photos-{\u0663..\u0664}.tar", "braces may hold a range of numbers only"),
        (
            "wds:photos.tar.gz",
            "does not name .tar files, which must not be compressed. Give 'wds:photos-{000..010}.tar' or",
        ),
        ("wds:nowhere-{0..3}.tar", "there is no shard nowhere-0.tar. Give the addresses of tar files"),
        ("wds:photos.tar:vall=x.tar", "has no option 'vall'. Did you mean 'val'?"),
        ("wds:photos.tar:disk_gb=0", "disk_gb must be above 0 and at most 1000000, got 0.0"),
        ("wds:https://me:secret@example.org/a.tar", "holds a password, which would be written into the run. Remove it"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_message(data: str, told: str, catalog: Catalog) -> None:
    with pytest.raises(UsageError) as caught:
        open_dataset(data, catalog)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_shards_hold_the_images_and_classes_of_the_folder_that_they_were_made_of(folder: Path, shards: Path) -> None:
    source = open_tars(f"{shards}/photos-{{000..003}}.tar")
    assert source.classes == ("blue", "red")
    assert content_of(source) == content_of(scan_images(read_folders(folder)))
    assert windows_of(source.parts["train"].images) is None, "what lies here needs no windows"
    assert source.parts["train"].images.name(7) == "photos-001.tar/000007"
    pairs = zip(source.parts["train"].images.digests, range(20), strict=True)  # type: ignore[attr-defined]
    assert len(set(pairs)) == 20


def test_without_a_list_of_names_the_numbers_of_the_classes_are_their_names(
    tmp_path: Path, photos: list[Photo]
) -> None:
    numbered = [(content, label * 8 + 2) for content, label in photos]
    source = open_tars(write_shards(tmp_path / "plain", numbered, classes=()))
    assert source.classes == ("2", "10")
    assert set(source.parts["train"].targets.tolist()) == {0, 1}


def test_names_may_stand_in_any_file_and_must_be_enough(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("sea\nsun\n", encoding="utf-8-sig")
    pattern = f"{shards}/photos-{{000..003}}.tar"
    assert open_tars(f"{pattern}:classes={tmp_path}/names.txt").classes == ("sea", "sun")
    (tmp_path / "names.txt").write_text("sea\n")
    with pytest.raises(DataError, match="photos-002.tar/000010 has the class '1', which is none of 1"):
        open_tars(f"{pattern}:classes={tmp_path}/names.txt")
    with pytest.raises(UsageError, match="there is no file .*other.txt with the names of the classes"):
        open_tars(f"{pattern}:classes={tmp_path}/other.txt")


def test_parts_may_have_patterns_of_their_own(shards: Path, catalog: Catalog) -> None:
    source = open_dataset(f"wds:{shards}/photos-{{001..003}}.tar:val={shards}/photos-000.tar", catalog)
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 15, "val": 5}


def test_one_class_can_be_measured_on_but_not_trained_on(shards: Path) -> None:
    source = open_tars(f"{shards}/photos-000.tar")
    assert source.classes == ("blue",)
    with pytest.raises(DataError, match="has only the class 'blue'. A training needs at least two."):
        source.with_validation(share=0.5, seed=0)


def test_bad_images_are_named_or_left_out(tmp_path: Path, photos: list[Photo]) -> None:
    half, label = photos[3]
    pattern = write_shards(tmp_path / "bad", [*photos[:3], (half[: len(half) // 2], label), *photos[4:], (b"", 1)])
    source = open_tars(pattern)
    with pytest.raises(DataError) as caught:
        scan_images(source)
    assert str(caught.value).startswith("2 images in ")
    assert "photos-000.tar/000003 is damaged or unreadable" in str(caught.value)
    assert "photos-004.tar/000020 is empty" in str(caught.value)
    skipped = scan_images(source, bad_images="skip")
    assert (skipped.skipped, len(skipped.parts["train"])) == (2, 19)
    read_all(skipped)


def test_a_second_look_finds_the_index_until_a_shard_changes(
    shards: Path, photos: list[Photo], decoded: list[int]
) -> None:
    pattern = f"{shards}/photos-{{000..003}}.tar"
    first = open_tars(pattern)
    assert len(decoded) == 20
    assert content_of(open_tars(pattern)) == content_of(first)
    assert len(decoded) == 20, "the shards were read again"
    write_shards(shards, [*photos[:15], photos[0], *photos[16:]])
    os.utime(shards / "photos-003.tar", ns=(1, 1))
    again = open_tars(pattern)
    assert again.parts["train"].images.digest(15) == first.parts["train"].images.digest(0)


def test_a_damaged_index_is_made_again(shards: Path, cache: Path) -> None:
    pattern = f"{shards}/photos-{{000..003}}.tar"
    first = content_of(open_tars(pattern))
    for number, path in enumerate(sorted((cache / "scans").glob("shard-*.json"))):
        whole = path.read_text()
        path.write_text((whole[:50], whole.replace("[[", '[["x", '), "[" * 10_000, "{}")[number])
    assert content_of(open_tars(pattern)) == first


@pytest.mark.parametrize("place", [(10**30, 1), (0, 2**63), (0, 2**62), (2**62, 2**62)])
def test_an_index_with_a_place_that_no_shard_has_is_not_followed(
    place: tuple[int, int], shards: Path, cache: Path
) -> None:
    """The first two were an OverflowError, the third took all memory."""
    pattern = f"{shards}/photos-{{000..003}}.tar"
    open_tars(pattern)
    for path in (cache / "scans").glob("shard-*.json"):
        data = json.loads(path.read_text().partition("\n")[2])
        data["entries"][0][2:4] = place
        write_index(path, INSPECTION, data)
    images = open_tars(pattern).parts["train"].images
    if max(place) >= 2**63:
        images.read(0)
    else:
        with pytest.raises(DataError, match="has changed since the data set was inspected"):
            images.read(0)


def test_images_that_were_exchanged_since_are_not_trained_on(shards: Path, photos: list[Photo]) -> None:
    source = open_tars(f"{shards}/photos-{{000..003}}.tar")
    write_shards(shards, photos[::-1])
    with pytest.raises(DataError, match="photos-000.tar/000000 has changed since the data set was inspected"):
        source.parts["train"].images.read(0)


def test_shards_behind_addresses_are_the_same_and_are_asked_for_once(
    server: FileServer, folder: Path, cache: Path, decoded: list[int]
) -> None:
    source = open_tars(f"{server.url}/photos-{{000..003}}.tar")
    assert source.classes == ("blue", "red")
    assert content_of(source) == content_of(scan_images(read_folders(folder)))
    read_all(source)
    assert [server.times(f"photos-{number:03d}.tar") for number in range(4)] == [2] * 4, "once for its identity, once"
    assert len(list((cache / "shards").glob("*.tar"))) == 4
    open_tars(f"{server.url}/photos-{{000..003}}.tar")
    assert (len(decoded), server.times("photos-000.tar")) == (20, 3), "only its identity is asked for again"


def test_no_more_lies_on_disk_than_there_is_room_for(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = []
    evict = shard_cache.evict

    def watched(*arguments: object, **settings: object) -> list[Path]:
        removed = evict(*arguments, **settings)
        most.append(bytes_on_shelf(cache))
        return removed

    monkeypatch.setattr(shard_cache, "evict", watched)
    source = open_tars(f"{server.url}/photos-{{000..003}}.tar:disk_gb={SMALL_ROOM}")
    train = source.parts["train"]
    windows = windows_of(train.images)
    assert windows is not None
    assert windows.room == 32_500
    asked = len(most)
    assert asked == 4
    most.clear()
    for index in windows.order(np.random.default_rng(0)):
        train.images.read(int(index))
    assert max(most) <= SMALL_ROOM * 1e9 < windows.sizes.sum()
    assert len(most) <= 4, "an epoch asked for a shard twice"
    assert len(list((cache / "shards").glob("*.tar"))) == 2


def test_a_shard_that_is_larger_than_the_room_is_refused(server: FileServer) -> None:
    with pytest.raises(
        DataError,
        match=r"the shard photos-00\d.tar has more than 1e-06 GB, and only so much of shards may lie on disk. Give",
    ):
        open_tars(f"{server.url}/photos-{{000..003}}.tar:disk_gb=0.000001")


def test_a_full_disk_says_that_fewer_shards_may_lie_there(server: FileServer, cache: Path) -> None:
    with (
        files_of_at_most(2000),
        pytest.raises(FullError, match="ZOO_CACHE. Or give --data a disk_gb smaller than 10: then fewer shards lie"),
    ):
        open_tars(f"{server.url}/photos-{{000..003}}.tar")
    assert not list((cache / "shards").glob("*.tar"))


def test_shards_that_nobody_has_or_gives_are_one_clear_message(server: FileServer) -> None:
    with pytest.raises(HubError, match=r"/other-000.tar: .* answers HTTP 404"):
        open_tars(f"{server.url}/other-{{000..003}}.tar")
    with pytest.raises(HubError, match=r"http://127.0.0.1:9/a.tar: http://127.0.0.1:9 cannot be reached"):
        open_tars("http://127.0.0.1:9/a.tar")


def test_threads_that_ask_for_one_shard_bring_it_once(cache: Path, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    brought = []

    def download_to(path: Path) -> None:
        brought.append(path)
        path.write_bytes(b"x" * 100)

    shard_cache = ShardCache(1000)
    with ThreadPoolExecutor(8) as pool:
        for file in pool.map(lambda _: shard_cache.open("one", "one", download_to), range(32)):
            with file:
                assert file.read() == b"x" * 100
    assert len(brought) == 1


def test_what_a_killed_process_left_goes_and_what_is_coming_stays(cache: Path) -> None:
    shard_cache = ShardCache(1000)
    (cache / "shards").mkdir(parents=True)
    left = cache / "shards" / f".{'a' * 32}.tar.x1.tar"
    left.write_bytes(b"x" * 900)

    def bring_inner(path: Path) -> None:
        path.write_bytes(b"z" * 400)

    def bring_outer(path: Path) -> None:
        path.write_bytes(b"y" * 400)
        with shard_cache.open("inner", "inner", bring_inner) as file:
            assert file.read() == b"z" * 400
        assert path.exists(), "what was just being fetched was taken for a leftover"

    with shard_cache.open("outer", "outer", bring_outer):
        assert not left.exists()
    assert bytes_on_shelf(cache) == 800


def test_the_least_recently_used_shard_goes_first_and_an_open_one_can_be_read_on(cache: Path) -> None:
    shard_cache = ShardCache(250)

    def have(name: str) -> bytes:
        def download_to(path: Path) -> None:
            path.write_bytes(name.encode() * 100)

        with shard_cache.open(name, name, download_to) as file:
            return file.read()

    have("a")
    have("b")
    held = shard_cache.open("b", "b", lambda path: None)
    for path in (cache / "shards").glob("*.tar"):
        os.utime(path, ns=(10**9, 10**9) if path.read_bytes()[:1] == b"a" else (10**6, 10**6))
    have("c")
    assert sorted(path.read_bytes()[:1] for path in (cache / "shards").glob("*.tar")) == [b"a", b"c"]
    with held:
        assert held.read() == b"b" * 100
