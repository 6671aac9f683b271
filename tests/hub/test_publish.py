"""Publishing a run: one commit, made once, never over what somebody else did."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import zoo_core
from helpers import make_photos
from hub.support import Caches
from hubserver import TestHub
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as zoo_command
from zoo_core.errors import HubError, UsageError, ZooError
from zoo_core.hub.bundle import PublishOptions
from zoo_core.hub.publish import PublishResult, publish
from zoo_core.hub.search import search
from zoo_core.runs.directory import read_run
from zoo_core.settings import FinetuneConfig

REPO = "alice/pets"
TOKEN = "hf_alicestoken"
PICTURES, TENSORS = {"confusion.png", "curves.png"}, {f"{name}.safetensors" for name in ("fitted", "images", "model")}
NAMES = {"README.md", "config.json", *PICTURES, *TENSORS}

# The client's own upload of large files warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Path:
    """A finished run on photos in a folder whose path is nobody's business."""
    root = tmp_path_factory.mktemp("secret-place")
    config = FinetuneConfig(backbone="lenet5", data=str(make_photos(root / "pets")), epochs=2, out=str(root / "run"))
    return zoo_core.finetune(config, catalog=catalog).directory


@pytest.fixture
def alice(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> TestHub:
    """The Hub with a user who may write, and whose token is where tokens are."""
    hub.add_token(TOKEN, user="alice")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    return hub


@pytest.fixture
def send(run_directory: Path, catalog: Catalog) -> Callable[..., PublishResult]:
    def call(directory: Path = run_directory, repo: str = REPO, **settings: object) -> PublishResult:
        return publish(directory, repo, catalog=catalog, **settings)

    return call


def commits(hub: TestHub, repo: str = REPO) -> list[str]:
    return [commit.title for commit in hub.commits(repo)]


def test_a_run_becomes_a_repository_in_one_commit(alice: TestHub, send: Callable[..., PublishResult]) -> None:
    done = send()
    assert done.commit == alice.head(REPO)
    assert commits(alice)[:-1] == ["Publish a model fine-tuned with zoo"], "one commit on top of the Hub's first"
    assert set(alice.files(REPO)) - {".gitattributes"} == NAMES


def test_what_was_published_answers_to_the_last_bit_from_another_cache(
    alice: TestHub, send: Callable[..., PublishResult], run_directory: Path, catalog: Catalog
) -> None:
    send()
    images = sorted((run_directory.parent / "pets").rglob("*.png"))
    here = zoo_core.load(run_directory, device="cpu", catalog=catalog).predict(images)
    there = zoo_core.load(REPO, device="cpu", catalog=catalog).predict(images)
    pinned = zoo_core.load(f"{REPO}@{alice.head(REPO)}", device="cpu", catalog=catalog).predict(images)
    assert [one.answers for one in here] == [one.answers for one in there] == [one.answers for one in pinned]


def test_nothing_of_the_machine_is_published(
    alice: TestHub, send: Callable[..., PublishResult], run_directory: Path
) -> None:
    """Without the trimming of paths the folder of the photos stood in config.json and in the card."""
    send()
    everything = b"".join(alice.files(REPO).values())
    assert str(run_directory.parent).encode() not in everything
    assert b"secret-place" not in everything
    assert TOKEN.encode() not in everything
    assert json.loads(alice.files(REPO)["config.json"])["config"]["data"] == "pets"


def test_the_card_says_what_a_person_and_the_hub_want_to_know(
    alice: TestHub, send: Callable[..., PublishResult], run_directory: Path
) -> None:
    send(options=PublishOptions(licence="MIT", dataset="alice/pet-photos"))
    text = alice.files(REPO)["README.md"].decode()
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    metadata = yaml.safe_load(front)
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("zoo", "image-classification")
    assert (metadata["license"], metadata["datasets"]) == ("mit", ["alice/pet-photos"])
    assert {"zoo", "lenet5"} <= set(metadata["tags"])
    result = metadata["model-index"][0]["results"][0]
    accuracy = json.loads((run_directory / "metrics.jsonl").read_text().splitlines()[-1])["accuracy"]
    assert result["metrics"][0]["value"] == accuracy
    for part in (
        f"zoo predict {REPO} photo.jpg",
        "| blue |",
        "95 % confidence",
        "curves.png",
        "head is trained",
        "## Limits",
    ):
        assert part in body
    assert result["dataset"]["type"] == "alice/pet-photos"


def test_a_dry_run_sends_nothing(alice: TestHub, send: Callable[..., PublishResult]) -> None:
    planned = send(dry_run=True)
    assert set(planned.files) == NAMES
    assert planned.card.startswith("---\n")
    assert alice.requests == []


def test_an_existing_repository_needs_an_explicit_update(alice: TestHub, send: Callable[..., PublishResult]) -> None:
    """Without the look at what is there the file of somebody else was replaced."""
    alice.add_repo(REPO, {"model.safetensors": b"precious"})
    with pytest.raises(UsageError, match="alice/pets exists and holds model.safetensors. --update replaces it"):
        send()
    assert alice.files(REPO)["model.safetensors"] == b"precious"
    send(update=True)
    assert len(alice.files(REPO)["model.safetensors"]) > 1000


def test_the_same_command_again_makes_no_second_commit(alice: TestHub, send: Callable[..., PublishResult]) -> None:
    first = send()
    again = send()
    assert (again.already_there, again.commit) == (True, first.commit)
    assert len(commits(alice)) == 2


def test_a_commit_whose_answer_was_lost_is_not_made_twice(alice: TestHub, send: Callable[..., PublishResult]) -> None:
    """Here the client itself sees that nothing is left to change; the look at the head does not rest on that."""
    alice.fault("POST", r"/commit/main", times=1, drop_answer=True)
    done = send()
    assert done.commit == alice.head(REPO)
    assert len(commits(alice)) == 2


def test_a_pull_request_whose_answer_was_lost_is_not_made_twice(
    alice: TestHub, send: Callable[..., PublishResult]
) -> None:
    """Without the look at the pull requests there were two of them."""
    alice.add_repo(REPO, {"model.safetensors": b"precious"})
    alice.fault("POST", r"/commit/main", times=1, drop_answer=True)
    send(pull_request=True)
    assert alice.files(REPO)["model.safetensors"] == b"precious"
    assert len(alice.files(REPO, "refs/pr/1")["model.safetensors"]) > 1000
    assert "refs/pr/2" not in alice.store.repos[REPO].refs


def test_an_update_removes_the_files_of_the_former_model_that_this_one_lacks(
    alice: TestHub, send: Callable[..., PublishResult], catalog: Catalog, tmp_path: Path
) -> None:
    """Seen to fail: the fit of the former model changed the answers of the new one, and the page told of the former."""
    send(options=PublishOptions(page="<p>the former</p>"))
    alice.commit(REPO, {"notes.txt": b"mine"})
    photos = make_photos(tmp_path / "photos", count=3)
    model = zoo_core.create_model("lenet5", num_classes=2, weights="none", catalog=catalog)
    zoo_core.save_run(model, tmp_path / "own", data=str(photos), catalog=catalog)
    send(tmp_path / "own", update=True)
    assert set(alice.files(REPO)) - {".gitattributes"} == {*NAMES, "notes.txt"} - {
        "fitted.safetensors",
        "images.safetensors",
        "curves.png",
    }
    alice.commit(REPO, {"fitted.safetensors": b"of another"})
    assert not send(tmp_path / "own", update=True).already_there
    assert "fitted.safetensors" not in alice.files(REPO)


def test_a_proposal_is_told_with_its_place_and_made_once(
    alice: TestHub, run_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seen to fail: it was told to be published, and a second one was made."""
    alice.add_repo(REPO, {"model.safetensors": b"precious"})
    asked = ("publish", str(run_directory), REPO, "--pr")
    told = CliRunner().invoke(zoo_command, asked)
    place = f"{alice.url}/{REPO}/discussions/1"
    assert f"Proposed at {place}: nothing has changed before it is merged there." in " ".join(told.stdout.split())
    assert f"zoo predict {REPO}@refs/pr/1 IMAGE..." in " ".join(told.stdout.split())
    again = CliRunner().invoke(zoo_command, asked)
    assert f"{place} holds exactly this already; nothing was sent." in " ".join(again.stdout.split())
    assert json.loads(CliRunner().invoke(zoo_command, [*asked, "--json"]).stdout)["proposal"] == "refs/pr/1"
    assert "refs/pr/2" not in alice.store.repos[REPO].refs
    photo = make_photos(tmp_path / "photos", count=1) / "red" / "0.jpg"
    assert zoo_core.load(f"{REPO}@refs/pr/1", device="cpu").predict(photo)


def test_a_private_model_is_not_everyones(alice: TestHub, run_directory: Path) -> None:
    told = CliRunner().invoke(zoo_command, ["publish", str(run_directory), REPO, "--private"])
    assert f"Whoever may see it and has the plugin can now: zoo predict {REPO}" in " ".join(told.stdout.split())


@pytest.mark.parametrize("name", ["alice/x.git", "alice/x-", "alice/x.", "alice-/x", "alice/" + "x" * 97, "alice/x--y"])
def test_a_name_that_the_hub_refuses_is_refused_at_once(
    name: str, alice: TestHub, send: Callable[..., PublishResult]
) -> None:
    with pytest.raises(UsageError, match="is not a repository 'owner/name'"):
        send(repo=name, dry_run=True)
    with pytest.raises(UsageError, match="--dataset is the id of a data set"):
        send(dry_run=True, options=PublishOptions(dataset=name))
    assert alice.requests == []


def test_a_page_about_a_run_that_held_no_images_out_has_another_next_step(
    alice: TestHub, catalog: Catalog, tmp_path: Path
) -> None:
    data = str(make_photos(tmp_path / "pets"))
    config = FinetuneConfig(backbone="lenet5", data=data, epochs=1, val_share=0, out=str(tmp_path / "run"))
    zoo_core.finetune(config, catalog=catalog)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "The model knows only the classes 'blue', 'red', and answers with them for any image." in card
    assert "classes above" not in card
    assert "The accuracy holds" not in card
    told = CliRunner().invoke(zoo_command, ["publish", str(tmp_path / "run"), REPO, "--report"])
    assert isinstance(told.exception, UsageError)
    assert "this run was trained on all of them: leave --report out." in str(told.exception)
    assert f"zoo report {tmp_path / 'run'} --data FOLDER" in str(told.exception)


def test_of_two_publishers_the_slower_gets_a_conflict(
    alice: TestHub, send: Callable[..., PublishResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the parent commit the slower one overwrote what the faster one had published."""
    from zoo_core.hub import publish as module

    alice.add_repo(REPO, {"model.safetensors": b"first"})
    commit = module._commit

    def slower(*arguments: object, **settings: object) -> str | None:
        alice.commit(REPO, {"model.safetensors": b"somebody else's"})
        return commit(*arguments, **settings)

    monkeypatch.setattr(module, "_commit", slower)
    with pytest.raises(HubError, match="somebody else has changed alice/pets in the meantime. Nothing was overwritten"):
        send(update=True)
    assert alice.files(REPO)["model.safetensors"] == b"somebody else's"


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_stumbles_is_asked_again(
    alice: TestHub, send: Callable[..., PublishResult], naps: list[float], status: int
) -> None:
    """Without the second attempt the publish ended with the server's first stumble."""
    alice.fault("POST", r"/commit/main", times=1, status=status)
    send()
    assert len(commits(alice)) == 2


def test_a_server_that_goes_on_failing_ends_with_one_message_and_nothing_changed(
    alice: TestHub, send: Callable[..., PublishResult], naps: list[float]
) -> None:
    alice.add_repo(REPO, {"model.safetensors": b"precious"})
    alice.fault("POST", r"/commit/main", status=500)
    with pytest.raises(HubError, match=r"publishing alice/pets: .* answers HTTP 500. Try again later."):
        send(update=True)
    assert alice.files(REPO)["model.safetensors"] == b"precious"


@pytest.mark.parametrize(
    ("token", "message"),
    [(None, "hf auth login"), ("hf_nobody", "hf auth login"), ("hf_bobstoken", "hf auth login")],
)
def test_a_missing_wrong_or_foreign_token_is_answered_with_what_to_do(
    alice: TestHub, send: Callable[..., PublishResult], monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    alice.add_token("hf_bobstoken", user="bob")
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=message) as caught:
        send()
    assert token is None or token not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("repo", ["pets", "../pets", "alice/../pets", "alice/pets/x", "-a/b", "alice/"])
def test_a_repository_name_that_is_none_is_refused_before_anything_is_asked(
    alice: TestHub, send: Callable[..., PublishResult], repo: str
) -> None:
    with pytest.raises(UsageError, match="is not a repository 'owner/name'"):
        send(repo=repo)
    assert alice.requests == []


def test_a_run_that_did_not_finish_is_not_published(
    alice: TestHub, send: Callable[..., PublishResult], run_directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_directory, tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(lines[:-1]))
    with pytest.raises(ZooError, match="has no result: the run did not finish"):
        send(tmp_path / "run")


def test_a_private_repository_is_private(alice: TestHub, send: Callable[..., PublishResult]) -> None:
    send(private=True)
    assert alice.store.repos[REPO].private


def test_private_is_refused_where_the_repository_is_there_and_public(
    alice: TestHub, send: Callable[..., PublishResult]
) -> None:
    alice.add_repo(REPO, {"notes.txt": b"mine"})
    with pytest.raises(UsageError, match=rf"{REPO} is there and public, and --private is for a new repository"):
        send(private=True, update=True)
    with pytest.raises(UsageError, match="--update changes the repository and --pr proposes the change"):
        send(update=True, pull_request=True)


def test_a_repository_that_was_only_created_is_completed_by_the_same_command(
    alice: TestHub, send: Callable[..., PublishResult]
) -> None:
    """Without the list of what a new repository holds the second command asked for --update."""
    alice.add_repo(REPO, {".gitattributes": b"*.safetensors filter=lfs"})
    assert send().commit == alice.head(REPO)


@pytest.mark.parametrize("moment", [r"/preupload/", r"/objects/batch", r"/commit/main"])
def test_a_publish_that_is_killed_changes_nothing_and_the_same_command_completes_it(
    alice: TestHub, send: Callable[..., PublishResult], run_directory: Path, tmp_path: Path, moment: str
) -> None:
    """With a commit for each file the repository had more than one new commit in the end."""
    alice.add_repo(REPO, {"model.safetensors": b"precious"})
    fault = alice.fault("POST", moment, times=1, delay=60)
    command = [sys.executable, "-m", "zoo_core", "publish", str(run_directory), REPO, "--update"]
    env = {"HF_ENDPOINT": alice.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
    env |= {"PATH": "/usr/bin:/bin", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not fault.struck and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert fault.struck == 1, "the publish never came to this moment"
    assert alice.files(REPO) == {"model.safetensors": b"precious"}
    alice.clear_faults()
    send(update=True)
    assert len(alice.commits(REPO)) == 2
    assert set(alice.files(REPO)) >= NAMES


def test_a_training_that_starts_from_a_published_model_records_it_and_its_card_names_it(
    alice: TestHub, send: Callable[..., PublishResult], catalog: Catalog, tmp_path: Path
) -> None:
    send()
    data = str(make_photos(tmp_path / "more"))
    config = FinetuneConfig(backbone="lenet5", weights=f"hf:{REPO}", data=data, epochs=1, out=str(tmp_path / "next"))
    start = read_run(zoo_core.finetune(config, catalog=catalog).directory).facts.start
    assert start is not None
    assert (start.source, start.revision) == (f"hf:{REPO}", alice.head(REPO))
    send(tmp_path / "next", "alice/next")
    card = alice.files("alice/next")["README.md"].decode()
    assert yaml.safe_load(card.removeprefix("---\n").partition("\n---\n")[0])["base_model"] == REPO


def test_a_repository_whose_plugin_is_not_installed_names_it(
    alice: TestHub, send: Callable[..., PublishResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    send()
    with pytest.raises(ZooError, match="from zoo-lenet, which is installed and not in this catalog"):
        zoo_core.load(REPO, catalog=Catalog(()))
    monkeypatch.setattr("zoo_core.catalog.installed_plugins", lambda: [])
    with pytest.raises(
        ZooError, match="needs 'lenet5' from zoo-lenet, which is not installed. .*`pip install .*zoo-lenet`"
    ):
        zoo_core.load(REPO, catalog=Catalog(()))


@pytest.mark.parametrize("file", [{"rfilename": ["x"]}, {"rfilename": 5}, {"rfilename": "a", "size": "x"}])
def test_a_repository_whose_files_have_no_names_is_not_published_to(
    alice: TestHub, send: Callable[..., PublishResult], file: dict[str, object]
) -> None:
    """A list as a name was a TypeError."""
    alice.add_repo(REPO, {"README.md": b""})
    alice.fault(
        "GET", f"/api/models/{REPO}", rewrite=lambda body: json.dumps({**json.loads(body), "siblings": [file]}).encode()
    )
    with pytest.raises(HubError, match="does not answer as it should"):
        send()


def test_search_finds_what_was_published(alice: TestHub, send: Callable[..., PublishResult], caches: Caches) -> None:
    send()
    alice.add_repo("bob/other", {"model.safetensors": b"x"}, tags=("timm",), downloads=5)
    alice.add_repo("eve/odd", {"README.md": b"---\ntags: [zoo]\nzoo: 3\nmodel-index: nonsense\n---\n"})
    found = {model.repo: model for model in search(None, limit=10)}
    assert set(found) == {REPO, "eve/odd"}
    assert (found[REPO].backbone, found[REPO].task) == ("lenet5", "image-classification")
    assert found[REPO].accuracy is not None
    assert (found["eve/odd"].backbone, found["eve/odd"].accuracy) == (None, None)
    assert search("nothing-like-this", limit=10) == []


ODD_CARDS = {
    "self": {"self": 1},
    "errors": {"ignore_metadata_errors": False},
    "results": {"eval_results": 5},
    "name": {"model_name": "x", "eval_results": [1]},
    "index": {"model-index": [{"results": [{"metrics": [{"type": "accuracy", "value": "1e5"}]}]}]},
    "type": {"model-index": [{"name": "x", "results": [{"dataset": {"type": [1]}, "metrics": 5}]}]},
    "digits": {"model-index": [{"results": [{"metrics": [{"type": "accuracy", "value": 10**400}]}]}]},
    "infinite": {"model-index": [{"results": [{"metrics": [{"type": "accuracy", "value": "inf"}]}]}]},
    "negative": {"model-index": [{"results": [{"metrics": [{"type": "accuracy", "value": -3}]}]}]},
    "yes": {"model-index": [{"results": [{"metrics": [{"type": "accuracy", "value": True}]}]}]},
    "list": {"zoo": [1], "pipeline_tag": ["x"]},
}


@pytest.mark.parametrize("kind", ODD_CARDS)
def test_one_odd_card_does_not_end_a_search(alice: TestHub, kind: str) -> None:
    """With the client's own reading of cards a line of front matter hid all models from everybody."""
    alice.add_repo("good/net", {"README.md": b"---\ntags: [zoo]\nzoo: {backbone: lenet5}\n---\n"})
    alice.add_repo("mal/ory", {"README.md": b""}, tags=("zoo",), card_data=ODD_CARDS[kind], downloads=5)
    found = {model.repo: model for model in search(None, limit=10)}
    assert found["good/net"].backbone == "lenet5"
    assert found["mal/ory"].accuracy is None


@pytest.mark.parametrize(
    "answer", [b"5", b"{}", b"null", b'["x", 5, null, {}, {"id": 5}]', b"[" * 100_000, b"[1e999]", b"<html>"]
)
def test_an_answer_that_is_no_list_of_models_is_an_error_or_empty(alice: TestHub, answer: bytes) -> None:
    """Without the check each was a traceback."""
    alice.fault("GET", "/api/models", rewrite=lambda _: answer)
    if answer == b"null" or answer.startswith((b"5", b"[" * 9, b"<")):
        with pytest.raises(HubError, match="does not answer as it should"):
            search(None, limit=10)
    else:
        assert search(None, limit=10) == []


@pytest.mark.parametrize("damage", ["a pickle", "truncated", "empty", "infinite", "another network's"])
def test_weights_that_zoo_would_refuse_are_not_published(
    alice: TestHub, send: Callable[..., PublishResult], run_directory: Path, tmp_path: Path, damage: str
) -> None:
    """Without the look at the weights each lay on the Hub afterwards, with exit code 0."""
    broken = tmp_path / "broken"
    shutil.copytree(run_directory, broken)
    model = broken / "model.safetensors"
    tensors = load_file(model)
    if damage == "a pickle":
        model.write_bytes(b"\x80\x04.")
    elif damage == "truncated":
        model.write_bytes(model.read_bytes()[:-1000])
    elif damage == "empty":
        model.write_bytes(b"")
    elif damage == "infinite":
        save_file({name: tensor / 0 for name, tensor in tensors.items()}, model)
    else:
        save_file({"weight": torch.ones(1)}, model)
    for dry_run in (True, False):
        with pytest.raises(ZooError, match="model.safetensors"):
            send(broken, dry_run=dry_run)
    assert REPO not in alice.store.repos


def test_a_licence_that_the_hub_does_not_know_is_refused_before_anything_is_sent(
    alice: TestHub, send: Callable[..., PublishResult]
) -> None:
    """Without the list `license: cc by 4.0` was found to be none after the upload."""
    with pytest.raises(UsageError, match="'CC BY 4.0' is no licence .* Did you mean 'cc-by-4.0'"):
        send(options=PublishOptions(licence="CC BY 4.0"), dry_run=True)
    card = send(options=PublishOptions(licence="Apache-2.0"), dry_run=True).card
    assert "license: apache-2.0" in card


@pytest.mark.parametrize("dataset", ["photos", "a/b/c", "a/..", "a b/c", "-a/b", "a/b.git", "a--b/c"])
def test_an_id_of_a_data_set_that_the_hub_would_refuse_is_refused_before_anything_is_sent(
    send: Callable[..., PublishResult], dataset: str
) -> None:
    with pytest.raises(UsageError, match="--dataset"):
        send(options=PublishOptions(dataset=dataset), dry_run=True)


@pytest.mark.parametrize("with_images", [False, True])
def test_a_page_about_the_run_is_published_without_images_unless_they_are_asked_for(
    alice: TestHub, run_directory: Path, with_images: bool
) -> None:
    asked = ["publish", str(run_directory), REPO, "--report", *(["--with-images"] if with_images else [])]
    told = CliRunner().invoke(zoo_command, asked, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    files = alice.files(REPO)
    page = files["report.html"].decode()
    assert "[report.html](report.html) shows more" in files["README.md"].decode()
    assert f"zoo predict {REPO} photo.jpg" in page
    assert str(run_directory.parent) not in page
    assert "secret-place" not in page
    names = {path.name for path in (run_directory.parent / "pets").rglob("*.png")}
    shown = [name for name in names if name in page]
    assert (bool(shown), "data:image/jpeg" in page) == (with_images, with_images)


def test_images_without_a_page_to_show_them_on_are_refused(run_directory: Path) -> None:
    with pytest.raises(UsageError, match="--with-images shows images on the page about the run: give --report, too"):
        zoo_command.main(["publish", str(run_directory), REPO, "--with-images"], standalone_mode=False)
