"""What a hostile Hub may serve: names that lead out of the cache, files that are not what they are called, configs.

Row 38, hostile etags and commits: seen to fail without the check of either header, and without that of a commit.
"""

from __future__ import annotations

import json
import pickle
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from helpers import make_photos
from hub.support import BODY, LARGE, REPO, SMALL, WEIGHTS, Caches, published_weights
from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.errors import HubError, UsageError, WeightsError, ZooError
from zoo_core.evaluation import evaluate_run
from zoo_core.hubclient.pull import pull
from zoo_core.settings import FinetuneConfig
from zoo_core.tensors import write_tensors
from zoo_core.weights.resolve import load_backbone, resolve_weights


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


# ---- names


@pytest.mark.parametrize("etag", ['"../../x"', '"/tmp/x"', '"main"', f'"{"A" * 64}"', f'"{"a" * 63}"', '""'])
@pytest.mark.parametrize("file", [LARGE, SMALL])
def test_a_hostile_etag_is_refused_before_anything_is_written(
    hub: TestHub, caches: Caches, tmp_path: Path, file: str, etag: str
) -> None:
    """Without the check a file named 'x' stood outside the repository's folder; for small files, it once did."""
    headers = {"X-Linked-Etag": etag, "ETag": etag}
    hub.fault(
        "HEAD", headers=headers if file == LARGE else {"ETag": etag}, path="/resolve" if file == LARGE else "cache"
    )
    with pytest.raises(HubError, match="answers with a malformed ETag header. Do not trust that server."):
        pull(REPO, [file])
    assert everything_below(tmp_path) == set()


@pytest.mark.parametrize("commit", ["../../../outside", "main", "A" * 40, "a" * 39, "a" * 64])
@pytest.mark.parametrize("file", [LARGE, SMALL])
def test_a_hostile_commit_of_a_file_is_refused_before_anything_is_written(
    hub: TestHub, caches: Caches, tmp_path: Path, file: str, commit: str
) -> None:
    """Without the check the client made folders under the name, or complained of a pointer path."""
    hub.fault("HEAD", headers={"X-Repo-Commit": commit})
    with pytest.raises(HubError, match="answers with a malformed X-Repo-Commit header. Do not trust that server."):
        pull(REPO, [file])
    assert everything_below(tmp_path) == set()


def test_a_hostile_commit_on_a_file_that_is_missing_is_refused_too(
    hub: TestHub, caches: Caches, tmp_path: Path
) -> None:
    """With a check of good answers only, the client wrote a note of the missing file outside its cache."""
    hub.fault("HEAD", status=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "../../../outside"})
    with pytest.raises(HubError, match="malformed X-Repo-Commit"):
        pull(REPO, [LARGE])
    assert everything_below(tmp_path) == set()


@pytest.mark.parametrize("sha", ["../../../outside", "main", "", "A" * 40, "a" * 39])
def test_a_hostile_commit_of_a_repository_is_refused_before_anything_is_written(
    hub: TestHub, caches: Caches, tmp_path: Path, sha: str
) -> None:
    """Without the check the name went into addresses and, as the branch's commit, into the cache."""
    hub.store.repos[REPO].refs["refs/heads/main"] = sha
    commit = next(iter(hub.store.repos[REPO].commits.values()))
    hub.store.repos[REPO].commits = {sha: type(commit)(**{**vars(commit), "sha": sha})}
    with pytest.raises(HubError, match="the Hub names a commit that cannot be right. Do not trust http://"):
        pull(REPO, [LARGE])
    assert everything_below(tmp_path) == set()


def test_another_commit_than_the_pinned_one_is_refused(hub: TestHub, caches: Caches) -> None:
    """Without the comparison the files of the other commit were taken."""
    first = hub.head(REPO)
    second = hub.commit(REPO, {SMALL: b"{}"})
    hub.store.repos[REPO].commits[first] = hub.store.repos[REPO].commits[second]
    with pytest.raises(HubError, match="the Hub names a commit that cannot be right"):
        pull(REPO, [SMALL], revision=first)
    assert caches.files() == []


@pytest.mark.parametrize("answer", [[], {}, {"sha": 7}, {"sha": "a" * 40, "siblings": [{"rfilename": ["x"]}]}, None])
def test_an_answer_of_another_shape_is_an_error_and_no_traceback(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Without the explanation the client's KeyError or TypeError came through."""
    from hubserver import faults

    given = faults.json_answer
    monkeypatch.setattr(faults, "json_answer", lambda value, status: given(answer, status))
    hub.fault("GET", "/api/models", status=200)
    with pytest.raises(HubError):
        pull(REPO, [LARGE])


@pytest.mark.parametrize("file", [LARGE, SMALL])
def test_a_file_without_a_hash_is_not_taken(hub: TestHub, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Before, a small file whose hash the Hub does not name was taken without any check."""
    from hubserver import reading

    monkeypatch.setattr(reading, "sibling", lambda file: {"rfilename": file.path, "size": len(file.data)})
    with pytest.raises(HubError, match=f"the Hub names no hash of {file}. Do not trust http://"):
        pull(REPO, [file])


def test_a_location_on_another_server_gets_no_token_and_its_bytes_are_checked(
    hub: TestHub, caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of the bytes the other server's were in the cache."""
    monkeypatch.setenv("HF_TOKEN", "hf_acme")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    hub.add_token("hf_acme", user="acme")
    hostile = WEIGHTS[:-1] + b"\7"
    with TestHub() as thief:
        thief.add_repo(REPO, {LARGE: hostile})
        sha256 = next(iter(thief.store.repos[REPO].lfs_objects))
        hub.fault("HEAD", headers={"Location": f"{thief.cdn_url}{BODY}{REPO}/{sha256}"})
        with pytest.raises(HubError, match="its bytes are not those that the Hub states"):
            pull(REPO, [LARGE])
        assert [seen.headers.get("authorization") for seen in thief.requests] == [None, None]
        assert "Bearer hf_acme" in {seen.headers.get("authorization") for seen in hub.requests}
        assert caches.files() == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "//", "http://["])
def test_a_location_that_is_none_is_an_error(hub: TestHub, caches: Caches, naps: list[float], location: str) -> None:
    hub.fault("HEAD", headers={"Location": location})
    with pytest.raises(HubError) as caught:
        pull(REPO, [LARGE])
    assert "\n" not in str(caught.value)
    assert caches.files() == []


# ---- weights


class Code:
    """A pickle of this writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


def header_of_tensors(count: int) -> bytes:
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = ("{" + ",".join(entry % number for number in range(count)) + "}").encode()
    return struct.pack("<Q", len(text)) + text


def bad_weights(tmp_path: Path) -> dict[str, tuple[bytes, str]]:
    torch.save({"a": torch.zeros(2)}, tmp_path / "zip.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    return {
        "a zip of pickles": ((tmp_path / "zip.pth").read_bytes(), "is a pickle"),
        "a pickle of an old torch": ((tmp_path / "old.pth").read_bytes(), "is a pickle"),
        "a pickle with code": (pickle.dumps(Code(tmp_path / "ran")), "is a pickle"),
        "a pickle of protocol 0": (pickle.dumps(Code(tmp_path / "ran"), protocol=0), "the header claims"),
        "truncated": (WEIGHTS[:-100], "should hold 20000 bytes of tensors and holds 19900"),
        "a truncated header": (WEIGHTS[:20], "ends in the middle of its header"),
        "a lying header": (WEIGHTS[:8] + WEIGHTS[8:].replace(b"[0,20000]", b"[0,90000]"), "is truncated or damaged"),
        "a huge header": (struct.pack("<Q", 2**40) + b"{}", "the header claims 1099511627776 bytes"),
        "300,000 empty tensors": (header_of_tensors(300_000), "the header claims 1"),
        "100,000 empty tensors": (header_of_tensors(100_000), "names more than 50000 tensors"),
        "empty": (b"", "too short"),
    }


KINDS = [
    "a zip of pickles",
    "a pickle of an old torch",
    "a pickle with code",
    "a pickle of protocol 0",
    "truncated",
    "a truncated header",
    "a lying header",
    "a huge header",
    "300,000 empty tensors",
    "100,000 empty tensors",
    "empty",
]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_a_hub_that_are_none_are_refused_by_name_and_at_once(
    hub: TestHub, catalog: Catalog, tmp_path: Path, kind: str
) -> None:
    """Without the cap on tensors, 300,000 took seconds; without the look at first bytes, a pickle was 'a huge header'."""
    content, message = bad_weights(tmp_path)[kind]
    hub.add_repo("acme/bad", {LARGE: content})
    choice = catalog.backbone("lenet5")
    started = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        load_backbone(choice, resolve_weights(choice, "hf:acme/bad"))
    assert time.monotonic() - started < 2
    assert message in str(caught.value)
    assert LARGE in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_weights_of_a_hub_that_do_not_fit_are_refused_with_a_list(
    hub: TestHub, catalog: Catalog, tmp_path: Path
) -> None:
    """Without the comparison torch's own error came, or with strict=False nothing at all."""
    tensors = published_weights(catalog, "lenet5")
    tensors["c1.conv.bias"] = torch.zeros(7)
    tensors["extra.weight"] = torch.zeros(1)
    del tensors["c3.conv.weight"]
    write_tensors(tmp_path / LARGE, tensors)
    hub.add_repo("acme/other", {LARGE: (tmp_path / LARGE).read_bytes()})
    choice = catalog.backbone("lenet5")
    with pytest.raises(WeightsError) as caught:
        load_backbone(choice, resolve_weights(choice, "hf:acme/other"))
    for part in (
        "missing: c3.conv.weight",
        "not expected: extra.weight",
        "other shape: c1.conv.bias is (7,) and should be (6,)",
    ):
        assert part in str(caught.value)


# ---- configs

GOOD_RUN: dict[str, Any] = {
    "format": "zoo-run",
    "version": 1,
    "created": "2026-01-01T00:00:00+00:00",
    "zoo_core": "1",
    "torch": "2",
    "config": {"backbone": "lenet5"},
    "backbone": {"name": "lenet5", "distribution": "zoo-lenet", "version": "1"},
    "head": {"name": "linear", "distribution": "zoo-core", "version": "1"},
    "strategy": {"name": "full", "distribution": "zoo-core", "version": "1"},
    "start": None,
    "classes": ["a", "b"],
    "preprocessing": {"size": 32, "crop": 1.0, "interpolation": "bilinear", "mean": [0.5], "std": [0.5]},
    "data": {"title": "t", "images": {}, "digests": {}, "split": {}},
    "plan": {"stages": ["s"], "phases": [{"epochs": 1, "rules": [{"lr": 0}, {"lr": 1.0}]}]},
}


def changed(key: str, **values: Any) -> bytes:
    return json.dumps({**GOOD_RUN, key: {**GOOD_RUN[key], **values}}).encode()


HOSTILE = {
    "depth": (b"[" * 100_000, "cannot be read"),
    "depth in a field": (b'{"format": "zoo-run", "version": 1, "config": ' + b'{"a":' * 100_000, "cannot be read"),
    "no JSON": (b"{", "cannot be read"),
    "no text": (b"\xff\xfe\x00", "cannot be read"),
    "empty": (b"", "cannot be read"),
    "a list": (b"[]", "is not a zoo model"),
    "of another program": (b'{"architectures": ["x"], "auto_map": {"AutoModel": "evil.py"}}', "is not a zoo model"),
    "code as a backbone": (changed("backbone", name="os:system"), "os"),
    "code as a distribution": (changed("backbone", distribution="os"), "from os, which is not installed"),
    "code as a head": (changed("head", name="posix.system:x=1", distribution="zoo-core"), "posix.system"),
    "code as an option": (changed("head", name="linear:dropout=__import__('os')"), "dropout"),
    "an unknown field": (changed("backbone", build="os:system"), "'build' is not known"),
    "an unknown setting": (changed("config", run="os.system"), "does not fit the shape"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_config_of_a_published_model_is_refused(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """With 'build' of the config resolved, or without the caps and the schema, these imported, ran or broke."""
    config, message = HOSTILE[kind]
    hub.add_repo("acme/hostile", {SMALL: config, LARGE: WEIGHTS})
    monkeypatch.setattr("os.system", lambda command: pytest.fail("it ran"))
    started = time.monotonic()
    with pytest.raises(ZooError) as caught:
        zoo_core.load("acme/hostile")
    assert time.monotonic() - started < 5
    assert message in str(caught.value)


def test_a_config_that_is_too_large_is_refused_before_it_is_fetched(hub: TestHub, caches: Caches) -> None:
    """Without the look at the size, a config of any length was downloaded first."""
    hub.add_repo("acme/large", {SMALL: b" " * (8 * 2**20 + 1), LARGE: WEIGHTS})
    with pytest.raises(HubError, match="config.json is larger than 8 MiB; zoo does not fetch that"):
        zoo_core.load("acme/large")
    assert not [seen for seen in hub.requests if seen.method == "HEAD"]
    assert caches.files() == []


def test_a_config_of_a_gigabyte_on_the_disk_is_refused_unread(tmp_path: Path) -> None:
    """Without the cap this took gigabytes of memory and many seconds."""
    (tmp_path / LARGE).write_bytes(WEIGHTS)
    with (tmp_path / SMALL).open("wb") as file:
        file.truncate(2**30)  # a sparse file: nothing is written
    tracemalloc.start()
    try:
        with pytest.raises(ZooError, match="config.json is larger than 8 MiB; zoo does not read that"):
            zoo_core.load(tmp_path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**28


def test_a_good_config_is_what_the_hostile_ones_are_made_of(hub: TestHub, catalog: Catalog, tmp_path: Path) -> None:
    """So that each of them is refused for what is wrong with it, and not for something else."""
    base = {
        key: value for key, value in published_weights(catalog, "lenet5").items() if key.startswith(("c1", "c3", "c5"))
    }
    head = {"head.output.weight": torch.zeros(2, 120), "head.output.bias": torch.zeros(2)}
    write_tensors(tmp_path / LARGE, {**base, **head})
    hub.add_repo("acme/good", {SMALL: json.dumps(GOOD_RUN).encode(), LARGE: (tmp_path / LARGE).read_bytes()})
    predictor = zoo_core.load("acme/good", device="cpu")
    assert (predictor.title, predictor.classes) == ("acme/good", ("a", "b"))


@pytest.mark.parametrize("data", ["wds:{url}/internal/x.tar", "wds:x.tar:val={url}/y.tar", "hf:acme/photos"])
def test_the_addresses_of_a_strangers_config_are_not_asked(
    hub: TestHub, catalog: Catalog, tmp_path: Path, data: str
) -> None:
    """Without the refusal `zoo evaluate OWNER/NAME` sent three requests to an address of the stranger's choice."""
    config = FinetuneConfig(
        backbone="lenet5", data=str(make_photos(tmp_path / "photos")), epochs=1, out=str(tmp_path / "run")
    )
    run = zoo_core.finetune(config, catalog=catalog).directory
    facts = json.loads((run / "config.json").read_text())
    facts["config"]["data"] = data.format(url=hub.cdn_url)
    files = {"config.json": json.dumps(facts).encode(), "model.safetensors": (run / "model.safetensors").read_bytes()}
    hub.add_repo("mal/ory", files)
    with pytest.raises(UsageError, match="names data that would be fetched.*--data"):
        evaluate_run("mal/ory", data=None, device="cpu", catalog=catalog)
    assert not [seen.path for seen in hub.requests if "tar" in seen.path or "photos" in seen.path]
