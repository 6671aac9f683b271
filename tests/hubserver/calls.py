"""A request as the endpoints see it, and the table entry that leads to one."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlencode

from .answers import Answer
from .store import Store, User

Item = TypeVar("Item")
REPO = r"(?P<repo>[^/]+/[^/]+)"
DATASET = r"(?P<repo>datasets/[^/]+/[^/]+)"  # as data sets are named here

SPACE = r"(?P<repo>spaces/[^/]+/[^/]+)"


@dataclass(frozen=True)
class Call:
    """One request, parsed, with the store that answers it. Header names are in lower case."""

    store: Store
    hub_url: str
    cdn_url: str
    page_size: int
    user: User | None
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode())

    def value(self, name: str) -> str:
        """The last value of a query parameter, '' where it is not given."""
        return self.query.get(name, [""])[-1]

    def flag(self, name: str) -> bool:
        return self.value(name).lower() in ("true", "1")

    def page(self, items: Sequence[Item]) -> tuple[Sequence[Item], dict[str, str]]:
        """Returns the page that was asked for, and the Link header that leads to the next one."""
        start = int(self.value("cursor") or 0)
        end = start + min(int(self.value("limit") or self.page_size), self.page_size)
        if end >= len(items):
            return items[start:end], {}
        query = urlencode({**self.query, "cursor": [str(end)]}, doseq=True)
        return items[start:end], {"Link": f'<{self.hub_url}{self.path}?{query}>; rel="next"'}


@dataclass(frozen=True)
class Route:
    """Leads a method and a path to an endpoint; the pattern's groups become its arguments."""

    methods: tuple[str, ...]
    pattern: re.Pattern[str]
    endpoint: Callable[..., Answer]

    def arguments(self, method: str, path: str) -> dict[str, str] | None:
        """Returns the endpoint's arguments, None where the request is not for it."""
        found = self.pattern.fullmatch(path)
        if found is None or method not in self.methods:
            return None
        return {name: unquote(value or "") for name, value in found.groupdict().items()}


def route(methods: str, pattern: str, endpoint: Callable[..., Answer]) -> Route:
    return Route(tuple(methods.split()), re.compile(pattern), endpoint)


def resolved_path(repo_id: str, sha: str, path: str) -> str:
    """The path under which a small file of one commit is served."""
    facts = repo_id if repo_id.startswith(("datasets/", "spaces/")) else f"models/{repo_id}"
    return f"/api/resolve-cache/{facts}/{quote(sha, safe='')}/{quote(path)}"


def lfs_path(repo_id: str, sha256: str) -> str:
    """The path of a large file on the second server."""
    return f"/lfs-objects/{repo_id}/{sha256}"
