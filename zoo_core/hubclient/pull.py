"""Pulls files of Hub repositories into the Hub's cache: resolved to a commit and verified."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zoo_core.errors import HubError, UnreachableError, UsageError, printable
from zoo_core.hubclient.client import attempt, checked_info, endpoint, guarded_api, offline
from zoo_core.hubclient.guard import COMMIT, SHA256
from zoo_core.paths import MAX_JSON_BYTES, git_object_id, sha256_of, write_text
from zoo_core.spec_checks import is_repository
from zoo_core.verified import remember, unchanged_sha256

NOT_CACHED = "it is not in the cache, and HF_HUB_OFFLINE forbids the network."
MAIN = "main"
FILE = re.compile(r"(?!.*(\.\.|//))[A-Za-z0-9_][\w./-]{0,199}", re.ASCII)
DATA_FILE = re.compile(r"(?!.*(\.\.|//|\\))[^/\x00-\x1f][^\x00-\x1f]{0,499}")
REVISION = re.compile(r"(?!.*(\.\.|//))[A-Za-z0-9][\w./-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class Pulled:
    """A verified file of a repository on this machine."""

    path: Path
    commit: str
    sha256: str


@dataclass(frozen=True)
class _Stated:
    """A stated file: sha256 of a large one, git object id of a small one, size in bytes."""

    sha256: str | None
    git: str
    size: int

    def fits(self, path: Path, actual: str) -> bool:
        if self.sha256 is not None:
            return actual == self.sha256
        return git_object_id(path) == self.git


def cached(repo: str, file: str, revision: str | None) -> Pulled | None:
    """A file of the cache, None where it is missing or its bytes are not the verified ones."""
    from huggingface_hub import try_to_load_from_cache

    if not FILE.fullmatch(file):
        return None
    found = try_to_load_from_cache(repo, file, revision=revision or MAIN)
    if not isinstance(found, str):
        return None
    path = Path(found)
    sha256 = _known_sha256(path)
    return Pulled(path, _commit_of(path, file), sha256) if sha256 else None


def parse_address(text: str) -> tuple[str, str | None]:
    """Split `owner/name` or `owner/name@revision`. Raises UsageError for another form."""
    repo, separator, revision = text.partition("@")
    if not is_repository(repo) or (separator and not REVISION.fullmatch(revision)):
        raise UsageError(f"'{printable(text)}' is not a repository 'owner/name' or 'owner/name@revision'.")
    return repo, revision or None


def pull(
    repo: str,
    files: Sequence[str],
    *,
    optional: Sequence[str] = (),
    revision: str | None = None,
    sha256: str | None = None,
    newest: bool = False,
) -> list[Pulled]:
    """Return files of one commit of a repository from the cache; missing ones are fetched.

    `optional` files are included where the repository has them. Without `revision`, or with a name
    of a branch, the Hub resolves the commit at the first call; later calls use the cache, unless
    `newest` resolves again while the Hub can be reached. `sha256` pins the bytes of the first file.
    The hash of a fetched file is compared with the pinned and the stated one; after a mismatch the
    file is fetched once more and then refused. Raises HubError.
    """
    subject = f"hf:{repo}" + (f"@{revision[:12]}" if revision else "")
    if not is_repository(repo) or not all(FILE.fullmatch(file) for file in (*files, *optional)):
        raise HubError(f"{printable(subject)}: a name of a repository or file is malformed.")
    known = _cached_together(repo, files, optional, revision)
    fixed = revision is not None and COMMIT.fullmatch(revision) is not None
    if known is not None and sha256 not in (None, known[0].sha256):
        if fixed or offline():
            raise HubError(
                f"{subject}: the cached {files[0]} has the sha256 {known[0].sha256[:12]}..., not the pinned one."
            )
        known = None
    whole = known is not None and len(known) == len(files) + len(optional)
    if known is not None and (offline() or (whole and (fixed or not newest))):
        return known
    if offline():
        raise HubError(f"{subject}: {NOT_CACHED}")
    try:
        commit, stated = _resolve(repo, files, optional, revision, subject)
    except UnreachableError:
        if known is not None:
            return known
        raise
    if known is not None and known[0].commit == commit and len(known) == len(stated):
        return known
    pinned = stated[files[0]].sha256
    if sha256 is not None and pinned is not None and pinned != sha256:
        raise HubError(f"{subject}: {files[0]} has the sha256 {pinned[:12]}... there, and {sha256[:12]}... is pinned.")
    pulled = [_fetch(repo, file, commit, facts, subject) for file, facts in stated.items()]
    for one in pulled:  # a file that came later under the same name of its content has replaced it
        if (unchanged_sha256(one.path) or sha256_of(one.path)) != one.sha256:
            discard(one.path)
            raise HubError(f"{subject}: the Hub gives two files one hash. Do not trust {endpoint()}.")
    if sha256 is not None and pulled[0].sha256 != sha256:
        raise HubError(
            f"{subject}: {files[0]} has the sha256 {pulled[0].sha256[:12]}..., and {sha256[:12]}... is pinned."
        )
    if revision != commit:
        write_text(_repo_cache(pulled[0].path, files[0]) / "refs" / (revision or MAIN), commit)
    return pulled


def pull_data(repo: str, file: str, info: Any) -> Path:
    """A file of a data set, verified, from the cache or fetched.

    `info` is the Hub's answer about the data set at its commit, with the metadata of files. Raises
    HubError.
    """
    found = cached_data(repo, file, info)
    if found is not None:
        return found
    return _fetch(repo, file, str(info.sha), _stated_in(info, repo, file), f"hf:{repo}", repo_type="dataset").path


def cached_data(repo: str, file: str, info: Any) -> Path | None:
    """A file of a data set in the cache, None where its bytes are not those that the Hub states."""
    from huggingface_hub import try_to_load_from_cache

    stated = _stated_in(info, repo, file)
    found = try_to_load_from_cache(repo, file, revision=str(info.sha), repo_type="dataset")
    sha256 = _known_sha256(Path(found)) if isinstance(found, str) else None
    return Path(str(found)) if sha256 is not None and stated.fits(Path(str(found)), sha256) else None


def _stated_in(info: Any, repo: str, file: str) -> _Stated:
    if not DATA_FILE.fullmatch(file):
        raise HubError(f"hf:{repo}: a name of a file is malformed: {printable(file):.200}")
    siblings = {str(sibling.rfilename): sibling for sibling in info.siblings or () if sibling.rfilename == file}
    return _stated(siblings, file, str(info.sha), f"hf:{repo}")


def _cached_together(
    repo: str, files: Sequence[str], optional: Sequence[str], revision: str | None
) -> list[Pulled] | None:
    """All files from one commit in the cache with its optional ones, None where one is missing."""
    found = [cached(repo, file, revision) for file in files]
    complete = [one for one in found if one is not None]
    if len(complete) != len(files) or len({one.commit for one in complete}) != 1:
        return None
    others = [cached(repo, file, complete[0].commit) for file in optional]
    return complete + [one for one in others if one is not None]


def _resolve(
    repo: str, files: Sequence[str], optional: Sequence[str], revision: str | None, subject: str
) -> tuple[str, dict[str, _Stated]]:
    """The commit of a revision, and the hashes that the Hub states of its files."""
    api = guarded_api()
    info = attempt(subject, lambda: checked_info(api.model_info(repo, revision=revision, files_metadata=True)))
    commit = str(info.sha)
    moved = revision is not None and COMMIT.fullmatch(revision) and commit != revision
    if not COMMIT.fullmatch(commit) or moved:
        raise HubError(f"{subject}: the Hub names a commit that cannot be right. Do not trust {endpoint()}.")
    siblings = {str(sibling.rfilename): sibling for sibling in info.siblings or ()}
    stated = {}
    for file in (*files, *(file for file in optional if file in siblings)):
        stated[file] = _stated(siblings, file, commit, subject)
        if file.endswith(".json") and stated[file].size > MAX_JSON_BYTES:
            raise HubError(f"{subject}: {file} is larger than {MAX_JSON_BYTES // 2**20} MiB; zoo does not fetch that.")
    return commit, stated


def _stated(siblings: Mapping[str, Any], file: str, commit: str, subject: str) -> _Stated:
    """The hash and the size that the Hub states of a file. Raises HubError where they cannot be right."""
    if file not in siblings:
        raise HubError(f"{subject}: the repository has no {printable(file)} at {commit[:8]}.")
    large, git, size = siblings[file].lfs, str(siblings[file].blob_id), siblings[file].size
    if not (SHA256.fullmatch(str(large.sha256)) if large else COMMIT.fullmatch(git)):
        raise HubError(f"{subject}: the Hub names no hash of {printable(file)}. Do not trust {endpoint()}.")
    if not isinstance(size, int) or size < 0:
        raise HubError(f"{subject}: the Hub names no size of {printable(file)}. Do not trust {endpoint()}.")
    return _Stated(large.sha256 if large else None, git, size)


def _fetch(repo: str, file: str, commit: str, stated: _Stated, subject: str, repo_type: str = "model") -> Pulled:
    from huggingface_hub import hf_hub_download

    path = None
    try:
        for force in (False, True):
            download = partial(hf_hub_download, repo, file, revision=commit, force_download=force, repo_type=repo_type)
            path = Path(attempt(subject, download, most=stated.size))
            _remove_orphans(path)
            actual = sha256_of(path)
            if stated.fits(path, actual):
                remember(path, actual)
                return Pulled(path, commit, actual)
            if not path.is_symlink():  # the client replaces the target of a link only
                path.unlink(missing_ok=True)
    except HubError:
        discard(path)
        raise
    discard(path)
    raise HubError(
        f"{subject}: {printable(file)} was fetched twice and its bytes are not those that the Hub states. "
        "Nothing was kept. Try again later, or from another network or mirror."
    )


def discard(path: Path | None) -> None:
    """Remove a file from the cache."""
    if path is not None:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _repo_cache(path: Path, file: str) -> Path:
    """models--owner--name, from .../snapshots/COMMIT/FILE."""
    return path.parents[len(Path(file).parts) + 1]


def _commit_of(path: Path, file: str) -> str:
    return path.parents[len(Path(file).parts) - 1].name


def _remove_orphans(path: Path) -> None:
    """Remove the parts that killed downloads left. A download that still runs holds a lock."""
    from huggingface_hub.utils._fixes import WeakFileLock

    blobs = path.resolve().parent
    locks = blobs.parent.parent / ".locks" / blobs.parent.name
    for orphan in blobs.glob("*.incomplete"):
        try:
            with WeakFileLock(locks / f"{orphan.name.partition('.')[0]}.lock", timeout=0.01):
                orphan.unlink(missing_ok=True)
        except OSError:  # a time-out is one: another process holds the lock
            continue


def _known_sha256(path: Path) -> str | None:
    """The sha256 of a cached file, None where its bytes do not have the hash in its name."""
    known = unchanged_sha256(path)
    if known is not None:
        return known
    blob = path.resolve()
    actual = sha256_of(blob)
    right = actual == blob.name if SHA256.fullmatch(blob.name) else git_object_id(blob) == blob.name
    if right:
        remember(path, actual)
    return actual if right else None
