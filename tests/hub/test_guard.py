"""The guarded client against a Hub that sends too much, too slowly, or sends zoo elsewhere."""

from __future__ import annotations

import gzip
import json
import time
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, constants

from hub.support import BODY, LARGE, REPO, SMALL, WEIGHTS, Caches
from hubserver import TestHub
from zoo_core.errors import DataError, HubError, UnreachableError
from zoo_core.hub.search import search
from zoo_core.hubclient import guard
from zoo_core.hubclient.client import attempt, guarded_api
from zoo_core.hubclient.pull import pull
from zoo_core.streaming.download import download
from zoo_core.streaming.shard_cache import ShardCache

TOKEN = "hf_alices"


@pytest.fixture
def signed_in(hub: TestHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestHub:
    """The Hub, with a token of alice's in every request that may have one."""
    hub.add_token(TOKEN, user="alice")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    return hub


def tokens_at(hub: TestHub, path: str) -> list[str | None]:
    return [seen.headers.get("authorization") for seen in hub.requests if path in seen.path]


# ---- pages


def test_a_list_without_an_end_is_left(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty page that names itself as the next one was asked for, again and again."""
    monkeypatch.setattr(guard, "MAX_ANSWERS", 10)
    next_page = {"Link": f'<{hub.url}/api/models?cursor=1>; rel="next"'}
    hub.fault("GET", "/api/models", headers=next_page, rewrite=lambda body: b"[]")
    with pytest.raises(HubError, match="has no end of answers. Do not trust that server"):
        search(None, limit=5)
    assert len(hub.requests) == 10


# ---- the token


def test_the_token_does_not_follow_the_next_page_to_another_host(signed_in: TestHub) -> None:
    """Without the comparison of hosts the other server was sent `Bearer hf_alices`."""
    hub = signed_in
    hub.add_repo("acme/one", {"README.md": b"---\ntags: [zoo]\n---\n"})
    hub.fault("GET", "/api/models", headers={"Link": f'<{hub.cdn_url}/elsewhere>; rel="next"'})
    with pytest.raises(HubError):
        search(None, limit=5)
    assert tokens_at(hub, "/elsewhere") == [None]
    assert tokens_at(hub, "/api/models") == [f"Bearer {TOKEN}"]


@pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")  # the client's own upload
def test_the_token_does_not_follow_the_check_of_an_upload_to_another_host(signed_in: TestHub) -> None:
    """Without the comparison of hosts the other server was sent `Bearer hf_alices`."""
    hub = signed_in
    hub.add_repo("alice/net", {"README.md": b""})

    def verified_elsewhere(body: bytes) -> bytes:
        batch = json.loads(body)
        for one in batch["objects"]:
            one["actions"]["verify"] = {"href": f"{hub.cdn_url}/elsewhere"}
        return json.dumps(batch).encode()

    hub.fault("POST", "/info/lfs/objects/batch", rewrite=verified_elsewhere)
    add = CommitOperationAdd(LARGE, WEIGHTS)
    with pytest.raises(HubError):
        attempt("publishing", lambda: guarded_api().create_commit("alice/net", [add], commit_message="net"))
    assert tokens_at(hub, "/elsewhere") == [None]


# ---- time


@pytest.mark.parametrize("path", ["/api/models/", "/resolve/", BODY])
def test_headers_that_drip_are_given_up(
    hub: TestHub, caches: Caches, monkeypatch: pytest.MonkeyPatch, naps: list[float], path: str
) -> None:
    """Without the pace of a whole answer each byte of a header began the time-out anew, for hours."""
    monkeypatch.setenv("ZOO_HUB_TIMEOUT", "0.5")
    hub.fault("", path, drip_head=20)
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match="bytes a second. Try again later."):
        pull(REPO, [LARGE])
    assert time.monotonic() - begun < 5
    assert caches.files() == []


@pytest.mark.parametrize("seconds", ["inf", "nan", "-1", "0", "soon", "1e9"])
def test_a_time_out_that_is_no_number_of_seconds_is_refused(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    """Without the bounds `inf` ended in an OverflowError."""
    monkeypatch.setenv("ZOO_HUB_TIMEOUT", seconds)
    with pytest.raises(HubError, match="ZOO_HUB_TIMEOUT must be a number of seconds"):
        pull(REPO, [LARGE])


# ---- size


def test_an_answer_without_an_end_is_given_up(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an upper size the answer filled the memory."""
    monkeypatch.setattr(guard, "MAX_ANSWER_BYTES", 2**22)
    hub.fault("GET", "/api/models/", endless=True)
    with pytest.raises(HubError, match=f"{hub.url} sends more than the 4,194,304 bytes"):
        pull(REPO, [LARGE])


def test_a_compressed_answer_is_refused_because_its_size_is_unknown(hub: TestHub) -> None:
    """Without the refusal 2 MB of gzip became 4.6 GB of memory."""
    hub.fault("GET", "/api/models/", rewrite=gzip.compress, headers={"Content-Encoding": "gzip"})
    with pytest.raises(HubError, match="compressed answer"):
        pull(REPO, [LARGE])
    assert {seen.headers["accept-encoding"] for seen in hub.requests} == {"identity"}


@pytest.mark.parametrize(("file", "path"), [(LARGE, BODY), (SMALL, "/api/resolve-cache/")])
@pytest.mark.parametrize("stated", [False, True])
def test_a_file_that_is_larger_than_the_hub_states_is_given_up_and_not_kept(
    hub: TestHub, caches: Caches, file: str, path: str, stated: bool
) -> None:
    """Without the upper size a file that was stated as 20 kB was written until the disk was full."""
    if stated:
        hub.fault("GET", path, rewrite=lambda body: body + bytes(2**22))
    else:
        hub.fault("GET", path, endless=True)
    begun = time.monotonic()
    with pytest.raises(HubError, match="sends more than"):
        pull(REPO, [file])
    assert time.monotonic() - begun < 5
    assert caches.files() == []


def test_a_file_whose_size_the_hub_does_not_state_is_not_fetched(hub: TestHub, caches: Caches) -> None:
    """Without a stated size there is no upper one."""

    def sizeless(body: bytes) -> bytes:
        facts = json.loads(body)
        for sibling in facts["siblings"]:
            sibling.pop("size")
            sibling.pop("lfs", None)
        return json.dumps(facts).encode()

    hub.fault("GET", "/api/models/", rewrite=sizeless)
    with pytest.raises(HubError, match="names no size"):
        pull(REPO, [SMALL])
    assert caches.files() == []


def test_a_shard_without_an_end_is_given_up_when_it_has_its_share_of_the_disk(hub: TestHub, caches: Caches) -> None:
    """Without the upper size it was looked at when the whole shard had come, or the disk was full."""
    hub.fault("GET", "/x.tar", status=200, endless=True)
    shards = ShardCache(2**20)
    begun = time.monotonic()
    with pytest.raises(DataError, match="the shard x.tar has more than 0.00105 GB.* larger disk_gb"):
        shards.open("x", "x.tar", partial(download, f"{hub.cdn_url}/x.tar", most=shards.room))
    assert time.monotonic() - begun < 5
    assert not list(shards.folder.glob("*.tar"))
