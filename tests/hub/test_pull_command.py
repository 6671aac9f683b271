"""The command line with a Hub: `zoo pull`, `zoo list weights`, `zoo finetune`, and the secrecy of the token."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from huggingface_hub import constants
from safetensors.torch import load_file

from helpers import Zoo
from hub.support import BODY, LARGE, REPO, SMALL, WEIGHTS, Caches, bodies, point_to, published_weights, write_plugin
from hub.test_torch_server import TorchServer, server
from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as command
from zoo_core.errors import UsageError, WeightsError
from zoo_core.hubclient.pull import pull
from zoo_core.tensors import write_tensors

__all__ = ["server"]
RESNET18 = ("smp-hub/resnet18.imagenet", "3f2325ff978283d47aa6a1d6878ca20565622683")


@pytest.fixture
def run(hub: TestHub) -> Callable[..., Result]:
    """Call the command line in this process, with the test Hub."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(command, arguments)

    return call


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: TestHub) -> Path:
    """A plugin with two backbones whose three weights are on the test Hub; one of them is small in every way."""
    site = write_plugin(
        tmp_path / "site",
        """
from zoo_lenet.plugin import zoo_backbones as lenets
base = next(spec for spec in lenets() if spec.name == "lenet5")
one = weights(base, "one", HubFile(repo="acme/net"))
two = weights(base, "two", HubFile(repo="acme/two"))
return [replace(base, name="oursnet", weights=(one, two)), replace(base, name="oursnet2", weights=(two,))]
""",
    )
    hub.add_repo("acme/two", {LARGE: WEIGHTS[:-4] + b"\0\0\0\0"})
    monkeypatch.syspath_prepend(str(site))
    return site


def cached(run: Callable[..., Result]) -> dict[tuple[str, str], bool]:
    rows = json.loads(run("list", "weights", "--json").stdout)["weights"]
    return {(row["backbone"], row["tag"]): row["cached"] for row in rows if row["backbone"].startswith("oursnet")}


def test_pull_fetches_the_default_weights_and_the_list_says_that_they_are_here(
    run: Callable[..., Result], ours: Path, hub: TestHub
) -> None:
    """Without a look at the cache the list said 'no' to the end."""
    assert cached(run) == {("oursnet", "one"): False, ("oursnet", "two"): False, ("oursnet2", "two"): False}
    result = run("pull", "oursnet", "--json")
    assert result.exit_code == 0
    (row,) = json.loads(result.stdout)["pulled"]
    assert (row["name"], row["tag"], row["source"]) == ("oursnet", "one", f"hf:{REPO}")
    assert Path(row["path"]).read_bytes() == WEIGHTS
    assert cached(run) == {("oursnet", "one"): True, ("oursnet", "two"): False, ("oursnet2", "two"): False}
    assert bodies(hub) == 1


def test_pull_takes_a_tag_and_tells_the_tags_there_are(run: Callable[..., Result], ours: Path) -> None:
    assert run("pull", "oursnet@two").exit_code == 0
    assert cached(run) == {("oursnet", "one"): False, ("oursnet", "two"): True, ("oursnet2", "two"): True}
    result = run("pull", "oursnet@three")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "'oursnet' has no weights 'three'. Its weights: one, two."


def test_pull_all_of_a_plugin_fetches_each_file_once(run: Callable[..., Result], ours: Path, hub: TestHub) -> None:
    assert run("pull", "--plugin", "zoo-ours").exit_code == 0
    assert set(cached(run).values()) == {True}
    assert bodies(hub) == 2
    assert isinstance(run("pull", "--plugin", "zoo-theirs").exception, UsageError)
    assert isinstance(run("pull").exception, UsageError)


def test_pull_goes_on_after_a_failure_and_reports_it_in_the_end(
    run: Callable[..., Result], ours: Path, hub: TestHub, naps: list[float]
) -> None:
    """Without the going on, what came after the failure was not fetched."""
    hub.fault("GET", f"/api/models/{REPO}", status=500)
    result = run("pull", "oursnet", "oursnet@two")
    assert isinstance(result.exception, WeightsError)
    assert "the weights 'one' of oursnet could not be had" in str(result.exception)
    assert f"hf:{REPO}: {hub.url} answers HTTP 500. Try again later." in str(result.exception)
    assert cached(run)["oursnet", "two"]


def resnet18_on(hub: TestHub, catalog: Catalog, folder: Path) -> str:
    """Put random weights of the right shapes where a library pins ResNet-18's; return their sha256."""
    write_tensors(folder / LARGE, published_weights(catalog, "resnet18"))
    content = (folder / LARGE).read_bytes()
    hub.add_repo(RESNET18[0], {LARGE: content}, revision=RESNET18[1])
    return hashlib.sha256(content).hexdigest()


def environment(hub: TestHub, folder: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "ZOO_CACHE": str(folder / "zoo-cache")}


def test_finetune_starts_from_the_pinned_weights_of_the_hub_and_the_second_time_offline(
    zoo: Zoo, hub: TestHub, catalog: Catalog, photos: Path, tmp_path: Path
) -> None:
    sha256 = resnet18_on(hub, catalog, tmp_path)
    settings = ("finetune", "--backbone", "resnet18", "--data", photos, "--image-size", 32, "--epochs", 1)
    env = environment(hub, tmp_path)
    for out, more in (("first", {}), ("second", {"HF_HUB_OFFLINE": "1"})):
        asked = len(hub.requests)
        made = zoo(*settings, "--out", out, env=env | more)
        assert made.returncode == 0, made.stderr
        start = json.loads((tmp_path / out / "config.json").read_text())["start"]
        assert start["source"] == f"hf:{RESNET18[0]}"
        assert (start["revision"], start["sha256"], start["tag"]) == (RESNET18[1], sha256, "imagenet-v1")
        assert (len(hub.requests) > asked) == (out == "first")
    assert bodies(hub) == 1
    served, first, second = (load_file(tmp_path / folder / LARGE) for folder in ("", "first", "second"))
    assert torch.equal(first["conv1.weight"], served["conv1.weight"]), "the frozen part is what the Hub served"
    assert torch.equal(first["conv1.weight"], second["conv1.weight"])


def test_finetune_without_a_network_says_so_once_and_soon_and_leaves_nothing(
    zoo: Zoo, photos: Path, tmp_path: Path
) -> None:
    """Without the question before the first write, torchvision's part of the cache was made and stayed."""
    env = {"HF_HOME": str(tmp_path / "hf"), "ZOO_CACHE": str(tmp_path / "zoo-cache")}
    started = time.monotonic()
    failed = zoo("finetune", "--backbone", "vgg16", "--data", photos, env=env)
    assert time.monotonic() - started < 15
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.count("error: ") == 1
    assert "the weights 'imagenet-v1' of vgg16 could not be had" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {photos.name, "zoo-cache"}, "no runs, no folder of the Hub's"
    assert not list(tmp_path.glob("zoo-cache/weights")), "what is kept of the installed plugins may stand beside it"


def test_finetune_offline_says_what_is_missing(zoo: Zoo, hub: TestHub, photos: Path, tmp_path: Path) -> None:
    failed = zoo(
        "finetune",
        "--backbone",
        "resnet18",
        "--data",
        photos,
        env={**environment(hub, tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    assert failed.returncode == 1
    assert f"hf:{RESNET18[0]}@{RESNET18[1][:12]}: it is not in the cache, and HF_HUB_OFFLINE forbids" in failed.stderr
    assert hub.requests == []
    assert not (tmp_path / "runs").exists()


def test_finetune_with_weights_of_torchvisions_server_names_what_it_leaves_out(
    zoo: Zoo, server: TorchServer, catalog: Catalog, photos: Path, tmp_path: Path
) -> None:
    """GoogLeNet in torchvision's format, with auxiliary classifiers, through a plugin of our own."""
    tensors = published_weights(catalog, "googlenet")
    source = server.add({**tensors, "aux1.fc1.bias": torch.zeros(1024)}, "ours")
    site = write_plugin(
        tmp_path / "site",
        f"""
from zoo_googlenet.plugin import zoo_backbones as nets
base = next(spec for spec in nets() if spec.name == "googlenet")
return [replace(base, name="ourgooglenet", weights=(weights(base, "ours", TorchFile(file="{source.file}")),))]
""",
    )
    env = {"PYTHONPATH": str(site), "ZOO_CACHE": str(tmp_path / "zoo-cache"), "ZOO_TORCH_ENDPOINT": server.url}
    settings = (
        "finetune",
        "--backbone",
        "ourgooglenet",
        "--data",
        photos,
        "--image-size",
        32,
        "--epochs",
        1,
        "--out",
        "run",
    )
    made = zoo(*settings, env=env)
    assert made.returncode == 0, made.stderr
    assert "aux1.fc1.bias" in made.stderr
    start = json.loads((tmp_path / "run" / "config.json").read_text())["start"]
    assert start["source"] == f"torchvision:{source.file}"
    assert start["sha256"] == hashlib.sha256(server.served[source.file]).hexdigest()


# ---- the token

TOKEN = "hf_secretsecretsecretsecret"


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401},
        {"status": 403, "headers": {"X-Error-Message": f"no access for {TOKEN}"}},
        {"status": 404, "headers": {"X-Error-Code": "RepoNotFound", "X-Error-Message": TOKEN}},
        {"status": 503},
        {"status": 418},
        {"drop_answer": True},
        {"method": "HEAD", "status": 302, "headers": {"Location": f"/{TOKEN}"}},
        {"method": "HEAD", "headers": {"Location": f"ftp://{TOKEN}@127.0.0.1/{TOKEN}"}},
        {"method": "HEAD", "headers": {"X-Linked-Etag": TOKEN}},
        {"method": "GET", "path": BODY, "flip_byte": 0},
        {"method": "GET", "path": BODY, "cut_after": 5},
    ],
)
def test_the_token_is_in_no_message_and_no_file_whatever_goes_wrong(
    hub: TestHub,
    caches: Caches,
    monkeypatch: pytest.MonkeyPatch,
    naps: list[float],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    """Without the scrubbing, an address with the token in it stood in the message; without `from None`, in the chain."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.add_token(TOKEN, user="acme")
    hub.fault(**fault)
    with pytest.raises(WeightsError) as caught:
        pull(REPO, [LARGE])
    assert any(seen.headers.get("authorization") == f"Bearer {TOKEN}" for seen in hub.requests)
    printed = capfd.readouterr()
    said = "".join(traceback.format_exception(caught.value)) + printed.out + printed.err + caplog.text
    assert TOKEN not in said
    assert TOKEN.encode() not in everything_in(caches.hub.parent.parent)


def test_the_password_in_an_address_is_in_no_message(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scrubbing of the endpoint it stood in the second message, which is said without asking."""
    point_to("http://somebody:secret@127.0.0.1:9", monkeypatch)
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"http://.*127.0.0.1:9 cannot be reached") as caught:
            pull(REPO, [LARGE])
        assert "secret" not in str(caught.value)


def test_the_token_is_nowhere_in_what_the_command_line_prints_or_writes(
    zoo: Zoo, hub: TestHub, catalog: Catalog, photos: Path, tmp_path: Path
) -> None:
    """With the token put into the message of a refusal on purpose it was found here."""
    sha256 = resnet18_on(hub, catalog, tmp_path)
    hub.add_token(TOKEN, user="acme")
    hub.fault("HEAD", times=1, status=503)
    hub.fault("GET", BODY, times=1, flip_byte=-1)
    talkative = {"HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"}
    env = {**environment(hub, tmp_path), **talkative, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}
    made = zoo(
        "finetune",
        "--backbone",
        "resnet18",
        "--data",
        photos,
        "--image-size",
        32,
        "--epochs",
        1,
        "--out",
        "run",
        env=env,
    )
    assert made.returncode == 0, made.stderr
    assert any(seen.headers.get("authorization") == f"Bearer {TOKEN}" for seen in hub.requests)
    assert sha256.encode() in everything_in(tmp_path / "run")
    hub.clear_faults()
    hub.add_repo("acme/gated", {LARGE: WEIGHTS, SMALL: b"{}"}, gated=True)
    hub.store.users.clear()
    refused = zoo("pull", "acme/gated", env=env)
    assert refused.returncode == 1
    for text in (made.stdout, made.stderr, refused.stdout, refused.stderr):
        assert TOKEN not in text
    assert TOKEN.encode() not in everything_in(tmp_path)


def test_what_is_no_model_keeps_none_of_the_others_from_being_fetched(
    run: Callable[..., Result], ours: Path, hub: TestHub
) -> None:
    """Seen to fail: the first that was no run ended the command, without the table."""
    hub.add_repo("acme/text", {"config.json": b"{}", "model.safetensors": b""})
    told = run("pull", "acme/text", "oursnet", "--json")
    assert [row["name"] for row in json.loads(told.stdout)["pulled"]] == ["oursnet"]
    assert isinstance(told.exception, WeightsError)
    assert "hf:acme/text is not a zoo model" in str(told.exception)
    wrong = run("pull", "oursnet2", "a/b/c")
    assert isinstance(wrong.exception, UsageError)
    assert "is not a repository 'owner/name'" in str(wrong.exception)
    assert not cached(run)["oursnet2", "two"]


@pytest.mark.parametrize("name", ["zoo_lenet", "ZOO-Lenet"])
def test_a_plugin_is_found_by_any_spelling_of_its_name(name: str, run: Callable[..., Result]) -> None:
    assert run("pull", "--plugin", name).exit_code == 0


def test_a_plugin_that_is_not_there_has_a_neighbour(run: Callable[..., Result]) -> None:
    error = run("pull", "--plugin", "zoo-lenett").exception
    assert str(error).startswith("no backbones of a plugin 'zoo-lenett'. Did you mean 'zoo-lenet'?")
