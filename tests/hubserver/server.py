"""The test Hub: two HTTP servers on 127.0.0.1, one for the Hub and one for its large files."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from . import reading, writing
from .faults import Fault, Faults
from .listener import Listener
from .store import Commit, Repo, Store, User

HUB_ROUTES = reading.HUB_ROUTES + writing.HUB_ROUTES
CDN_ROUTES = reading.CDN_ROUTES + writing.CDN_ROUTES
Files = Mapping[str, bytes]


class SeenRequest(NamedTuple):
    """A request that arrived. The path has its query; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


class TestHub:
    """A Hub in memory that the real client talks to over HTTP. Use it as a context manager.

    Large are files with one of `lfs_suffixes` and those above `lfs_threshold` bytes. They are served by a
    second server, as the real Hub does it: there the client sends no token. Lists have pages of `page_size`.
    """

    __test__ = False  # not a test class, whatever its name looks like

    def __init__(
        self,
        *,
        lfs_suffixes: tuple[str, ...] = (".safetensors", ".bin", ".pt", ".pth", ".png"),
        lfs_threshold: int = 1 << 20,
        page_size: int = 1000,
    ) -> None:
        self.store = Store(lfs_suffixes, lfs_threshold)
        self.page_size = page_size
        self.stopping = threading.Event()
        self._faults = Faults()
        self._requests: list[SeenRequest] = []
        self._requests_lock = threading.Lock()

    def __enter__(self) -> "TestHub":
        self._hub = Listener(self, HUB_ROUTES)
        self._cdn = Listener(self, CDN_ROUTES)
        self.url = self._hub.url
        self.cdn_url = self._cdn.url
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._hub.stop()
        self._cdn.stop()

    def add_repo(
        self,
        repo_id: str,
        files: Files,
        *,
        revision: str | None = None,
        private: bool = False,
        gated: bool = False,
        tags: Sequence[str] = (),
        card_data: dict[str, Any] | None = None,
        downloads: int = 0,
    ) -> str:
        """Adds a repo with one commit and returns its sha, which is `revision` where that is given.

        A data set's id begins with "datasets/".
        Without `card_data` the card is what the README says; `tags` come on top of the card's own.
        """
        with self.store.lock:
            repo = Repo(repo_id, private, gated, tuple(tags), card_data, downloads)
            self.store.add(repo)
            tree = self.store.files(files).values()
            title, author = "initial commit", repo.namespace
            return self.store.commit(repo, tree, title=title, author=author, parent=None, sha=revision).sha

    def commit(self, repo_id: str, files: Files, *, title: str = "Update", branch: str = "main") -> str:
        """Adds or replaces files, as if somebody else had pushed, and returns the new sha."""
        with self.store.lock:
            repo = self._repo(repo_id)
            parent = repo.at(branch)
            tree = {**parent.files, **self.store.files(files)}.values()
            ref = f"refs/heads/{branch}"
            return self.store.commit(repo, tree, ref=ref, title=title, author="somebody", parent=parent).sha

    def head(self, repo_id: str, rev: str = "main") -> str:
        with self.store.lock:
            return self._repo(repo_id).at(rev).sha

    def commits(self, repo_id: str, rev: str = "main") -> list[Commit]:
        """The commits of a revision, newest first; each has sha, title, message, author and more."""
        with self.store.lock:
            return list(self._repo(repo_id).history(rev))

    def files(self, repo_id: str, rev: str = "main") -> dict[str, bytes]:
        with self.store.lock:
            return {path: file.data for path, file in self._repo(repo_id).at(rev).files.items()}

    def add_token(self, token: str, *, user: str, orgs: Sequence[str] = (), role: str = "write") -> None:
        """Makes a token known; with the role 'read' it may not write, not even to its user's own repos."""
        with self.store.lock:
            self.store.users[token] = User(user, tuple(orgs), role)

    def fault(
        self,
        method: str = "",
        path: str = "",
        times: int | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str | None] | None = None,
        delay: float = 0.0,
        cut_after: int | None = None,
        drip: int | None = None,
        drip_head: int | None = None,
        rewrite: Callable[[bytes], bytes] | None = None,
        endless: bool = False,
        flip_byte: int | None = None,
        wrong_length: int = 0,
        drop_answer: bool = False,
    ) -> Fault:
        """Switches a fault on and returns it. Fault says what the arguments mean."""
        fault = Fault(
            method,
            path,
            times,
            status=status,
            headers=headers or {},
            delay=delay,
            cut_after=cut_after,
            drip=drip,
            drip_head=drip_head,
            rewrite=rewrite,
            endless=endless,
            flip_byte=flip_byte,
            wrong_length=wrong_length,
            drop_answer=drop_answer,
        )
        self._faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        self._faults.clear()

    @property
    def requests(self) -> list[SeenRequest]:
        """All requests so far, to both servers, in the order in which they arrived."""
        with self._requests_lock:
            return list(self._requests)

    def receive(self, method: str, target: str, headers: Mapping[str, str]) -> Fault:
        """Notes a request and returns the fault that strikes it."""
        with self._requests_lock:
            self._requests.append(SeenRequest(method, target, headers))
        return self._faults.strike(method, target)

    def _repo(self, repo_id: str) -> Repo:
        if repo_id not in self.store.repos:
            raise KeyError(f"The test Hub has no repo {repo_id!r}")
        return self.store.repos[repo_id]
