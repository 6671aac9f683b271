"""The folders of the cache and of the import path, paths as users give them, and files that are
written whole.

Such a file has a temporary name first, and is renamed when all of it is there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zoo_core.errors import UsageError, ZooError, printable, shown

if TYPE_CHECKING:
    from pathlib import Path

MAX_JSON_BYTES = 8 * 2**20
"""The largest JSON file of a run or a repository that zoo reads."""
MAX_METRICS_BYTES = 2 * MAX_JSON_BYTES
"""The same for a run's metrics: 10,000 epochs take 2.5 MB, the figures of 100,000 labels 7.5 MB."""
MAX_METRICS_LINES = 20_000
"""The lines that zoo reads of it: twice as many as there may be epochs."""


def cache_dir() -> Path:
    """The cache folder: the environment variable `ZOO_CACHE`, or the user's cache for zoo."""
    from pathlib import Path

    return Path(cache_folder())


def cache_folder() -> str:
    """The path of `cache_dir` as text: enough for a listing, whose time is mostly imports."""
    override = os.environ.get("ZOO_CACHE")
    if override:
        return os.path.expanduser(override)
    if sys.platform == "linux":  # the whole rule of platformdirs there
        base = os.environ.get("XDG_CACHE_HOME", "").strip()
        return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "zoo")
    from platformdirs import user_cache_dir

    return user_cache_dir("zoo")


def is_utf8(path: Path) -> bool:
    """Whether a path is text; a file name of Linux is any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def user_path(place: str | Path) -> Path:
    """A path that a user gave, `~` and `~NAME` being home folders, as they are to a shell.

    Raises UsageError for a `~NAME` that is neither a user's home nor a file here.
    """
    from pathlib import Path

    text = str(place)
    path = os.path.expanduser(text)
    if text.startswith("~") and path == text and not os.path.lexists(text):
        raise UsageError(
            f"'{shown(text)}' is no file here and no user's home folder. A path in your own home folder begins with '~/'."
        )
    return Path(path)


def import_folders() -> dict[str, int]:
    """The folders on the import path with their modification times."""
    times = {}
    for name in sys.path:
        try:
            times[name or os.getcwd()] = os.stat(name or ".").st_mtime_ns
        except OSError:
            continue
    return times


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `target` when the block ends well, else is removed.

    The file under the final name is complete at every moment: its bytes are synced to disk before
    the rename. Raises ZooError when the file cannot be written.
    """
    temporary = _temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)  # less the umask
        permissions = os.fstat(handle).st_mode & 0o777
        os.close(handle)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield temporary
        temporary.chmod(permissions)  # the block may have put a file of its own there
        sync(temporary)
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(target: Path) -> Path:
    """Another one at each call."""
    import secrets

    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{target.suffix}")


def sync(path: Path) -> None:
    """Return when a file, or what a folder lists, is on the disk. Windows syncs no folder, and a file
    only for one who may write it."""
    is_windows = sys.platform == "win32"
    if is_windows and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_new_file(target: Path, option: str) -> None:
    """Raise UsageError where the file that an option names exists, and ZooError where it cannot be
    made: before the work, not after it."""
    if os.path.lexists(target):
        raise UsageError(f"{printable(str(target))} exists already. Give another {option}, or remove it.")
    check_writable(target, option)


def check_writable(target: Path, option: str) -> None:
    """Raise ZooError unless the nearest folder that exists takes files; `option` is that of another
    place."""
    import tempfile

    folder = next(one for one in target.absolute().parents if os.path.lexists(one))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        _temporary_name(target).exists()  # it may be too long
    except OSError as error:
        raise _unwritable(target, error, f"give another place with {option}") from error


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(data: object) -> str:
    """Indented JSON. Lone surrogates, as in file names that are not UTF-8, are escaped."""
    import json

    text = json.dumps(data, indent=2, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes as 64 hex digits."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_object_id(path: Path) -> str:
    """The sha1 that names a file's bytes in git, as 40 hex digits."""
    import hashlib

    def blob() -> hashlib._Hash:
        return hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)

    with path.open("rb") as file:
        return hashlib.file_digest(file, blob).hexdigest()


def _unwritable(target: Path, error: OSError, place: str = "choose another place") -> ZooError:
    if target.is_relative_to(cache_dir()):
        place = "name another cache folder in the environment variable ZOO_CACHE"
    return ZooError(f"{target} could not be written: {error.strerror or error}. Free space or {place}.")
