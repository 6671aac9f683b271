"""Tar files as WebDataset writes them, whole, damaged and hostile.

Seen to fail without their guards: a header of a gigabyte was asked for in one read, a member of negative size was read
again and again, a link was taken for an image, and a member that ends behind the file gave half an image.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.support import Photo, add
from zoo_core.errors import DataError
from zoo_core.streaming import tars
from zoo_core.streaming.samples import Sample
from zoo_core.streaming.tars import content_at, samples_of, write_tar


def written(path: Path, fill: Callable[[tarfile.TarFile], None], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        fill(tar)
    return path


def holding(path: Path, *files: tuple[str, bytes]) -> Path:
    """A tar file of these files."""

    def fill(tar: tarfile.TarFile) -> None:
        for name, content in files:
            add(tar, name, content)

    return written(path, fill)


def read(path: Path, ignored: Counter[str] | None = None) -> list[Sample]:
    with path.open("rb") as file:
        return list(samples_of(file, path.name, Counter() if ignored is None else ignored))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The 512 bytes before a member, whatever they claim."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def test_files_that_share_a_name_up_to_its_first_dot_are_one_sample(tmp_path: Path, photos: list[Photo]) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        for number, ending in enumerate(("jpg", "JPEG", "png", "webp")):
            add(tar, f"some/folder.v2/{number}.{ending}", photos[number][0])
            add(tar, f"some/folder.v2/{number}.json", b"{}")
            add(tar, f"some/folder.v2/{number}.cls", f" {number}\n".encode())
        add(tar, "no-image.cls", b"7")

    path = written(tmp_path / "a.tar", fill)
    ignored = Counter[str]()
    samples = read(path, ignored)
    assert ignored == {"*.json": 4, "*.cls without an image": 1}
    assert [(sample.name, sample.text) for sample in samples] == [
        (f"a.tar/some/folder.v2/{number}", str(number)) for number in range(4)
    ]
    assert [sample.content for sample in samples] == [photos[number][0] for number in range(4)]
    with path.open("rb") as file:
        assert [content_at(file, one.offset, one.length) for one in samples] == [one.content for one in samples]


@pytest.mark.parametrize("key", ["img_0001.v2", "IMG 2024.05.01 12.30", "cat.0", "some.folder/a.b.c"])
def test_a_name_may_have_dots(tmp_path: Path, key: str) -> None:
    """Reported: such samples were missing without a word."""
    files = [(f"{key}{number}.{ending}", b"1") for number in (3, 4) for ending in ("cls", "jpg")]
    ignored = Counter[str]()
    assert [one.name for one in read(holding(tmp_path / "a.tar", *files), ignored)] == [
        f"a.tar/{key}3",
        f"a.tar/{key}4",
    ]
    assert ignored == {}


@pytest.mark.parametrize("ending", ["bmp", "gif", "tif", "TIFF", "ppm", "jfif", "avif"])
def test_all_endings_of_folders_are_images_in_tar_files(tmp_path: Path, ending: str) -> None:
    """Reported: such samples were missing without a word."""
    assert len(read(holding(tmp_path / "a.tar", (f"a.{ending}", b"x"), ("a.cls", b"0")))) == 1


def test_members_of_no_sample_are_counted_by_their_endings(tmp_path: Path) -> None:
    files = ("a.jpg", "a.cls", "a.mask.png", "a.tif", "a.json", "b.txt", "LICENSE", "c.cls", "d.heif2")
    ignored = Counter[str]()
    (sample,) = read(holding(tmp_path / "a.tar", *((name, b"0") for name in files)), ignored)
    assert sample.name == "a.tar/a"
    assert ignored == {
        "*.mask.png without a .cls": 1,
        "*.tif": 1,
        "*.json": 1,
        "*.txt": 1,
        "without an ending": 1,
        "*.cls without an image": 1,
        "*.heif2": 1,
    }


def test_a_system_without_pread_reads_the_same(
    tmp_path: Path, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reported: AttributeError."""
    names = [f"{number}.{ending}" for number in range(4) for ending in ("jpg", "cls")]
    files = [(name, photos[int(name[0])][0] if name.endswith("jpg") else b"0") for name in names]
    path = holding(tmp_path / "a.tar", *files)
    expected = read(path)
    monkeypatch.setattr(tars, "PREAD", None)
    assert read(path) == expected
    with path.open("rb") as file:
        assert [content_at(file, one.offset, one.length) for one in expected] == [one.content for one in expected]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_and_foreign_names_are_read_in_every_format(tmp_path: Path, format: int) -> None:
    key = "Straße/" + "x" * 90 + "/" + "y" * 80

    def fill(tar: tarfile.TarFile) -> None:
        add(tar, f"{key}.png", b"image")
        add(tar, f"{key}.cls", b"1")

    assert [(one.name, one.content) for one in read(written(tmp_path / "a.tar", fill, format))] == [
        (f"a.tar/{key}", b"image")
    ]


def test_links_devices_and_folders_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")

    def fill(tar: tarfile.TarFile) -> None:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(f"{number}.jpg")
            member.type, member.linkname = kind, str(tmp_path / "secret.txt")
            tar.addfile(member)
            add(tar, f"{number}.cls", b"0")
        folder = tarfile.TarInfo("folder.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        add(tar, "../../../escape.jpg", b"image")
        add(tar, "../../../escape.cls", b"0")

    before = sorted(tmp_path.rglob("*"))
    ignored = Counter[str]()
    assert [one.name for one in read(written(tmp_path / "a.tar", fill), ignored)] == ["a.tar/../../../escape"]
    assert ignored == {"link or special file": 4, "*.cls without an image": 4}
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "a.tar"]), "a name in a shard became a path"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no tar file that can be read"),
        (b"<html>not found</html>" * 100, "is no tar file that can be read"),
        (header("a.jpg", 2**40), "a member that is not all there"),
        (header("a.jpg", 5000) + b"\0" * 1024, "a member that is not all there"),
        (header("a.jpg", -512) + b"\0" * 2048, "a member that is not all there"),
        (header("a", 2**30, tarfile.GNUTYPE_LONGNAME) + b"\0" * 1024, "a header of 1073741824 bytes"),
        (header("a", 2**30, tarfile.XHDTYPE) + b"\0" * 1024, "a header of 1073741824 bytes"),
        ((header("a", 1, tarfile.GNUTYPE_LONGNAME) + b"a".ljust(512, b"\0")) * 5000, "is no tar file that can be read"),
    ],
    ids=["empty", "html", "huge", "cut", "negative", "long name", "pax", "names upon names"],
)
def test_a_damaged_or_hostile_file_is_one_clear_message(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^the shard a.tar cannot be used: .*({told})"):
        read(path)


def test_more_members_than_anybody_packs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "MAX_MEMBERS", 3)
    path = holding(tmp_path / "a.tar", *((f"{number}.txt", b"") for number in range(5)))
    with pytest.raises(DataError, match="it has more than 3 members; make smaller shards"):
        read(path)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.jpg"], "the sample 'a' has an image and no .cls that tells its class"),
        (["a.jpg", "a.png", "a.cls"], "the sample 'a' has two files for its image"),
        (["a.cls", "a.cls", "a.jpg"], "the sample 'a' has two files for its class"),
    ],
)
def test_a_sample_that_is_not_one_image_and_one_class_is_named(tmp_path: Path, names: list[str], told: str) -> None:
    path = holding(tmp_path / "a.tar", *((name, b"0") for name in names))
    with pytest.raises(DataError, match=told):
        read(path)


def test_an_image_beyond_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "MAX_BYTES", 100)
    path = holding(tmp_path / "a.tar", ("a.jpg", b"x" * 101), ("a.cls", b"0"))
    assert [(one.content, one.problem) for one in read(path)] == [
        (b"", "has 101 bytes, more than 100. Make it smaller")
    ]


def test_a_class_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = holding(tmp_path / "a.tar", ("a.jpg", b""), ("a.cls", b"0" * 5000))
    with pytest.raises(DataError, match="the .cls of the sample 'a' has 5,000 bytes"):
        read(path)


def test_what_zoo_writes_itself_is_read_again(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", iter([("0", b"first"), ("0.5 -1", b"")]))
    assert [(one.text, one.content) for one in read(tmp_path / "a.tar")] == [("0", b"first"), ("0.5 -1", b"")]
