"""Pulling from a Hub that works: what is asked, what is kept, what is written down, and work without a network.

Row 38, hostile addresses and file names: seen to fail without the patterns of names.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx2
import pytest
from huggingface_hub import close_session, constants

from hub.support import BODY, CONFIG, LARGE, REPO, SMALL, WEIGHTS, Caches, bodies, point_to
from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.errors import HubError, UsageError
from zoo_core.hubclient import client as asking
from zoo_core.hubclient.pull import parse_address, pull
from zoo_core.weights.fetch import HubFile, fetch_source
from zoo_core.weights.resolve import resolve_weights

SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def test_a_source_that_is_not_pinned_is_recorded_with_its_commit_and_hash(hub: TestHub, caches: Caches) -> None:
    local = fetch_source(HubFile(repo=REPO))
    assert (local.source, local.revision, local.sha256) == (f"hf:{REPO}", hub.head(REPO), SHA256)
    assert local.path.read_bytes() == WEIGHTS
    assert caches.hub in local.path.parents


def test_large_and_small_files_of_one_commit_come_together_and_the_missing_optional_one_does_not(hub: TestHub) -> None:
    pulled = pull(REPO, [LARGE], optional=[SMALL, "none.json"])
    assert [one.path.read_bytes() for one in pulled] == [WEIGHTS, CONFIG]
    assert {one.commit for one in pulled} == {hub.head(REPO)}


def test_an_optional_file_is_fetched_though_the_weights_were_cached_without_it(hub: TestHub) -> None:
    """Before, the cached commit was taken for all there is, and a published model opened as bare weights."""
    for revision in (None, hub.head(REPO)):
        pull(REPO, [LARGE], revision=revision)
    assert len(pull(REPO, [LARGE], optional=[SMALL], revision=hub.head(REPO))) == 2


def test_what_is_cached_is_not_asked_for_again(hub: TestHub) -> None:
    pull(REPO, [LARGE])
    asked = len(hub.requests)
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS
    assert len(hub.requests) == asked


def test_newest_asks_which_commit_it_is_and_fetches_only_when_that_is_new(hub: TestHub) -> None:
    pull(REPO, [LARGE])
    assert bodies(hub) == 1
    pull(REPO, [LARGE], newest=True)
    assert bodies(hub) == 1
    to_device = hub.commit(REPO, {LARGE: WEIGHTS[:-1] + b"\7"})
    assert pull(REPO, [LARGE])[0].commit != to_device
    assert pull(REPO, [LARGE], newest=True)[0].commit == to_device
    assert bodies(hub) == 2


def test_a_revision_may_be_a_branch_a_tag_or_a_commit(hub: TestHub, caches: Caches) -> None:
    first = hub.head(REPO)
    hub.store.repos[REPO].refs["refs/tags/v1"] = first
    hub.store.repos[REPO].refs["refs/heads/try/this"] = first
    second = hub.commit(REPO, {SMALL: b"{}"})
    found = {revision: pull(REPO, [SMALL], revision=revision)[0].commit for revision in ("main", "v1", "try/this")}
    assert found == {"main": second, "v1": first, "try/this": first}
    assert pull(REPO, [SMALL], revision=first)[0].path.read_bytes() == CONFIG
    assert (caches.hub / "models--acme--net" / "refs" / "try" / "this").read_text() == first


class Moving(TestHub):
    """A Hub on which somebody pushes between the question for the commit and the first question for a file."""

    def receive(self, method: str, target: str, headers: Any) -> Any:
        if method == "HEAD" and len(self.commits(REPO)) == 1:
            self.commit(REPO, {SMALL: b'{"depth": 50}', LARGE: b"other" + WEIGHTS})
        return super().receive(method, target, headers)


def test_a_revision_that_moves_in_mid_run_is_resolved_once(caches: Caches, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the branch in place of the commit in the download, the files were those of the later commit."""
    with Moving() as hub:
        first = hub.add_repo(REPO, {LARGE: WEIGHTS, SMALL: CONFIG})
        point_to(hub.url, monkeypatch)
        pulled = pull(REPO, [LARGE, SMALL])
        assert len(hub.commits(REPO)) == 2
        close_session()
    assert [one.path.read_bytes() for one in pulled] == [WEIGHTS, CONFIG]
    assert {one.commit for one in pulled} == {first}


def test_a_pinned_hash_is_compared_before_anything_is_fetched(hub: TestHub, caches: Caches) -> None:
    """Without the comparison of what the Hub states the body was fetched first."""
    with pytest.raises(HubError, match=f"has the sha256 {SHA256[:12]}... there, and 000000000000... is pinned"):
        pull(REPO, [LARGE], sha256="0" * 64)
    assert bodies(hub) == 0
    assert caches.files() == []
    assert fetch_source(HubFile(repo=REPO, sha256=SHA256)).sha256 == SHA256


def test_a_pinned_hash_holds_for_what_is_cached_too(hub: TestHub) -> None:
    """Without the comparison the cached file was taken although its bytes are not the pinned ones."""
    revision = pull(REPO, [LARGE])[0].commit
    with pytest.raises(HubError, match=f"the cached {LARGE} has the sha256 {SHA256[:12]}..., not the pinned one"):
        pull(REPO, [LARGE], revision=revision, sha256="0" * 64)


def test_a_pinned_hash_that_the_branch_reached_meanwhile_is_fetched(hub: TestHub) -> None:
    """Before, the older file in the cache stood in the way of the pinned one for good."""
    pull(REPO, [LARGE])
    newer = WEIGHTS[:-1] + b"\7"
    hub.commit(REPO, {LARGE: newer})
    pinned = hashlib.sha256(newer).hexdigest()
    assert pull(REPO, [LARGE], sha256=pinned)[0].sha256 == pinned


def test_offline_the_cache_answers_and_what_it_lacks_is_said_in_one_line(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(REPO, [LARGE, SMALL])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.requests)
    assert pull(REPO, [LARGE, SMALL], newest=True)[0].path.read_bytes() == WEIGHTS
    with pytest.raises(HubError) as caught:
        pull("acme/other", [LARGE])
    assert str(caught.value) == "hf:acme/other: it is not in the cache, and HF_HUB_OFFLINE forbids the network."
    assert len(hub.requests) == asked


@pytest.mark.parametrize("status", [None, 503])
def test_a_hub_that_is_down_does_not_matter_to_what_is_cached(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch, naps: list[float], status: int | None
) -> None:
    """With a plain HubError for the 503 the cached model could not be opened."""
    first = pull(REPO, [LARGE], newest=True)
    if status:
        hub.fault(status=status)
    else:
        point_to("http://127.0.0.1:9", monkeypatch)
    assert pull(REPO, [LARGE], newest=True) == first
    with pytest.raises(HubError, match="answers HTTP 503. Try again" if status else "cannot be reached"):
        pull(REPO, [SMALL])


def test_a_server_that_nobody_answers_at_is_left_alone_for_a_minute_and_then_asked_again(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the same process never asked it again: a notebook had to be restarted."""
    with monkeypatch.context() as nobody:
        point_to("http://127.0.0.1:9", nobody)
        with pytest.raises(HubError, match="cannot be reached"):
            pull(REPO, [SMALL])
    left = asking._unreachable.pop("http://127.0.0.1:9") - time.monotonic()
    assert 50 < left <= 60
    asking._unreachable[hub.url] = time.monotonic() + 10
    with pytest.raises(HubError, match="cannot be reached"):
        pull(REPO, [SMALL])
    assert hub.requests == []
    asking._unreachable[hub.url] = time.monotonic()
    assert pull(REPO, [SMALL])[0].path.read_bytes() == CONFIG


def test_without_symbolic_links_a_file_is_verified_by_what_was_written_down_of_it(
    hub: TestHub, caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, any bytes under a name that is no hash were taken for right."""
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda cache_dir=None: False)
    path = pull(REPO, [LARGE])[0].path
    assert not path.is_symlink()
    path.write_bytes(WEIGHTS[:-1] + b"\7")
    assert pull(REPO, [LARGE])[0].path.read_bytes() == WEIGHTS
    assert bodies(hub) == 2


class Recorder(BaseHTTPRequestHandler):
    """A proxy that notes what it is asked for and forwards it to the test Hub, whatever host was named."""

    asked: ClassVar[list[str]] = []
    target = ""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition(".invalid")[2]
        answer = httpx2.request(
            self.command, self.target + path, headers={"Accept-Encoding": "identity"}, trust_env=False
        )
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("server", "date"):
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.content)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None: ...


def test_a_proxy_of_the_environment_is_used(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `trust_env=False` in the client the host, which does not exist, could not be reached."""
    monkeypatch.setattr(Recorder, "target", hub.url)
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as proxy:
        Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}).start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("NO_PROXY", "")
        point_to("http://hub.invalid", monkeypatch)
        try:
            assert pull(REPO, [SMALL])[0].path.read_bytes() == CONFIG
        finally:
            close_session()
            proxy.shutdown()
    assert any(asked.startswith(f"http://hub.invalid/{REPO}/resolve/") for asked in Recorder.asked)


PULL = f"""
from zoo_core.hubclient.pull import pull
print(pull({REPO!r}, [{LARGE!r}])[0].sha256)
"""


def test_six_processes_on_a_cold_cache_all_have_the_file_and_one_fetches_it(hub: TestHub, tmp_path: Path) -> None:
    """With a folder of its own for each process, and so without the lock, the body was fetched six times."""
    hub.fault("GET", BODY, drip=40_000)  # half a second: time for all to knock
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "shared"), "ZOO_CACHE": str(tmp_path / "zoo")}
    running = [start_python(PULL, env) for _ in range(6)]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == [SHA256] * 6
    assert bodies(hub) == 1


def start_python(code: str, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], env={**os.environ, **env}, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    "address",
    [
        "net",
        "acme/../net",
        "../net",
        "acme/net/more",
        "acme/net@",
        "acme/net@../x",
        "acme/net@a//b",
        "/acme/net",
        "acme/net@-x",
        "acme\\net",
        "acme/net\n",
        "acme--x/net",
        "http://evil/net",
    ],
)
def test_a_hostile_address_is_refused_before_anybody_is_asked(hub: TestHub, caches: Caches, address: str) -> None:
    """With a pattern that lets dots or a line's end through, those reached the client."""
    with pytest.raises(UsageError, match="is not a repository 'owner/name'"):
        parse_address(address)
    assert hub.requests == []


@pytest.mark.parametrize("file", ["../x.safetensors", "/x.safetensors", "a//b.json", "a/../../x.json", "x\n.json"])
def test_a_hostile_file_name_is_refused_before_anybody_is_asked(hub: TestHub, caches: Caches, file: str) -> None:
    """Before, the client's own ValueError came through as a traceback."""
    with pytest.raises(HubError, match="a name of a repository or file is malformed"):
        pull(REPO, [file])
    assert hub.requests == []
    assert not caches.hub.exists()


def test_timms_config_in_a_repository_is_used_for_its_weights(hub: TestHub, catalog: Catalog) -> None:
    """Before, the backbone's default was used without a word: bilinear, 0.875, ImageNet's mean."""
    told = {
        "input_size": [3, 160, 160],
        "crop_pct": 0.95,
        "interpolation": "bicubic",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    hub.add_repo("acme/timm", {LARGE: WEIGHTS, SMALL: json.dumps({"pretrained_cfg": told}).encode()})
    start = resolve_weights(catalog.backbone("resnet18"), "hf:acme/timm")
    assert (start.preprocessing.size, start.preprocessing.crop, start.preprocessing.mean) == (160, 0.95, (0.5,) * 3)
