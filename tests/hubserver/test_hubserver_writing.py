"""The test Hub's writing endpoints, proven with the real client."""

import json
import socket
import threading
import warnings
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from .server import TestHub

WEIGHTS = bytes(range(256)) * 8
CARD = b"---\ntags: [zoo]\n---\n"
REPO = "alice/net"
# The client hands its own LFS upload to httpx2 in a way that httpx2 deprecates.
lfs_upload = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture
def alice(hub: TestHub) -> HfApi:
    hub.add_token("hf_alice", user="alice", orgs=("acme",))
    return HfApi(endpoint=hub.url, token="hf_alice")


def add(**files: bytes) -> list[CommitOperationAdd]:
    """Operations that add files; 'config_json' stands for 'config.json'."""
    return [CommitOperationAdd(name.replace("_", "."), data) for name, data in files.items()]


def uploads(hub: TestHub) -> int:
    return sum(seen.method == "PUT" and seen.path.startswith("/lfs-objects/") for seen in hub.requests)


def refused_with(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def test_a_repo_is_created_once_for_a_user_or_an_organization(hub: TestHub, alice: HfApi) -> None:
    url = alice.create_repo("net", private=True)
    assert (url, url.repo_id) == (f"{hub.url}/{REPO}", REPO)
    assert alice.model_info(REPO).private
    assert [commit.title for commit in hub.commits(REPO)] == ["initial commit"]
    assert alice.create_repo("acme/net").repo_id == "acme/net"
    assert alice.create_repo("acme/net", exist_ok=True).repo_id == "acme/net"
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_repo("acme/net")
    assert refused_with(error) == 409


def test_writing_needs_a_token_that_may_write_there(hub: TestHub, alice: HfApi) -> None:
    sha = hub.add_repo("others/net", {"config.json": b"{}"})
    hub.add_repo(REPO, {"config.json": b"{}"})
    hub.add_token("hf_reader", user="alice", role="read")

    def refusals(api: HfApi, repo: str) -> list[int]:
        actions = (
            lambda: api.create_repo(repo),
            lambda: api.create_commit(repo, add(config_json=b"new"), commit_message="Change"),
            lambda: api.create_branch(repo, branch="b"),
            lambda: api.create_tag(repo, tag="t"),
            lambda: api.delete_repo(repo),
        )
        statuses = []
        for action in actions:
            with pytest.raises(HfHubHTTPError) as error:
                action()
            statuses.append(refused_with(error))
        return statuses

    assert refusals(alice, "others/net") == [403] * 5
    assert refusals(HfApi(endpoint=hub.url, token="hf_reader"), REPO) == [403] * 5
    assert refusals(HfApi(endpoint=hub.url, token=False), "others/net") == [401] * 5
    assert hub.head("others/net") == sha
    assert len(hub.commits(REPO)) == 1


@lfs_upload
def test_a_commit_of_all_kinds_of_files_can_be_downloaded(hub: TestHub, alice: HfApi, tmp_path: Path) -> None:
    alice.create_repo(REPO)
    operations = add(model_safetensors=WEIGHTS, config_json=b"{}", README_md=CARD)
    info = alice.create_commit(REPO, operations, commit_message="Publish", commit_description="All of it")
    head = hub.commits(REPO)[0]
    assert (info.oid, head.title, head.message, head.author) == (head.sha, "Publish", "All of it", "alice")
    assert info.commit_url == f"{hub.url}/{REPO}/commit/{head.sha}"
    path = hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path)
    assert Path(path).read_bytes() == WEIGHTS
    assert hub.files(REPO)["config.json"] == b"{}"
    assert any(seen.path == f"/{REPO}.git/info/lfs/objects/verify" for seen in hub.requests)
    assert [model.id for model in alice.list_models(filter="zoo")] == [REPO]


@lfs_upload
def test_a_file_given_by_its_path_is_uploaded_too(hub: TestHub, alice: HfApi, tmp_path: Path) -> None:
    alice.create_repo(REPO)
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    alice.upload_folder(repo_id=REPO, folder_path=tmp_path)
    assert hub.files(REPO)["model.safetensors"] == WEIGHTS


@lfs_upload
def test_what_the_hub_has_already_is_not_sent_again(hub: TestHub, alice: HfApi) -> None:
    alice.create_repo(REPO)
    for name in ("model_safetensors", "copy_safetensors", "model_safetensors"):
        alice.create_commit(REPO, add(**{name: WEIGHTS}), commit_message=f"Add {name}")
    assert uploads(hub) == 1
    titles = [commit.title for commit in hub.commits(REPO)]
    assert titles == ["Add copy_safetensors", "Add model_safetensors", "initial commit"]


def test_files_and_folders_are_deleted(hub: TestHub, alice: HfApi) -> None:
    hub.add_repo(REPO, {"a.json": b"a", "docs/b.md": b"b", "docs/c.md": b"c", "docs.md": b"d"})
    operations = [CommitOperationDelete("a.json"), CommitOperationDelete("docs/")]
    alice.create_commit(REPO, operations, commit_message="Tidy")
    assert hub.files(REPO) == {"docs.md": b"d"}
    with pytest.raises(HfHubHTTPError, match="A file with this name doesn't exist"):
        alice.create_commit(REPO, [CommitOperationDelete("a.json")], commit_message="Again")


def test_a_commit_on_a_parent_that_is_no_longer_the_head_is_a_412(hub: TestHub, alice: HfApi) -> None:
    old = hub.add_repo(REPO, {"config.json": b"{}"})
    pushed = hub.commit(REPO, {"config.json": b"theirs"})
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_commit(REPO, add(config_json=b"mine"), commit_message="Mine", parent_commit=old)
    assert refused_with(error) == 412
    assert hub.head(REPO) == pushed
    assert hub.files(REPO) == {"config.json": b"theirs"}
    alice.create_commit(REPO, add(config_json=b"mine"), commit_message="Mine", parent_commit=pushed)
    assert hub.files(REPO) == {"config.json": b"mine"}


def test_of_several_publishers_at_once_one_wins(hub: TestHub, alice: HfApi) -> None:
    parent = hub.add_repo(REPO, {"config.json": b"{}"})
    outcomes: list[object] = []

    def publish(content: bytes) -> None:
        try:
            alice.create_commit(REPO, add(config_json=content), commit_message="Race", parent_commit=parent)
            outcomes.append("won")
        except HfHubHTTPError as error:
            outcomes.append(error.response.status_code)

    threads = [threading.Thread(target=publish, args=(bytes([number]),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["412", "412", "412", "won"]
    assert len(hub.commits(REPO)) == 2


def test_a_pull_request_leaves_the_branch_alone(hub: TestHub, alice: HfApi) -> None:
    sha = hub.add_repo("others/net", {"config.json": b"{}"})
    operations = add(config_json=b"new")
    info = alice.create_commit("others/net", operations, commit_message="Propose", create_pr=True)
    assert (info.pr_url, info.pr_revision) == (f"{hub.url}/others/net/discussions/1", "refs/pr/1")
    assert hub.head("others/net") == sha
    assert hub.files("others/net", "refs/pr/1") == {"config.json": b"new"}
    assert [commit.sha for commit in hub.commits("others/net", "refs/pr/1")] == [info.oid, sha]
    pull_requests = alice.list_repo_refs("others/net", include_pull_requests=True).pull_requests
    assert pull_requests is not None
    assert [ref.target_commit for ref in pull_requests] == [info.oid]


def test_branches_and_tags_stay_where_they_were_set(hub: TestHub, alice: HfApi) -> None:
    first = hub.add_repo(REPO, {"config.json": b"1"})
    alice.create_tag(REPO, tag="v1.0")
    alice.create_branch(REPO, branch="try/this")
    second = hub.commit(REPO, {"config.json": b"2"})
    assert (hub.head(REPO), hub.head(REPO, "v1.0"), hub.head(REPO, "try/this")) == (second, first, first)
    alice.create_commit(REPO, add(config_json=b"3"), commit_message="Try", revision="try/this")
    assert hub.files(REPO, "try/this") == {"config.json": b"3"}
    assert hub.head(REPO) == second
    refs = alice.list_repo_refs(REPO)
    assert [ref.name for ref in refs.branches] == ["main", "try/this"]
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1.0", first)]
    alice.create_tag(REPO, tag="v1.0", exist_ok=True)
    with pytest.raises(HfHubHTTPError) as error:
        alice.create_branch(REPO, branch="try/this")
    assert refused_with(error) == 409
    with pytest.raises(RevisionNotFoundError):
        alice.create_branch(REPO, branch="late", revision="v9")
    with pytest.raises(RevisionNotFoundError):
        alice.create_commit(REPO, add(config_json=b"4"), commit_message="Move a tag", revision="v1.0")


def test_a_deleted_repo_is_gone(hub: TestHub, alice: HfApi) -> None:
    hub.add_repo(REPO, {"config.json": b"{}"})
    alice.delete_repo(REPO)
    assert not alice.repo_exists(REPO)
    with pytest.raises(RepositoryNotFoundError):
        alice.delete_repo(REPO)


def test_a_card_is_checked_before_anything_is_committed(hub: TestHub, alice: HfApi) -> None:
    sha = hub.add_repo(REPO, {"config.json": b"{}"})
    for broken in (b"---\ntags: [zoo\n---\n", b"---\n- zoo\n---\n"):
        with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
            alice.create_commit(REPO, add(README_md=broken), commit_message="Broken")
    assert hub.head(REPO) == sha
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alice.create_commit(REPO, add(README_md=b"# No metadata\n"), commit_message="Bare")
    assert any("empty or missing yaml metadata" in str(warning.message) for warning in caught)


def test_a_large_file_must_be_announced_and_whole(hub: TestHub, alice: HfApi) -> None:
    hub.add_repo(REPO, {"config.json": b"{}"})
    oid = "0" * 64
    url = f"{hub.cdn_url}/lfs-objects/{REPO}/{oid}"
    assert get_session().put(url, content=b"x").status_code == 403
    batch = {"operation": "upload", "objects": [{"oid": oid, "size": 1}]}
    headers = {"authorization": "Bearer hf_alice"}
    answer = get_session().post(f"{hub.url}/{REPO}.git/info/lfs/objects/batch", json=batch, headers=headers)
    assert answer.json()["objects"][0]["actions"]["upload"]["href"] == url
    assert get_session().put(url, content=iter([b"not ", b"it"])).status_code == 400
    assert get_session().get(url).status_code == 404


@lfs_upload
def test_an_upload_that_only_seems_to_arrive_stops_the_commit(hub: TestHub, alice: HfApi) -> None:
    sha = hub.add_repo(REPO, {"config.json": b"{}"})
    hub.fault("PUT", "/lfs-objects/", status=200)
    with pytest.raises(RuntimeError, match=r"Error while uploading 'model\.safetensors'"):
        alice.create_commit(REPO, add(model_safetensors=WEIGHTS), commit_message="Publish")
    assert hub.head(REPO) == sha


def test_a_commit_may_not_point_to_a_large_file_that_was_never_uploaded(hub: TestHub, alice: HfApi) -> None:
    sha = hub.add_repo(REPO, {"config.json": b"{}"})
    lines = (
        {"key": "header", "value": {"summary": "Publish"}},
        {"key": "lfsFile", "value": {"path": "model.safetensors", "oid": "0" * 64, "size": 1}},
    )
    headers = {"authorization": f"Bearer {alice.token}"}
    body = "\n".join(map(json.dumps, lines))
    answer = get_session().post(f"{hub.url}/api/models/{REPO}/commit/main", content=body, headers=headers)
    assert (answer.status_code, hub.head(REPO)) == (400, sha)


def test_a_client_that_dies_in_the_middle_of_a_commit_changes_nothing(hub: TestHub, alice: HfApi) -> None:
    sha = hub.add_repo(REPO, {"config.json": b"{}"})
    line = json.dumps({"key": "header", "value": {"summary": "Half"}}).encode() + b"\n"
    head = f"POST /api/models/{REPO}/commit/main HTTP/1.1\r\nAuthorization: Bearer {alice.token}\r\n"
    with socket.create_connection(("127.0.0.1", int(hub.url.rsplit(":", 1)[1]))) as client:
        client.sendall(f"{head}Content-Length: {2 * len(line)}\r\n\r\n".encode() + line)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert hub.head(REPO) == sha
