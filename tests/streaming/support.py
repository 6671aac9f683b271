"""What the tests of this folder share: the same photos as tar shards, as parquet files and behind addresses."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from zoo_core.data.sources import Source

Photo = tuple[bytes, int]
CLASSES = ("blue", "red")
PER_SHARD = 5


def photos_in(root: Path) -> list[Photo]:
    """The files in a folder of classes with their class, in the order in which zoo lists them."""
    return [
        (path.read_bytes(), label) for label, name in enumerate(CLASSES) for path in sorted((root / name).iterdir())
    ]


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_shards(
    folder: Path, photos: Sequence[Photo], *, per_shard: int = PER_SHARD, classes: Sequence[str] = CLASSES
) -> str:
    """Write photos as WebDataset does, `photos-000.tar` and so on, with their classes.txt; returns the pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-len(photos) // per_shard)
    for number in range(count):
        with tarfile.open(folder / f"photos-{number:03d}.tar", "w") as tar:
            for place in range(number * per_shard, min((number + 1) * per_shard, len(photos))):
                content, label = photos[place]
                add(tar, f"{place:06d}.jpg", content)
                add(tar, f"{place:06d}.cls", str(label).encode())
    if classes:
        (folder / "classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    return f"{folder}/photos-{{000..{count - 1:03d}}}.tar"


def parquet(rows: dict[str, list[Any]], features: dict[str, Any]) -> bytes:
    """Rows as the parquet file that the package `datasets` writes."""
    from datasets import Dataset, Features

    buffer = io.BytesIO()
    Dataset.from_dict(rows, features=Features(features)).to_parquet(buffer)
    return buffer.getvalue()


def parquet_shards(photos: Sequence[Photo], *, split: str = "train", per_shard: int = PER_SHARD) -> dict[str, bytes]:
    """Photos as the files of a data set's repository, with columns `image` and `label`."""
    from datasets import ClassLabel, Image

    count = -(-len(photos) // per_shard)
    files = {}
    for number in range(count):
        chosen = photos[number * per_shard : (number + 1) * per_shard]
        images = [{"bytes": content, "path": None} for content, _ in chosen]
        rows = {"image": images, "label": [label for _, label in chosen]}
        features = {"image": Image(), "label": ClassLabel(names=list(CLASSES))}
        files[f"data/{split}-{number:05d}-of-{count:05d}.parquet"] = parquet(rows, features)
    return files


@dataclass
class FileServer:
    """A folder behind an address; `asked` are the paths of all requests."""

    url: str
    asked: list[str] = field(default_factory=list)

    def times(self, name: str) -> int:
        """How often a file was asked for."""
        return sum(path.endswith(name) for path in self.asked)


@contextmanager
def serving(folder: Path) -> Iterator[FileServer]:
    """Serve a folder on 127.0.0.1, as a plain web server does."""
    seen: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append(self.path)
            try:
                super().do_GET()
            except ConnectionError:  # who only asked for the headers went away
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # several threads knock at once

    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield FileServer(f"http://127.0.0.1:{server.server_address[1]}", seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def content_of(source: Source) -> dict[str, list[tuple[str, int]]]:
    """What two sources of the same images share: the content and the target of each, in order."""
    return {
        name: [(part.images.digest(index).hex(), int(part.targets[index])) for index in range(len(part))]
        for name, part in source.parts.items()
    }
