"""Each fault of the test Hub, and what the real client makes of it."""

import hashlib
import json
import os
import re
import threading
import time
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
)
from huggingface_hub.utils._http import http_backoff

from .faults import Fault
from .server import TestHub

WEIGHTS = bytes(range(256)) * 8
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
REPO = "acme/net"
LARGE, SMALL = "model.safetensors", "config.json"
BODY_OF_LARGE = "/lfs-objects/"
# The client downloads in steps of this size, and resumes at whole steps only.
STEP = 10 * 1024 * 1024


@pytest.fixture
def stocked(hub: TestHub) -> TestHub:
    """A Hub with one repo of one large and one small file."""
    hub.add_repo(REPO, {LARGE: WEIGHTS, SMALL: b'{"depth": 18}'})
    hub.add_token("hf_acme", user="acme")
    return hub


def download(hub: TestHub, cache: Path, name: str = LARGE, *, force: bool = False) -> bytes:
    path = hf_hub_download(REPO, name, endpoint=hub.url, cache_dir=cache, force_download=force)
    return Path(path).read_bytes()


def cached_files(cache: Path) -> list[str]:
    """The names of all blobs in the cache, whole or not."""
    return [blob.name for blob in cache.glob("models--*/blobs/*")]


def commit(hub: TestHub, content: bytes, parent: str, *, delete: str | None = None) -> str:
    api = HfApi(endpoint=hub.url, token="hf_acme")
    operations: list[CommitOperationAdd | CommitOperationDelete] = [CommitOperationAdd(SMALL, content)]
    if delete:
        operations.append(CommitOperationDelete(delete))
    return api.create_commit(REPO, operations, commit_message="Change", parent_commit=parent).oid


def test_a_status_strikes_as_often_as_asked(stocked: TestHub, tmp_path: Path, naps: list[float]) -> None:
    fault = stocked.fault("HEAD", SMALL, times=3, status=503)
    assert download(stocked, tmp_path, SMALL) == b'{"depth": 18}'
    assert fault.struck == 3
    assert naps == [1, 2]  # after the first answer the client does not wait: it looks into its cache


def test_a_model_info_that_fails_is_not_tried_again(stocked: TestHub) -> None:
    fault = stocked.fault("GET", "/api/models", status=500)
    with pytest.raises(HfHubHTTPError, match="a fault struck"):
        HfApi(endpoint=stocked.url).model_info(REPO)
    assert fault.struck == 1
    stocked.clear_faults()
    assert HfApi(endpoint=stocked.url).model_info(REPO).id == REPO


def test_a_status_carries_the_headers_that_make_it_an_error_class(stocked: TestHub, tmp_path: Path) -> None:
    stocked.fault("HEAD", SMALL, status=403, headers={"X-Error-Code": "GatedRepo"})
    with pytest.raises(GatedRepoError):
        download(stocked, tmp_path, SMALL)


def test_the_client_would_wait_a_day_if_retry_after_says_so(
    stocked: TestHub, tmp_path: Path, naps: list[float]
) -> None:
    stocked.fault("GET", BODY_OF_LARGE, times=1, status=429, headers={"Retry-After": "86400"})
    assert download(stocked, tmp_path) == WEIGHTS
    assert naps == [86401]


def test_faults_on_the_same_requests_strike_one_after_the_other(stocked: TestHub) -> None:
    stocked.fault("GET", "/api/models", times=1, status=500)
    stocked.fault("GET", "/api/models", times=2, status=502)
    url = f"{stocked.url}/api/models/{REPO}"
    assert [httpx2.get(url).status_code for _ in range(4)] == [500, 502, 502, 200]


def test_a_delay_outlasts_the_clients_time_out(stocked: TestHub) -> None:
    stocked.fault("HEAD", SMALL, delay=5)
    with pytest.raises(httpx2.ReadTimeout):
        get_hf_file_metadata(hf_hub_url(REPO, SMALL, endpoint=stocked.url), timeout=0.1)


def test_a_hub_stops_at_once_though_answers_are_delayed_or_dripping() -> None:
    before = threading.active_count()
    failures: list[Exception] = []

    def ask(url: str) -> None:
        try:
            httpx2.get(url, timeout=None)
        except httpx2.RemoteProtocolError as error:
            failures.append(error)

    with TestHub() as hub:
        hub.fault("GET", "delayed", delay=60)
        hub.fault("GET", "dripping", drip=1)
        urls = (f"{hub.url}/delayed", f"{hub.url}/dripping")
        askers = [threading.Thread(target=ask, args=(url,)) for url in urls]
        for asker in askers:
            asker.start()
        while len(hub.requests) < len(askers):
            time.sleep(0.01)
        stopping_at = time.monotonic()
    assert time.monotonic() - stopping_at < 1
    for asker in askers:
        asker.join()
    assert len(failures) == 2
    assert threading.active_count() == before


def test_a_cut_download_is_fetched_again_from_the_start_if_it_is_short(
    stocked: TestHub, tmp_path: Path, naps: list[float]
) -> None:
    stocked.fault("GET", BODY_OF_LARGE, times=1, cut_after=1000)
    assert download(stocked, tmp_path) == WEIGHTS
    bodies = [seen.headers.get("range") for seen in stocked.requests if BODY_OF_LARGE in seen.path]
    assert bodies == [None, None]
    assert naps == [1]


def test_a_cut_download_resumes_at_whole_steps(hub: TestHub, tmp_path: Path, naps: list[float]) -> None:
    content = os.urandom(STEP + 5000)
    hub.add_repo(REPO, {LARGE: content})
    hub.fault("GET", BODY_OF_LARGE, times=1, cut_after=STEP + 1000)
    assert download(hub, tmp_path) == content
    bodies = [seen.headers.get("range") for seen in hub.requests if BODY_OF_LARGE in seen.path]
    assert bodies == [None, f"bytes={STEP}-"]


def test_a_download_that_is_always_cut_leaves_nothing_in_the_cache(
    stocked: TestHub, tmp_path: Path, naps: list[float]
) -> None:
    fault = stocked.fault("GET", BODY_OF_LARGE, cut_after=0)
    with pytest.raises(httpx2.RemoteProtocolError):
        download(stocked, tmp_path)
    assert fault.struck == 6
    assert cached_files(tmp_path) == []


def test_a_drip_is_slow_without_ever_reaching_a_read_time_out(stocked: TestHub, tmp_path: Path) -> None:
    stocked.fault("GET", BODY_OF_LARGE, drip=len(WEIGHTS))
    started = time.monotonic()
    answer = httpx2.get(f"{stocked.cdn_url}{BODY_OF_LARGE}{REPO}/{SHA256}", timeout=0.5)
    assert answer.content == WEIGHTS
    assert time.monotonic() - started > 0.9


def test_a_flipped_byte_is_kept_until_a_forced_download(stocked: TestHub, tmp_path: Path) -> None:
    stocked.fault("GET", BODY_OF_LARGE, times=1, flip_byte=100)
    flipped = WEIGHTS[:100] + bytes([WEIGHTS[100] ^ 0xFF]) + WEIGHTS[101:]
    assert download(stocked, tmp_path) == flipped
    assert download(stocked, tmp_path) == flipped
    assert cached_files(tmp_path) == [SHA256] != [hashlib.sha256(flipped).hexdigest()]
    assert download(stocked, tmp_path, force=True) == WEIGHTS


@pytest.mark.parametrize(("off_by", "error"), [(5, httpx2.RemoteProtocolError), (-5, OSError)])
def test_a_wrong_length_of_the_body_leaves_nothing_in_the_cache(
    stocked: TestHub, tmp_path: Path, naps: list[float], off_by: int, error: type[Exception]
) -> None:
    stocked.fault("GET", BODY_OF_LARGE, wrong_length=off_by)
    with pytest.raises(error):
        download(stocked, tmp_path)
    assert cached_files(tmp_path) == []
    stocked.clear_faults()
    assert download(stocked, tmp_path) == WEIGHTS


def test_a_small_file_is_cached_cut_short_if_head_and_body_agree_on_a_wrong_length(
    stocked: TestHub, tmp_path: Path
) -> None:
    stocked.fault(path="/api/resolve-cache/", wrong_length=-5)
    assert download(stocked, tmp_path, SMALL) == b'{"depth"'


def test_a_commit_whose_answer_is_dropped_is_made_once_though_the_client_raises(
    stocked: TestHub,
) -> None:
    parent = stocked.head(REPO)
    stocked.fault("POST", "/commit/main", times=1, drop_answer=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        commit(stocked, b"new", parent)
    made = stocked.head(REPO)
    assert stocked.files(REPO)[SMALL] == b"new"
    # The same additions again are found to be there already. A deletion is not: it meets a false 412.
    assert commit(stocked, b"new", parent) == made
    with pytest.raises(HfHubHTTPError, match="412"):
        commit(stocked, b"new", parent, delete=LARGE)
    assert [commit.sha for commit in stocked.commits(REPO)] == [made, parent]


@pytest.mark.parametrize(("names_parent", "status", "commits"), [(False, 200, 2), (True, 412, 1)])
def test_the_clients_own_retry_after_a_dropped_answer_makes_two_commits_or_a_false_412(
    stocked: TestHub, naps: list[float], names_parent: bool, status: int, commits: int
) -> None:
    header = {"summary": "Change"} | ({"parentCommit": stocked.head(REPO)} if names_parent else {})
    stocked.fault("POST", "/commit/main", times=1, drop_answer=True)
    answer = http_backoff(
        "POST",
        f"{stocked.url}/api/models/{REPO}/commit/main",
        headers={"authorization": "Bearer hf_acme"},
        content=json.dumps({"key": "header", "value": header}).encode(),
    )
    assert answer.status_code == status
    assert [made.title for made in stocked.commits(REPO)] == [*["Change"] * commits, "initial commit"]


def test_a_status_on_a_commit_means_that_nothing_was_committed(stocked: TestHub) -> None:
    head = stocked.head(REPO)
    stocked.fault("POST", "/commit/main", times=1, status=500)
    with pytest.raises(HfHubHTTPError):
        commit(stocked, b"new", head)
    assert stocked.head(REPO) == head
    assert commit(stocked, b"new", head) == stocked.head(REPO)


def test_a_hostile_etag_makes_the_client_write_outside_its_blobs(stocked: TestHub, tmp_path: Path) -> None:
    stocked.fault("HEAD", LARGE, headers={"x-linked-etag": '"../../outside"'})
    cache = tmp_path / "cache"
    download(stocked, cache)
    assert (cache / "outside").read_bytes() == WEIGHTS
    assert cached_files(cache) == []


def test_a_hostile_commit_id_is_refused_with_a_file_but_makes_the_client_write_outside_without_one(
    stocked: TestHub, tmp_path: Path
) -> None:
    stocked.fault("HEAD", headers={"X-Repo-Commit": "../../../outside"})
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match="Invalid pointer path"):
        download(stocked, cache)
    with pytest.raises(RemoteEntryNotFoundError):
        download(stocked, cache, "none.json")
    assert (tmp_path / "outside" / "none.json").exists()


def test_hostile_file_names_and_shas_can_be_served_of_which_a_snapshot_checks_the_sha_too_late(
    hub: TestHub, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    hub.add_repo("acme/name", {"../outside": b"x"})
    with pytest.raises(ValueError, match="Invalid filename"):
        snapshot_download("acme/name", endpoint=hub.url, cache_dir=cache)
    hub.add_repo("acme/sha", {SMALL: b"{}"}, revision="../../../outside")
    with pytest.raises(ValueError, match="Invalid pointer path"):
        snapshot_download("acme/sha", endpoint=hub.url, cache_dir=cache)
    assert (tmp_path / "outside.json").exists()


def test_a_hostile_location_gets_no_token(stocked: TestHub, tmp_path: Path) -> None:
    with TestHub() as thief:
        thief.add_repo(REPO, {"stolen.safetensors": WEIGHTS})
        location = f"{thief.cdn_url}{BODY_OF_LARGE}{REPO}/{SHA256}"
        stocked.fault("HEAD", LARGE, headers={"Location": location})
        hf_hub_download(REPO, LARGE, endpoint=stocked.url, cache_dir=tmp_path, token="hf_acme")
        assert [seen.headers.get("authorization") for seen in thief.requests] == [None]


def test_a_header_can_be_left_out(stocked: TestHub, tmp_path: Path) -> None:
    stocked.fault("HEAD", "/api/resolve-cache/", headers={"X-Repo-Commit": None})
    with pytest.raises(LocalEntryNotFoundError, match="missing the 'X-Repo-Commit' header"):
        download(stocked, tmp_path, SMALL)


def test_a_fault_with_a_broken_pattern_is_refused_when_it_is_made() -> None:
    with pytest.raises(re.error):
        Fault(path="[")
