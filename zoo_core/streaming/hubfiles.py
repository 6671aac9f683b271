"""The files of a data set on the Hub: each is proven by the hash that the Hub states before it is
read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.errors import HubError, printable
from zoo_core.hubclient.pull import cached_data, discard, pull_data
from zoo_core.paths import sha256_of
from zoo_core.verified import remember, unchanged_sha256

DESCRIPTIONS = ("README.md", "dataset_infos.json", ".huggingface.yaml")
"""The files from which the package `datasets` takes configs, splits and the types of columns."""
AT_ONCE = 8  # files that are fetched together; a data set may have an image a file


@dataclass(frozen=True)
class HubFiles:
    """The files of the data set `name` at the commit of `info`, the Hub's answer with the metadata
    of files."""

    name: str
    info: Any

    def pull_descriptions(self) -> None:
        """Fetch those files that say how the others are read, so that the package finds proven
        ones."""
        present = {str(sibling.rfilename) for sibling in self.info.siblings or ()}
        for file in DESCRIPTIONS:
            if file in present:
                pull_data(self.name, file, self.info)

    def pull_all(self, addresses: Iterable[str]) -> list[str]:
        """The paths of files on this machine, in order. Raises HubError."""
        with ThreadPoolExecutor(AT_ONCE, "zoo-pull") as pool:
            return [str(path) for path in pool.map(self._pull, addresses)]

    @contextmanager
    def pulled(self, address: str) -> Iterator[Path]:
        """A file on this machine for as long as the block runs; one that was there before stays."""
        before = cached_data(self.name, self._file_of(address), self.info)
        path = before or self._pull(address)
        try:
            yield path
        finally:
            if before is None:
                discard(path)

    def _pull(self, address: str) -> Path:
        return pull_data(self.name, self._file_of(address), self.info)

    def _file_of(self, address: str) -> str:
        """The name of a file in the repository from its address in the package."""
        start = f"hf://datasets/{self.name}@{self.info.sha}/"
        if not address.startswith(start):
            raise HubError(f"hf:{self.name}: the file {printable(address):.200} is not one of the data set's own.")
        return address.removeprefix(start)


def are_proven(folder: Path) -> bool:
    """Whether the tables in a folder are those that zoo has let the package make of proven files."""
    tables = list(folder.glob("*.arrow"))
    return bool(tables) and all(unchanged_sha256(table) is not None for table in tables)


def record_as_proven(folder: Path) -> None:
    for table in folder.glob("*.arrow"):
        remember(table, sha256_of(table))
