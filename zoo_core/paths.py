"""Where things are kept, and how files come into being: aside first, then renamed, never half."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo_core.errors import ZooError


def cache_dir() -> Path:
    """The user's cache folder for zoo; the environment variable `ZOO_CACHE` overrides it."""
    override = os.environ.get("ZOO_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("zoo")


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; when the block ends well it takes the target's name, else it goes.

    What stands under the final name is complete at any moment: it is synced to disk before it is renamed.
    Raises ZooError when the file cannot be written.
    """
    import tempfile

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(data: object) -> str:
    """Indented JSON that every file and terminal can take: what is no Unicode, as in odd file names, is escaped."""
    import json

    text = json.dumps(data, indent=2, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


def sha256_of(path: Path, *, progress: Callable[[int], None] | None = None) -> str:
    """The sha256 of a file's bytes as 64 hex digits."""
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            if progress:
                progress(len(block))
    return digest.hexdigest()


def _unwritable(target: Path, error: OSError) -> ZooError:
    return ZooError(f"{target} could not be written: {error.strerror or error}. Free space or choose another place.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
