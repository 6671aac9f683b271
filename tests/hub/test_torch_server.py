"""Files from torchvision's server, which here is a local one: their hash, their content, and the same faults."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import close_session, constants

from hub.support import Caches, published_weights
from hub.test_pull_faults import files_of_at_most, until
from hubserver import TestHub
from hubserver.answers import Answer
from hubserver.answers import HubError as NotThere
from hubserver.calls import Call, route
from hubserver.listener import Listener
from hubserver.reading import ranged
from zoo_core.catalog import Catalog, Choice, Entry
from zoo_core.errors import HubError, WeightsError
from zoo_core.hubclient import client as asking
from zoo_core.tensors import read_tensors
from zoo_core.weights.fetch import fetch_source
from zoo_core.weights.resolve import load_backbone, load_whole, resolve_weights
from zoo_core.weights_specs import TorchFile

TENSORS = {"weight": torch.arange(5000.0)}


@dataclass
class TorchServer:
    """Serves files in torchvision's way, with the faults of the test Hub."""

    hub: TestHub
    url: str = ""
    served: dict[str, bytes] = field(default_factory=dict)

    def add(self, state: Any, name: str = "net") -> TorchFile:
        """Save a state dict as torchvision does, under its name and the first digits of its hash."""
        content = state if isinstance(state, bytes) else saved(state)
        file = f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        self.served[file] = content
        return TorchFile(file=file)

    def endpoint(self, call: Call, file: str) -> Answer:
        if file not in self.served:
            raise NotThere(404, "Not found")
        return ranged(call, self.served[file], {"ETag": '"0123456789abcdef0123456789abcdef-3"'})

    def bodies(self) -> int:
        return sum("range" not in seen.headers for seen in self.hub.requests)


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def server(caches: Caches, monkeypatch: pytest.MonkeyPatch) -> Iterator[TorchServer]:
    asking._unreachable.clear()
    with TestHub() as hub:
        made = TorchServer(hub)
        listener = Listener(hub, (route("GET HEAD", "/models/(?P<file>[^/]+)", made.endpoint),))
        made.url = f"{listener.url}/models"
        monkeypatch.setenv("ZOO_TORCH_ENDPOINT", made.url)
        yield made
        close_session()
        hub.stopping.set()
        listener.stop()


def kept(caches: Caches) -> list[str]:
    """What lies in the cache of converted weights, without the empty file that is the lock."""
    return sorted(path.name for path in (caches.zoo / "weights").glob("*") if path.name != ".torch.lock")


def test_a_file_is_fetched_and_converted_once(server: TorchServer, caches: Caches) -> None:
    source = server.add(TENSORS)
    local = fetch_source(source)
    assert torch.equal(read_tensors(local.path)["weight"], TENSORS["weight"])
    assert local.source == f"torchvision:{source.file}"
    assert local.sha256 == hashlib.sha256(server.served[source.file]).hexdigest()
    assert kept(caches) == [f"{local.sha256}.safetensors"]
    asked = len(server.hub.requests)
    assert fetch_source(source) == local
    assert len(server.hub.requests) == asked
    assert {seen.headers.get("authorization") for seen in server.hub.requests} == {None}


def test_no_token_is_sent_to_that_server(server: TorchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch_source(server.add(TENSORS))
    assert not any("hf_secret" in str(seen) for seen in server.hub.requests)


def test_a_flipped_byte_is_found_and_the_file_fetched_once_more(server: TorchServer, caches: Caches) -> None:
    """Without the comparison with the name the flipped byte was converted and kept."""
    source = server.add(TENSORS)
    server.hub.fault("GET", times=1, status=206)  # the question whether the file is there
    fault = server.hub.fault("GET", times=1, flip_byte=-3)
    assert torch.equal(read_tensors(fetch_source(source).path)["weight"], TENSORS["weight"])
    assert (fault.struck, server.bodies()) == (1, 2)


def test_a_file_whose_hash_is_not_the_one_in_its_name_is_refused_and_not_kept(
    server: TorchServer, caches: Caches
) -> None:
    """Without the comparison with the name the file was converted and kept."""
    server.hub.fault("GET", flip_byte=-3)
    with pytest.raises(WeightsError, match="fetched twice, and its sha256 .* does not begin as its name says. Nothing"):
        fetch_source(server.add(TENSORS))
    assert kept(caches) == []


class Code:
    """A pickle of this writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("kind", ["code", "a module", "numbers", "a list", "nested", "no pickle"])
def test_a_file_that_holds_anything_but_tensors_is_refused_and_not_kept(
    server: TorchServer, caches: Caches, tmp_path: Path, kind: str
) -> None:
    """With weights_only=False the code ran; without the look at the values, numbers and nested states were let through."""
    hostile = {
        "code": {"weight": Code(tmp_path / "ran")},
        "a module": torch.nn.Linear(1, 1),
        "numbers": {"weight": 1.0},
        "a list": [torch.zeros(1)],
        "nested": {"state_dict": TENSORS},
        "no pickle": b"<html>sign in to this network</html>",
    }
    source = server.add(hostile[kind])
    expected = f"{source.file} (is not a plain PyTorch state dict|holds something else than tensors)"
    with pytest.raises(WeightsError, match=expected):
        fetch_source(source)
    assert kept(caches) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("times", [1, 2])
def test_a_server_error_that_passes_does_not_matter(
    server: TorchServer, naps: list[float], status: int, times: int
) -> None:
    """With a single attempt the first bad answer was the end."""
    server.hub.fault("GET", times=times, status=status)
    assert fetch_source(server.add(TENSORS)).path.is_file()


def test_a_download_that_is_cut_is_begun_again(server: TorchServer, naps: list[float]) -> None:
    server.hub.fault("GET", times=2, cut_after=3000)
    assert torch.equal(read_tensors(fetch_source(server.add(TENSORS)).path)["weight"], TENSORS["weight"])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 503}, "answers HTTP 503. Try again later."),
        ({"status": 404}, "answers HTTP 404."),
        (
            {"status": 429, "headers": {"Retry-After": "86400"}},
            "asks to wait 86400 seconds (HTTP 429). Try again later.",
        ),
        ({"cut_after": 100}, "breaks off in the middle of its answers. Try again later."),
        ({"wrong_length": 9}, "breaks off in the middle of its answers. Try again later."),
        ({"delay": 60}, "does not answer. Try again later."),
        ({"drip": 100}, "bytes a second. Try again later."),
    ],
)
def test_each_fault_that_stays_is_one_line_within_a_deadline_and_nothing_is_kept(
    server: TorchServer, caches: Caches, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], message: str
) -> None:
    """Without the guards of the client this waited a day, for ever, or advised to log in to the Hub."""
    monkeypatch.setenv("ZOO_HUB_TIMEOUT", "0.4")
    source = server.add(TENSORS)
    server.hub.fault("GET", **fault)
    started = time.monotonic()
    with pytest.raises(HubError) as caught:
        fetch_source(source)
    assert time.monotonic() - started < 8
    assert str(caught.value).startswith(f"torchvision:{source.file}: ")
    assert str(caught.value).endswith(message)
    assert "hf auth" not in str(caught.value)
    assert kept(caches) == []


def test_a_server_that_is_away_leaves_nothing_behind(
    server: TorchServer, caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the question before the first write an empty folder and its lock stayed."""
    monkeypatch.setenv("ZOO_TORCH_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="http://127.0.0.1:9 cannot be reached"):
        fetch_source(server.add(TENSORS))
    assert not caches.zoo.exists()


def test_a_full_disk_leaves_nothing_and_says_what_to_do(server: TorchServer, caches: Caches) -> None:
    with (
        files_of_at_most(10_000),
        pytest.raises(HubError, match="Free space, or move the caches with HF_HOME and ZOO_"),
    ):
        fetch_source(server.add(TENSORS))
    assert kept(caches) == []


def test_offline_only_what_was_converted_is_there(server: TorchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    source, other = server.add(TENSORS), server.add({"weight": torch.zeros(3)}, "other")
    fetch_source(source)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_source(source).path.is_file()
    with pytest.raises(HubError, match="it is not in the cache, and HF_HUB_OFFLINE forbids the network"):
        fetch_source(other)


PULL = """
import sys
from zoo_core.weights_specs import TorchFile
from zoo_core.weights.fetch import fetch_source
print(fetch_source(TorchFile(file=sys.argv[1])).sha256)
"""


def start(source: TorchFile) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PULL, source.file], stdout=subprocess.PIPE, text=True)


def test_a_download_that_was_killed_leaves_no_orphan_after_the_next_one(server: TorchServer, caches: Caches) -> None:
    """Without the removal the part that had come stayed for good, under a name that nobody looks for."""
    source = server.add({"weight": torch.randn(500_000)})
    server.hub.fault("GET", drip=1_000_000)
    process = start(source)
    until(lambda: any(path.stat().st_size for path in (caches.zoo / "weights").glob(".torch-*/*")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(kept(caches)) == 1
    server.hub.clear_faults()
    assert kept(caches)[0] != fetch_source(source).path.name
    assert len(kept(caches)) == 1


def test_three_processes_on_a_cold_cache_all_have_the_file_and_one_fetches_it(server: TorchServer) -> None:
    """Without the lock each of them fetched it."""
    source = server.add(TENSORS)
    server.hub.fault("GET", drip=40_000)
    running = [start(source) for _ in range(3)]
    answers = {process.communicate(timeout=60)[0].strip() for process in running}
    assert answers == {hashlib.sha256(server.served[source.file]).hexdigest()}
    assert server.bodies() == 1


def from_server(catalog: Catalog, name: str, source: TorchFile) -> Choice[Any]:
    """A backbone of the catalog whose weights are ours."""
    choice = catalog.backbone(name)
    ref = replace(choice.spec.weights[0], sources=(source,))
    return Choice(Entry(replace(choice.spec, weights=(ref,)), "zoo-ours", "1"), choice.options)


def test_googlenet_loads_from_a_file_with_auxiliary_classifiers_which_are_named_as_dropped(
    server: TorchServer, catalog: Catalog
) -> None:
    """Without the spec's ignored keys the file is refused: nothing is left out in silence."""
    tensors = published_weights(catalog, "googlenet")
    extra = {"aux1.conv.conv.weight": torch.zeros(128, 512, 1, 1), "aux2.fc2.bias": torch.zeros(1000)}
    choice = from_server(catalog, "googlenet", server.add({**tensors, **extra}, "googlenet"))
    base, dropped = load_backbone(choice, resolve_weights(choice, "default"))
    own = dict(base.named_upstream())
    assert all(torch.equal(own[key], tensors[key]) for key in own)
    assert set(dropped) == {*extra, "fc.weight", "fc.bias"}
    whole = dict(load_whole(choice, choice.spec.weights[0]).named_upstream())
    assert torch.equal(whole["fc.weight"], tensors["fc.weight"])
    strict = Choice(replace(choice.entry, spec=replace(choice.spec, ignored_keys=())), choice.options)
    with pytest.raises(WeightsError, match="not expected: aux1.conv.conv.weight, aux2.fc2.bias"):
        load_backbone(strict, resolve_weights(strict, "default"))


@pytest.mark.parametrize(
    ("name", "file", "older"),
    [
        ("densenet121", "densenet121", (r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2")),
        ("mnasnet0_5", "mnasnet0.5_top1_67.823", ("", "")),  # a name with dots
    ],
)
def test_a_file_loads_with_the_keys_and_the_name_that_torchvision_once_gave_it(
    name: str, file: str, older: tuple[str, str], server: TorchServer, catalog: Catalog
) -> None:
    tensors = published_weights(catalog, name)
    source = server.add({re.sub(*older, key): tensor for key, tensor in tensors.items()}, file)
    (theirs,) = catalog.backbone(name).spec.weights[0].sources
    assert isinstance(theirs, TorchFile)
    choice = from_server(catalog, name, replace(theirs, file=source.file))
    own = dict(load_whole(choice, choice.spec.weights[0]).named_upstream())
    assert own.keys() == tensors.keys()
    assert all(torch.equal(own[key], tensors[key]) for key in own)


def test_alexnet_loads_from_a_file_in_torchvisions_format(server: TorchServer, catalog: Catalog) -> None:
    tensors = published_weights(catalog, "alexnet")
    small = {  # the fully connected part is 230 MB of 244: here one number stands for each tensor of it
        key: torch.zeros(1).expand(tensor.shape) if key.startswith("classifier.") else tensor
        for key, tensor in tensors.items()
    }
    choice = from_server(catalog, "alexnet", server.add(small, "alexnet-owt"))
    base, dropped = load_backbone(choice, resolve_weights(choice, "default"))
    own = dict(base.named_upstream())
    assert len(own) == 10
    assert all(torch.equal(own[key], tensors[key]) for key in own)
    assert set(dropped) == {key for key in tensors if key.startswith("classifier.")}
    assert os.path.getsize(resolve_weights(choice, "default").local.path) > 240e6  # type: ignore[union-attr]
