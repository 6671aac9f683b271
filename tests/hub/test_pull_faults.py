"""Faults of the network, of the Hub and of the disk, one by one, against the local Hub."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants, hf_hub_download

from helpers import files_of_at_most
from hub.support import BODY, CONFIG, LARGE, REPO, SMALL, WEIGHTS, Caches, bodies
from hubserver import TestHub
from zoo_core.errors import HubError, UnreachableError
from zoo_core.hubclient.client import explained
from zoo_core.hubclient.guard import RESUME_STEP
from zoo_core.hubclient.pull import cached, pull

FLIPPED = WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 0xFF])


def refused(*arguments: Any, **settings: Any) -> str:
    """The message of a pull that must fail. It is one line."""
    with pytest.raises(HubError) as caught:
        pull(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- the disk


def test_a_full_disk_ends_a_download_with_one_line_and_leaves_nothing(hub: TestHub, caches: Caches) -> None:
    """Without its own line the message said neither what to do nor which caches there are."""
    with files_of_at_most(10_000):
        message = refused(REPO, [LARGE])
    assert message == f"hf:{REPO}: File too large. Free space, or move the caches with HF_HOME and ZOO_CACHE."
    assert caches.files() == []
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_space_is_said_so(code: int) -> None:
    error = explained("hf:a/b", OSError(code, os.strerror(code)), "http://hub")
    assert str(error) == f"hf:a/b: {os.strerror(code)}. Free space, or move the caches with HF_HOME and ZOO_CACHE."


PULL = f"""
from zoo_core.hubclient.pull import pull
pull({REPO!r}, [{LARGE!r}])
"""


def test_a_download_that_was_killed_leaves_no_orphan_after_the_next_one(hub: TestHub, caches: Caches) -> None:
    """Without the removal the .incomplete file stayed in the cache for good."""
    content = os.urandom(2 * RESUME_STEP)
    hub.commit(REPO, {LARGE: content})
    slow = hub.fault("GET", BODY, drip=2 * RESUME_STEP)
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(caches.hub.parent), "ZOO_CACHE": str(caches.zoo)}
    process = subprocess.Popen([sys.executable, "-c", PULL], env=env)
    until(lambda: any(path.stat().st_size for path in caches.hub.glob("*/blobs/*.incomplete")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(caches.blobs()) == 1
    hub.clear_faults()
    assert slow.struck == 1
    assert pull(REPO, [LARGE])[0].path.read_bytes() == content
    assert len(caches.blobs()) == 1
    assert not list(caches.hub.rglob("*.incomplete"))


def test_what_another_process_still_downloads_is_no_orphan(hub: TestHub, caches: Caches) -> None:
    """Without the look at the lock the other process lost its file under its hands."""
    from huggingface_hub.utils._fixes import WeakFileLock

    path = pull(REPO, [SMALL])[0].path
    blobs, name = path.resolve().parent, "a" * 64
    running, orphan = blobs / f"{name}.1234abcd.incomplete", blobs / f"{'b' * 64}.1234abcd.incomplete"
    for file in (running, orphan):
        file.write_bytes(b"x")
    with WeakFileLock(caches.hub / ".locks" / blobs.parent.name / f"{name}.lock"):
        pull(REPO, [LARGE])
    assert (running.exists(), orphan.exists()) == (True, False)


def until(happened: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# ---- the bytes


@pytest.mark.parametrize(("file", "path"), [(LARGE, BODY), (SMALL, "/api/resolve-cache/")])
def test_a_flipped_byte_is_found_and_the_file_fetched_once_more(
    hub: TestHub, caches: Caches, file: str, path: str
) -> None:
    """Without the check of the bytes this passed with the flipped byte in the cache."""
    fault = hub.fault("GET", path, times=1, flip_byte=-1)
    pulled = pull(REPO, [file])[0]
    assert fault.struck == 1
    assert pulled.path.read_bytes() == hub.files(REPO)[file]
    assert len(caches.blobs()) == 1


@pytest.mark.parametrize(("file", "path"), [(LARGE, BODY), (SMALL, "/api/resolve-cache/")])
def test_a_byte_that_is_always_flipped_is_refused_and_nothing_is_kept(
    hub: TestHub, caches: Caches, file: str, path: str
) -> None:
    """Without the removal the bad file stayed in the cache, for every program that reads it."""
    hub.fault("GET", path, flip_byte=-1)
    assert "was fetched twice and its bytes are not those that the Hub states. Nothing was kept" in refused(
        REPO, [file]
    )
    assert caches.files() == []
    assert cached(REPO, file, hub.head(REPO)) is None


def test_a_bad_file_is_not_kept_when_the_second_download_fails(hub: TestHub, caches: Caches, naps: list[float]) -> None:
    """Without the removal on the way out the first, bad file stayed."""
    hub.fault("GET", BODY, times=1, flip_byte=-1)
    hub.fault("GET", BODY, status=500)
    assert "answers HTTP 500" in refused(REPO, [LARGE])
    assert caches.files() == []


def test_a_file_is_verified_before_use_though_the_process_that_fetched_it_died_before(
    hub: TestHub, caches: Caches
) -> None:
    """Without the hash of a file that nobody verified yet the flipped byte was used."""
    hub.fault("GET", BODY, times=1, flip_byte=-1)
    left = Path(hf_hub_download(REPO, LARGE, revision=hub.head(REPO)))
    assert left.read_bytes() == FLIPPED
    assert cached(REPO, LARGE, hub.head(REPO)) is None
    assert pull(REPO, [LARGE], revision=hub.head(REPO))[0].path.read_bytes() == WEIGHTS


def test_a_file_that_changed_on_the_disk_is_fetched_again(hub: TestHub) -> None:
    """Without the look at size and time the changed file was used, because it had been verified once."""
    path = pull(REPO, [LARGE])[0].path
    path.resolve().write_bytes(FLIPPED)
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS


def test_a_file_that_changed_on_the_disk_and_whose_time_was_set_back_is_fetched_again(hub: TestHub) -> None:
    """With size and time of change alone the flipped byte was used."""
    blob = pull(REPO, [LARGE])[0].path.resolve()
    facts = blob.stat()
    blob.write_bytes(FLIPPED)
    os.utime(blob, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS


# ---- the link


def test_a_download_that_is_cut_goes_on_where_it_was(hub: TestHub, naps: list[float]) -> None:
    """With the client's own step of 10 MiB it began anew."""
    content = os.urandom(3 * RESUME_STEP)
    hub.commit(REPO, {LARGE: content})
    hub.fault("GET", BODY, times=1, cut_after=2 * RESUME_STEP + 1000)
    assert pull(REPO, [LARGE])[0].path.read_bytes() == content
    asked = [seen.headers.get("range") for seen in hub.requests if BODY in seen.path]
    assert asked == [None, f"bytes={2 * RESUME_STEP}-"]


def test_a_connection_that_is_reset_is_a_cut_like_any_other(
    hub: TestHub, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the translation of the error the download began anew."""
    content = os.urandom(3 * RESUME_STEP)
    hub.commit(REPO, {LARGE: content})
    hub.fault("GET", BODY, times=1, cut_after=2 * RESUME_STEP + 1000)
    real = httpx2._transports.default.ResponseStream.__iter__

    def reset(self: Any) -> Iterator[bytes]:
        try:
            yield from real(self)
        except httpx2.RemoteProtocolError as error:
            raise httpx2.ReadError("[Errno 104] Connection reset by peer") from error

    monkeypatch.setattr(httpx2._transports.default.ResponseStream, "__iter__", reset)
    assert pull(REPO, [LARGE])[0].path.read_bytes() == content
    asked = [seen.headers.get("range") for seen in hub.requests if BODY in seen.path]
    assert asked == [None, f"bytes={2 * RESUME_STEP}-"]


@pytest.mark.parametrize("after", [0, 1000])
def test_a_download_that_is_always_cut_ends_with_an_error(
    hub: TestHub, caches: Caches, naps: list[float], after: int
) -> None:
    """Without the count of requests that came to nothing the body was asked for far more often, once a second."""
    hub.fault("GET", BODY, cut_after=after)
    assert "breaks off in the middle of its answers. Try again later." in refused(REPO, [LARGE])
    assert bodies(hub) == 3
    assert caches.files() == []


@pytest.mark.parametrize("off", [-7, 7])
def test_a_wrong_length_is_an_error_and_leaves_nothing(
    hub: TestHub, caches: Caches, naps: list[float], off: int
) -> None:
    """Without the client's count of bytes it was only the comparison of hashes that refused the shorter one."""
    hub.fault("GET", BODY, wrong_length=off)
    message = refused(REPO, [LARGE])
    assert ("should be of size" if off < 0 else "breaks off") in message
    assert caches.files() == []


def test_a_length_that_the_hub_states_wrongly_everywhere_is_refused(hub: TestHub, caches: Caches) -> None:
    hub.fault("HEAD", headers={"X-Linked-Size": "7"})
    assert "should be of size 7" in refused(REPO, [LARGE])
    assert caches.files() == []


# ---- refusals


def test_each_refusal_is_one_line_with_what_and_what_next(hub: TestHub, caches: Caches) -> None:
    """Without its own line each came as the client's paragraph of links and advice."""
    hub.add_repo("acme/private", {LARGE: WEIGHTS}, private=True)
    hub.add_repo("acme/gated", {LARGE: WEIGHTS}, gated=True)
    login = "`hf auth login`, or the environment variable HF_TOKEN, gives access."
    expected = {
        ("acme/none", LARGE, None): f"hf:acme/none: there is no such repository, or it is private. {login}",
        ("acme/private", LARGE, None): f"hf:acme/private: there is no such repository, or it is private. {login}",
        ("acme/gated", LARGE, None): (
            f"hf:acme/gated: its owner grants access on request. Ask on {hub.url}, then: {login}"
        ),
        (REPO, LARGE, "v9"): f"hf:{REPO}@v9: the repository has no such revision.",
        (REPO, "none.json", None): f"hf:{REPO}: the repository has no none.json at {hub.head(REPO)[:8]}.",
    }
    for (repo, file, revision), message in expected.items():
        assert refused(repo, [file], revision=revision) == message
    assert caches.files() == []


def test_a_bad_token_is_said_to_be_refused_and_a_good_one_opens_what_is_private(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    hub.add_repo("acme/private", {LARGE: WEIGHTS}, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the token was refused (HTTP 401). `hf auth login`" in refused("acme/private", [LARGE])
    hub.add_token("hf_right", user="acme")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert pull("acme/private", [LARGE])[0].path.read_bytes() == WEIGHTS
    assert {seen.headers.get("authorization") for seen in hub.requests if BODY in seen.path} == {None}


@pytest.mark.parametrize(
    ("status", "text"),
    [(401, "the token was refused"), (403, "the token does not allow that"), (404, "there is no such repository")],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/models"), ("HEAD", "/resolve/")])
def test_a_bare_status_is_explained_wherever_it_comes(
    hub: TestHub, naps: list[float], status: int, text: str, method: str, path: str
) -> None:
    """Before, a refused HEAD was said to be a file that the repository has not."""
    fault = hub.fault(method, path, status=status)
    assert text in refused(REPO, [LARGE])
    assert fault.struck == 1


def test_a_refusal_of_the_second_server_is_not_blamed_on_the_token(hub: TestHub) -> None:
    """Without the look at who refused, an expired address was said to be a bad token."""
    hub.fault("GET", BODY, status=403)
    assert refused(REPO, [LARGE]) == f"hf:{REPO}: {hub.cdn_url} answers HTTP 403."


def test_a_second_server_that_is_away_is_named_and_the_hub_is_not_given_up(hub: TestHub, naps: list[float]) -> None:
    """Before, the Hub itself was said to be away, and was not asked again."""
    hub.fault("HEAD", times=1, headers={"Location": "http://127.0.0.1:1/away"})
    assert "http://127.0.0.1:1 does not answer" in refused(REPO, [LARGE])
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS


def test_a_server_that_is_no_hub_is_said_so(hub: TestHub) -> None:
    hub.fault("HEAD", headers={"X-Repo-Commit": None})
    assert "does not answer as it should (FileMetadataError). Is its address right?" in refused(REPO, [LARGE])


# ---- waiting


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/models"), ("HEAD", "/resolve/"), ("GET", BODY)])
@pytest.mark.parametrize("headers", [{"Retry-After": "86400"}, {"RateLimit": '"api";r=0;t=86400'}])
def test_nobody_waits_a_day(
    hub: TestHub, caches: Caches, naps: list[float], method: str, path: str, headers: dict[str, str]
) -> None:
    """Without the cap the client slept for 86401 seconds."""
    hub.fault(method, path, status=429, headers=headers)
    assert "asks to wait 86400 seconds (HTTP 429). Try again later." in refused(REPO, [LARGE])
    assert naps == []
    assert caches.files() == []


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [("GET", "/api/models", 1), ("HEAD", "/resolve/", 2), ("GET", BODY, 1)],  # the client's first HEAD never waits
)
def test_a_short_wait_is_granted(hub: TestHub, naps: list[float], method: str, path: str, times: int) -> None:
    """Without the look at the header the question for the commit was repeated after half a second."""
    hub.fault(method, path, times=times, status=429, headers={"Retry-After": "3"})
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS
    assert 3 <= sum(naps) <= 4


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/models"), ("HEAD", "/resolve/"), ("GET", BODY)])
def test_a_server_error_that_passes_does_not_matter(
    hub: TestHub, naps: list[float], method: str, path: str, status: int, times: int
) -> None:
    """Without further attempts the client gave up at the first bad answer to a question or a GET."""
    fault = hub.fault(method, path, times=times, status=status)
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS
    assert fault.struck == times
    assert sum(naps) < 10


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/models"), ("HEAD", "/resolve/"), ("GET", BODY)])
def test_a_server_error_that_stays_is_an_error_after_three_attempts(
    hub: TestHub, caches: Caches, naps: list[float], method: str, path: str
) -> None:
    """Without the count the HEAD was asked for far more often, by the client and by us in turns."""
    fault = hub.fault(method, path, status=503)
    assert refused(REPO, [LARGE]).endswith("answers HTTP 503. Try again later.")
    assert fault.struck == 3
    assert sum(naps) < 10
    assert caches.files() == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/models"), ("HEAD", "/resolve/"), ("GET", BODY)])
def test_a_server_that_does_not_answer_is_given_up_within_a_deadline(
    hub: TestHub, caches: Caches, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """Without a time-out this never ended; without the count a HEAD took many times the silence allowed."""
    monkeypatch.setenv("ZOO_HUB_TIMEOUT", "0.3")
    fault = hub.fault(method, path, delay=60)
    started = time.monotonic()
    assert "does not answer. Try again later." in refused(REPO, [LARGE])
    assert time.monotonic() - started < 9
    assert fault.struck == 3
    assert caches.files() == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/models"), ("GET", BODY)])
def test_a_server_that_trickles_is_given_up_within_a_deadline(
    hub: TestHub, caches: Caches, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """Without the floor under the speed 100 bytes a second went on for as long as the file is."""
    monkeypatch.setenv("ZOO_HUB_TIMEOUT", "0.5")
    hub.fault(method, path, drip=100)
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="sends [0-9]+ bytes a second. Try again later."):
        pull(REPO, [LARGE])
    assert time.monotonic() - started < 3
    assert caches.files() == []


def test_a_time_out_that_is_no_number_is_refused(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_HUB_TIMEOUT", "soon")
    assert "ZOO_HUB_TIMEOUT must be a number of seconds, above 0 and at most 3600, got 'soon'." in refused(
        REPO, [LARGE]
    )


def test_small_files_survive_the_same_faults(hub: TestHub, naps: list[float]) -> None:
    hub.fault("GET", "/api/resolve-cache/", times=1, cut_after=3)
    hub.fault("GET", "/api/resolve-cache/", times=1, status=500)
    assert pull(REPO, [SMALL])[0].path.read_bytes() == CONFIG


def test_a_file_that_comes_under_the_hash_of_an_earlier_one_does_not_replace_it(hub: TestHub, caches: Caches) -> None:
    """Seen to fail: the weights lay under the name of the config, which had been checked before."""
    config, _ = pull(REPO, [SMALL, LARGE])
    etag = config.path.resolve().name
    for one in caches.hub.glob("models--*"):
        one.rename(caches.hub.parent / "before")
    hub.fault("", LARGE, headers={"X-Linked-Etag": f'"{etag}"', "ETag": f'"{etag}"'})
    assert "the Hub gives two files one hash. Do not trust" in refused(REPO, [SMALL, LARGE])


def test_a_disk_that_is_almost_full_is_no_warning_of_python(
    hub: TestHub, caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: Python's UserWarning, with a line of code, stood above zoo's own message."""
    monkeypatch.setattr("huggingface_hub.file_download.shutil.disk_usage", lambda path: SimpleNamespace(free=1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pull(REPO, [LARGE])
    assert not caught
