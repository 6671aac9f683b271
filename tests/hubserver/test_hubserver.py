"""The test Hub's reading endpoints, proven with the real client."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, RepoFile, RepoFolder, get_session, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .server import TestHub

HEADER = b'{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(range(8))
CARD = b"---\ntags: [zoo]\nlicense: mit\nlibrary_name: timm\n---\n# A model\n"
FILES = {"model.safetensors": WEIGHTS, "config.json": b"{}", "README.md": CARD, "docs/a note.md": b"note"}
REPO = "acme/net"


def sent(hub: TestHub, method: str, pattern: str) -> int:
    """How many such requests the Hub has seen."""
    return sum(seen.method == method and re.search(pattern, seen.path) is not None for seen in hub.requests)


def test_a_small_file_arrives_by_a_307_and_is_cached_as_its_git_blob_id(hub: TestHub, tmp_path: Path) -> None:
    sha = hub.add_repo(REPO, FILES)
    path = hf_hub_download(REPO, "docs/a note.md", endpoint=hub.url, cache_dir=tmp_path)
    assert Path(path).read_bytes() == b"note"
    assert Path(path).parents[1].name == sha
    assert Path(path).resolve().name == hashlib.sha1(b"blob 4\0note").hexdigest()
    assert sent(hub, "HEAD", "/resolve/main/") == sent(hub, "GET", "/api/resolve-cache/") == 1


def test_a_large_file_arrives_by_a_302_and_is_cached_as_its_sha256(hub: TestHub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES)
    path = hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path)
    assert Path(path).read_bytes() == WEIGHTS
    assert Path(path).resolve().name == hashlib.sha256(WEIGHTS).hexdigest()
    assert sent(hub, "GET", f"/lfs-objects/{REPO}/") == 1


def test_the_token_goes_to_the_hub_but_not_to_where_large_files_lie(hub: TestHub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES, private=True)
    hub.add_token("hf_secret", user="alice", orgs=("acme",))
    hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path, token="hf_secret")
    tokens = {seen.path.split("/")[1]: seen.headers.get("authorization") for seen in hub.requests}
    assert tokens == {"acme": "Bearer hf_secret", "lfs-objects": None}


def test_a_second_download_asks_again_but_moves_no_body(hub: TestHub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES)
    for _ in range(2):
        hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path)
    assert (sent(hub, "HEAD", "resolve"), sent(hub, "GET", "lfs-objects")) == (2, 1)


def test_a_part_of_a_file_is_served_to_a_range(hub: TestHub) -> None:
    hub.add_repo(REPO, FILES)
    metadata = HfApi(endpoint=hub.url).parse_safetensors_file_metadata(REPO, "model.safetensors")
    assert metadata.tensors["weight"].shape == [2]

    def part(asked: str) -> tuple[int, bytes, str | None]:
        url = f"{hub.url}/{REPO}/resolve/main/docs/a%20note.md"
        answer = get_session().get(url, headers={"Range": asked})
        return answer.status_code, answer.content, answer.headers.get("Content-Range")

    assert part("bytes=1-2") == (206, b"ot", "bytes 1-2/4")
    assert part("bytes=3-") == (206, b"e", "bytes 3-3/4")
    assert part("bytes=-3") == (206, b"ote", "bytes 1-3/4")
    assert part("bytes=4-") == (416, b"", "bytes */4")


def test_a_repo_is_served_under_the_revision_it_was_added_with(hub: TestHub, tmp_path: Path) -> None:
    pinned = "0123456789abcdef0123456789abcdef01234567"
    assert hub.add_repo(REPO, FILES, revision=pinned) == pinned == hub.head(REPO)
    path = hf_hub_download(REPO, "config.json", revision=pinned, endpoint=hub.url, cache_dir=tmp_path)
    assert Path(path).parent.name == pinned


def test_an_old_commit_keeps_its_files_when_somebody_pushes(hub: TestHub, tmp_path: Path) -> None:
    old = hub.add_repo(REPO, FILES)
    new = hub.commit(REPO, {"config.json": b"new"}, title="Push")
    assert [(commit.sha, commit.title) for commit in hub.commits(REPO)] == [
        (new, "Push"),
        (old, "initial commit"),
    ]
    for revision, content in (("main", b"new"), (old, b"{}")):
        path = hf_hub_download(REPO, "config.json", revision=revision, endpoint=hub.url, cache_dir=tmp_path)
        assert Path(path).read_bytes() == content


def test_a_snapshot_holds_every_file(hub: TestHub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES)
    folder = Path(snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path))
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES == hub.files(REPO)


def test_model_info_tells_the_commit_the_card_and_the_files(hub: TestHub) -> None:
    sha = hub.add_repo(REPO, FILES, tags=("extra",), downloads=7)
    api = HfApi(endpoint=hub.url)
    info = api.model_info(REPO, revision=sha, files_metadata=True)
    assert (info.sha, info.author, info.downloads, info.library_name) == (sha, "acme", 7, "timm")
    assert info.tags == ["extra", "zoo", "timm", "license:mit"]
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    sizes = {file.rfilename: (file.size, file.lfs and file.lfs.sha256) for file in info.siblings or ()}
    assert sizes["config.json"] == (2, None)
    assert sizes["model.safetensors"] == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    only_sha = api.model_info(REPO, expand=["sha"])
    assert (only_sha.sha, only_sha.tags) == (sha, None)


def test_models_are_listed_by_tag_author_and_name_page_by_page() -> None:
    with TestHub(page_size=2) as hub:
        for number in range(5):
            hub.add_repo(f"acme/net-{number}", {"README.md": CARD}, downloads=number)
        hub.add_repo("other/net", {"config.json": b"{}"}, card_data={"pipeline_tag": "image-classification"})
        hub.add_repo("acme/hidden", {"README.md": CARD}, private=True)
        api = HfApi(endpoint=hub.url)
        names = [f"acme/net-{number}" for number in range(5)]
        assert [model.id for model in api.list_models(filter=["zoo", "license:mit"])] == names
        assert sent(hub, "GET", "/api/models") == 3
        assert [model.id for model in api.list_models(filter="zoo", limit=3)] == names[:3]
        assert [model.id for model in api.list_models(author="other")] == ["other/net"]
        assert [model.id for model in api.list_models(filter="image-classification")] == ["other/net"]
        assert [model.id for model in api.list_models(search="NET-4")] == ["acme/net-4"]
        assert [model.id for model in api.list_models(author="acme", sort="downloads")] == names[::-1]
        plain, full = (next(iter(api.list_models(full=full))) for full in (False, True))
        assert (plain.sha, full.sha) == (None, hub.head("acme/net-0"))
        (expanded,) = api.list_models(author="other", expand=["sha"])
        assert (expanded.sha, expanded.downloads) == (hub.head("other/net"), None)
        (with_card,) = api.list_models(author="other", cardData=True)
        assert with_card.card_data is not None
        assert with_card.card_data.pipeline_tag == "image-classification"
        assert len(get_session().get(f"{hub.url}/api/models?limit=1").json()) == 1


def test_trees_paths_refs_and_commits_are_listed(hub: TestHub) -> None:
    sha = hub.add_repo(REPO, FILES)
    api = HfApi(endpoint=hub.url)
    top = {item.path: type(item) for item in api.list_repo_tree(REPO)}
    assert top["docs"] is RepoFolder
    assert top["config.json"] is RepoFile
    assert "docs/a note.md" not in top
    assert sorted(api.list_repo_files(REPO)) == sorted(FILES)
    assert [item.path for item in api.list_repo_tree(REPO, "docs")] == ["docs/a note.md"]
    (weights,) = api.get_paths_info(REPO, ["model.safetensors", "no such file"])
    assert isinstance(weights, RepoFile)
    assert weights.lfs is not None
    assert (weights.lfs.sha256, weights.lfs.pointer_size) == (hashlib.sha256(WEIGHTS).hexdigest(), 127)
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    (main,) = refs.branches
    assert (main.name, main.ref, main.target_commit) == ("main", "refs/heads/main", sha)
    (commit,) = api.list_repo_commits(REPO)
    assert (commit.commit_id, commit.title, commit.authors) == (sha, "initial commit", ["acme"])


def test_what_is_missing_is_told_apart(hub: TestHub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES)
    api = HfApi(endpoint=hub.url)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("acme/none", "config.json", endpoint=hub.url, cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(REPO, "config.json", revision="v9", endpoint=hub.url, cache_dir=tmp_path)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "none"))
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(REPO, "none.json", endpoint=hub.url, cache_dir=tmp_path)
    assert api.repo_exists(REPO)
    assert not api.repo_exists("acme/none")
    assert api.file_exists(REPO, "config.json")
    assert not api.file_exists(REPO, "none.json")


def test_a_private_repo_is_seen_only_with_a_token_of_its_owner_or_organization(hub: TestHub) -> None:
    hub.add_repo(REPO, FILES, private=True)
    hub.add_token("hf_alice", user="alice", orgs=("acme",))
    hub.add_token("hf_acme", user="acme")
    hub.add_token("hf_eve", user="eve")
    tokens = ("hf_alice", "hf_acme", "hf_eve", False)
    seen = [HfApi(endpoint=hub.url, token=token).repo_exists(REPO) for token in tokens]
    assert seen == [True, True, False, False]


def test_a_gated_repo_shows_its_facts_to_all_and_its_files_to_members(hub: TestHub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES, gated=True)
    hub.add_token("hf_alice", user="alice", orgs=("acme",))
    assert HfApi(endpoint=hub.url).model_info(REPO).gated == "manual"
    with pytest.raises(GatedRepoError) as refused:
        hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path)
    assert refused.value.response.status_code == 403
    assert hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path, token="hf_alice")


def test_whoami_names_the_user_and_an_unknown_token_is_refused_even_for_public_files(hub: TestHub) -> None:
    hub.add_repo(REPO, FILES)
    hub.add_token("hf_alice", user="alice", orgs=("acme",), role="read")
    me = HfApi(endpoint=hub.url, token="hf_alice").whoami()
    assert (me["name"], [org["name"] for org in me["orgs"]]) == ("alice", ["acme"])
    assert me["auth"]["accessToken"]["role"] == "read"
    stranger = HfApi(endpoint=hub.url, token="hf_wrong")
    for ask in (stranger.whoami, lambda: stranger.model_info(REPO)):
        with pytest.raises(HfHubHTTPError) as refused:
            ask()
        assert refused.value.response.status_code == 401


def test_another_process_needs_only_the_endpoint_in_its_environment(hub: TestHub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES)
    program = f"import huggingface_hub as hf; print(hf.hf_hub_download({REPO!r}, 'model.safetensors'))"
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    printed = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert Path(printed.strip()).read_bytes() == WEIGHTS


def test_a_hub_that_stopped_answers_no_more() -> None:
    with TestHub() as hub:
        assert httpx2.get(f"{hub.url}/api/models").json() == []
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{hub.url}/api/models")
