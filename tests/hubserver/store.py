"""The Hub's memory: users and tokens, repositories, their commits, refs and large files."""

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from .answers import HubError
from .cards import read_card, tags_of

MAIN = "refs/heads/main"
FIRST_DATE = datetime.fromisoformat("2024-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class User:
    """Who a token stands for. Its role is 'read' or 'write'."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"

    def belongs_to(self, namespace: str) -> bool:
        return namespace in (self.name, *self.orgs)


@dataclass(frozen=True)
class StoredFile:
    """One file of a commit, with the ids that git and LFS give it."""

    path: str
    data: bytes
    is_lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """The text that git keeps in place of a large file."""
        version = "version https://git-lfs.github.com/spec/v1"
        return f"{version}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def blob_id(self) -> str:
        """The sha1 that git gives this file, or its pointer where it is large."""
        return git_blob_id(self.pointer if self.is_lfs else self.data)

    @property
    def etag(self) -> str:
        """What the client calls the file in its cache."""
        return self.sha256 if self.is_lfs else self.blob_id


@dataclass(frozen=True)
class Commit:
    """A commit and all the files that it holds."""

    sha: str
    title: str
    message: str
    author: str
    date: str
    parent: str | None
    files: Mapping[str, StoredFile]


@dataclass
class Repo:
    """A repository: facts that the Hub keeps about it, commits by sha, refs by full name.

    The id of a data set begins with "datasets/", that of a Space with "spaces/", that of a model with its owner.
    """

    id: str
    private: bool = False
    gated: bool = False
    tags: tuple[str, ...] = ()
    card_data: dict[str, Any] | None = None
    downloads: int = 0
    created: str = ""
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    lfs_objects: dict[str, bytes] = field(default_factory=dict)
    awaited_uploads: set[str] = field(default_factory=set)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[-2]

    @property
    def is_model(self) -> bool:
        return not self.id.startswith(("datasets/", "spaces/"))

    def ref_named(self, revision: str) -> str | None:
        """Returns the full name of a branch, tag or pull request, None if there is none."""
        candidates = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        return next((name for name in candidates if name in self.refs), None)

    def at(self, revision: str) -> Commit:
        """Returns the commit that a branch, a tag, a pull request or a sha names."""
        ref = self.ref_named(revision)
        sha = self.refs[ref] if ref else revision
        if sha not in self.commits:
            raise HubError(404, "Invalid rev id", "RevisionNotFound")
        return self.commits[sha]

    def history(self, revision: str) -> Iterator[Commit]:
        """Yields the commits that lead to a revision, newest first."""
        commit = self.at(revision)
        yield commit
        while commit.parent is not None:
            commit = self.commits[commit.parent]
            yield commit

    def card_at(self, commit: Commit) -> dict[str, Any]:
        """Returns the card data given to the repo, else the README's, {} where that is broken."""
        if self.card_data is not None:
            return self.card_data
        readme = commit.files.get("README.md")
        try:
            return read_card(readme.data.decode()) if readme else {}
        except ValueError:
            return {}

    def tags_at(self, commit: Commit) -> list[str]:
        return list(dict.fromkeys([*self.tags, *tags_of(self.card_at(commit))]))


class Store:
    """Everything the Hub knows. Hold `lock` while reading or changing it."""

    def __init__(self, lfs_suffixes: tuple[str, ...], lfs_threshold: int) -> None:
        self.lock = threading.RLock()
        self.repos: dict[str, Repo] = {}
        self.users: dict[str, User] = {}
        self._lfs_suffixes = lfs_suffixes
        self._lfs_threshold = lfs_threshold
        self._commits_made = 0

    def is_lfs(self, path: str, size: int) -> bool:
        """Whether a file of this name and size is kept as a large file; an empty one never is."""
        return size > 0 and (path.endswith(self._lfs_suffixes) or size > self._lfs_threshold)

    def file(self, path: str, data: bytes) -> StoredFile:
        return StoredFile(path, data, self.is_lfs(path, len(data)))

    def files(self, contents: Mapping[str, bytes]) -> dict[str, StoredFile]:
        return {path: self.file(path, data) for path, data in contents.items()}

    def add(self, repo: Repo) -> None:
        """Takes in a repo that has no commit yet."""
        if not re.fullmatch(r"(datasets/|spaces/)?[\w.-]+/[\w.-]+", repo.id):
            raise HubError(400, "Invalid repo name: it must be owner/name")
        if repo.id in self.repos:
            raise HubError(409, "You already created this model repo")
        repo.created = self._now()
        self.repos[repo.id] = repo

    def commit(
        self,
        repo: Repo,
        files: Iterable[StoredFile],
        *,
        ref: str = MAIN,
        title: str,
        message: str = "",
        author: str,
        parent: Commit | None,
        sha: str | None = None,
    ) -> Commit:
        """Records a commit of exactly these files on top of `parent` and moves `ref` to it."""
        self._commits_made += 1
        tree = {file.path: file for file in sorted(files, key=lambda file: file.path)}
        parent_sha = parent.sha if parent else None
        sha = sha or commit_sha(self._commits_made, parent_sha, tree.values())
        commit = Commit(sha, title, message, author, self._now(), parent_sha, tree)
        repo.commits[sha] = commit
        repo.refs[ref] = sha
        repo.lfs_objects |= {file.sha256: file.data for file in tree.values() if file.is_lfs}
        return commit

    def readable(self, repo_id: str, user: User | None) -> Repo:
        """Returns a repo that this user may see; a private repo of others looks like none."""
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and not is_member(user, repo)):
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repo

    def readable_files(self, repo_id: str, user: User | None) -> Repo:
        """Returns a repo whose files this user may load; of a gated one others see the facts only."""
        repo = self.readable(repo_id, user)
        if repo.gated and not is_member(user, repo):
            message = f"Access to model {repo_id} is restricted and you are not in the authorized list."
            raise HubError(403, message, "GatedRepo")
        return repo

    def writable(self, repo_id: str, user: User | None) -> Repo:
        """Returns a repo that this user may change."""
        signed_in(user)
        repo = self.readable(repo_id, user)
        self.check_may_write(repo.namespace, user)
        return repo

    def check_may_write(self, namespace: str, user: User | None) -> None:
        """Raises 401 without a token, 403 for a token that may not write in this namespace."""
        member = signed_in(user)
        if member.role != "write" or not member.belongs_to(namespace):
            raise HubError(403, f"You don't have the rights to write in the namespace {namespace}")

    def _now(self) -> str:
        """A date that moves on by a second with each commit, the same in every run."""
        return (FIRST_DATE + timedelta(seconds=self._commits_made)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def signed_in(user: User | None) -> User:
    if user is None:
        raise HubError(401, "Invalid username or password.")
    return user


def is_member(user: User | None, repo: Repo) -> bool:
    return user is not None and user.belongs_to(repo.namespace)


def git_blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def commit_sha(number: int, parent: str | None, files: Iterable[StoredFile]) -> str:
    """The same commits made in the same order get the same ids in every run."""
    lines = [f"commit {number}", f"parent {parent}", *(f"{file.blob_id} {file.path}" for file in files)]
    return hashlib.sha1("\n".join(lines).encode()).hexdigest()
