"""Tar files of samples."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from pathlib import Path

from fuzz.mutations import damaged_tar
from fuzz.target import Case, expect, fresh, target
from fuzz.targets.images import good_images
from zoo_core.streaming.tars import samples_of

FORMATS = ((tarfile.USTAR_FORMAT, ""), (tarfile.GNU_FORMAT, "x" * 150 + "/"), (tarfile.PAX_FORMAT, "é" * 150 + "/"))


@target("tar shard", weight=3)
def shard(folder: Path) -> Case:
    """A sample has the bytes at its place, and its class those of a file beside it."""

    def check(content: bytes) -> None:
        ignored: Counter[str] = Counter()
        with fresh(folder / "s.tar", content).open("rb") as file:
            for sample in samples_of(file, "s.tar", ignored):
                stored = content[sample.offset : sample.offset + sample.length]
                expect(sample.problem is not None or sample.content == stored, "other bytes than at the sample's place")
                expect(sample.text.encode() in content or "\ufffd" in sample.text, "a class that is not in the file")
                expect(sample.name.startswith("s.tar/"), f"a sample with the name {sample.name!a:.80}")

    return Case(tuple(_tar(kind, prefix) for kind, prefix in FORMATS), check, damaged_tar)


def _tar(kind: int, prefix: str) -> bytes:
    file, png = io.BytesIO(), good_images()["PNG"][3]
    with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
        for number in range(4):
            for ending, data in (("png", png), ("cls", str(number % 2).encode()), ("json", b"{}")):
                member = tarfile.TarInfo(f"{prefix}{number:04d}.{ending}")
                member.size = len(data)
                if kind == tarfile.PAX_FORMAT:
                    member.pax_headers = {"comment": "é", "mtime": "1.5"}
                tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("l.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../../etc/passwd"
        tar.addfile(link)
    return file.getvalue()
