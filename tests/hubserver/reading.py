"""The endpoints that only read: who am I, models, trees, refs, commits and the files themselves."""

import re
from pathlib import PurePosixPath
from typing import Any

from .answers import Answer, HubError, json_answer
from .calls import DATASET, REPO, SPACE, Call, Route, lfs_path, resolved_path, route
from .store import Commit, Repo, StoredFile, git_blob_id, signed_in

IN_LISTS = (
    "id",
    "modelId",
    "private",
    "downloads",
    "likes",
    "tags",
    "createdAt",
    "pipeline_tag",
    "library_name",
)
SORTED_DOWNWARDS = ("downloads", "likes", "lastModified", "createdAt")


def whoami(call: Call) -> Answer:
    user = signed_in(call.user)
    orgs = [{"type": "org", "name": org, "fullname": org} for org in user.orgs]
    token = {"displayName": "test", "role": user.role}
    auth = {"type": "access_token", "accessToken": token}
    return json_answer({"type": "user", "name": user.name, "fullname": user.name, "orgs": orgs, "auth": auth})


def list_models(call: Call) -> Answer:
    """Lists the models that carry every `filter` tag, are by `author` and have `search` in their id."""
    models = [facts(repo, repo.at("main")) for repo in call.store.repos.values() if is_listed(call, repo)]
    sort_by = call.value("sort")
    if sort_by in SORTED_DOWNWARDS:
        models.sort(key=lambda model: model[sort_by], reverse=True)
    page, headers = call.page(models)
    shown = [{key: model[key] for key in listed_keys(call, model)} for model in page]
    return json_answer(shown, headers=headers)


def is_listed(call: Call, repo: Repo) -> bool:
    try:
        call.store.readable(repo.id, call.user)
    except HubError:
        return False
    author, search = call.value("author"), call.value("search").lower()
    if not repo.is_model:
        return False
    is_tagged = set(call.query.get("filter", ())) <= set(repo.tags_at(repo.at("main")))
    return is_tagged and author in ("", repo.namespace) and search in repo.id.lower()


def listed_keys(call: Call, model: dict[str, Any]) -> list[str]:
    if "expand" in call.query:
        return ["id", *(key for key in call.query["expand"] if key in model)]
    wanted = {*model} - {"cardData"} if call.flag("full") else {*IN_LISTS}
    if call.flag("cardData"):
        wanted.add("cardData")
    return [key for key in model if key in wanted]


def model_info(call: Call, repo: str, rev: str = "main") -> Answer:
    found = call.store.readable(repo, call.user)
    commit = found.at(rev)
    model = facts(found, commit)
    if "expand" in call.query:
        model = {key: model[key] for key in listed_keys(call, model)}
    if call.flag("blobs"):
        model["siblings"] = [sibling(file) for file in commit.files.values()]
    return json_answer(model)


def facts(repo: Repo, commit: Commit) -> dict[str, Any]:
    """All that the Hub tells about a model at one commit."""
    card = repo.card_at(commit)
    return {
        "id": repo.id.removeprefix("datasets/").removeprefix("spaces/"),
        "modelId": repo.id,
        "author": repo.namespace,
        "sha": commit.sha,
        "createdAt": repo.created,
        "lastModified": commit.date,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "downloads": repo.downloads,
        "likes": 0,
        "tags": repo.tags_at(commit),
        "pipeline_tag": card.get("pipeline_tag"),
        "library_name": card.get("library_name"),
        "cardData": card,
        "siblings": [{"rfilename": path} for path in commit.files],
    }


def sibling(file: StoredFile) -> dict[str, Any]:
    facts: dict[str, Any] = {"rfilename": file.path, "size": len(file.data), "blobId": file.blob_id}
    if file.is_lfs:
        facts["lfs"] = {"sha256": file.sha256, "size": len(file.data), "pointerSize": len(file.pointer)}
    return facts


def tree(call: Call, repo: str, rev: str, folder: str = "") -> Answer:
    """Lists a folder's files and folders, with all below them if `recursive`."""
    commit = call.store.readable(repo, call.user).at(rev)
    parent = PurePosixPath(folder)
    entries = [entry for entry in entries_of(commit) if parent in PurePosixPath(entry["path"]).parents]
    if not entries and folder:
        raise entry_not_found(commit)
    if not call.flag("recursive"):
        entries = [entry for entry in entries if PurePosixPath(entry["path"]).parent == parent]
    page, headers = call.page(entries)
    return json_answer(page, headers=headers)


def paths_info(call: Call, repo: str, rev: str) -> Answer:
    """Tells about the paths that exist and leaves out those that do not."""
    commit = call.store.readable(repo, call.user).at(rev)
    wanted = call.form().get("paths", [])
    return json_answer([entry for entry in entries_of(commit) if entry["path"] in wanted])


def entries_of(commit: Commit) -> list[dict[str, Any]]:
    """All files and folders of a commit by path; a folder's id is made up from its path."""
    folders = {str(parent) for path in commit.files for parent in PurePosixPath(path).parents} - {"."}
    entries = [*map(folder_entry, folders), *map(file_entry, commit.files.values())]
    return sorted(entries, key=lambda entry: str(entry["path"]))


def folder_entry(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": git_blob_id(path.encode())}


def file_entry(file: StoredFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": file.path, "size": len(file.data), "oid": file.blob_id}
    if file.is_lfs:
        entry["lfs"] = {"oid": file.sha256, "size": len(file.data), "pointerSize": len(file.pointer)}
    return entry


def refs(call: Call, repo: str) -> Answer:
    found = call.store.readable(repo, call.user)

    def below(prefix: str) -> list[dict[str, str]]:
        return [
            {"name": name.removeprefix(prefix), "ref": name, "targetCommit": sha}
            for name, sha in found.refs.items()
            if name.startswith(prefix)
        ]

    answer = {"branches": below("refs/heads/"), "converts": [], "tags": below("refs/tags/")}
    if call.flag("include_prs"):
        answer["pullRequests"] = below("refs/pr/")
    return json_answer(answer)


def commits(call: Call, repo: str, rev: str) -> Answer:
    history = [
        {"id": c.sha, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
        for c in call.store.readable(repo, call.user).history(rev)
    ]
    page, headers = call.page(history)
    return json_answer(page, headers=headers)


def resolve(call: Call, repo: str, rev: str, path: str) -> Answer:
    """Sends the client on: for a large file to the second server, for a small one to another path."""
    commit, file = find_file(call, repo, rev, path)
    status, location = 307, resolved_path(repo, commit.sha, path)
    if file.is_lfs:
        status, location = 302, call.cdn_url + lfs_path(repo, file.sha256)
    linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.data))}
    return Answer(status, headers={"X-Repo-Commit": commit.sha, "Location": location, **linked})


def small_file(call: Call, repo: str, rev: str, path: str) -> Answer:
    commit, file = find_file(call, repo, rev, path)
    return ranged(call, file.data, {"X-Repo-Commit": commit.sha, "ETag": f'"{file.etag}"'})


def large_file(call: Call, repo: str, sha256: str) -> Answer:
    """Serves a large file by its hash, to anybody who has its address."""
    found = call.store.repos.get(repo)
    if found is None or sha256 not in found.lfs_objects:
        raise HubError(404, "NoSuchKey")
    return ranged(call, found.lfs_objects[sha256], {"ETag": f'"{sha256}"'})


def find_file(call: Call, repo: str, rev: str, path: str) -> tuple[Commit, StoredFile]:
    commit = call.store.readable_files(repo, call.user).at(rev)
    if path not in commit.files:
        raise entry_not_found(commit)
    return commit, commit.files[path]


def entry_not_found(commit: Commit) -> HubError:
    return HubError(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": commit.sha})


def ranged(call: Call, data: bytes, headers: dict[str, str]) -> Answer:
    """Serves the bytes asked for by a Range header (from, from-to or the last n), all of them without one."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("range", ""))
    if asked is None or not any(asked.groups()):
        return Answer(200, data, headers)
    first, last = asked.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= end:
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
    return Answer(206, data[start:end], {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})


def routes_of(files: str, facts: str) -> tuple[Route, ...]:
    """The endpoints of one repository: below `files` its files, below `/api/` and `facts` what is known of it."""
    return (
        route("GET", f"/api/{facts}", model_info),
        route("GET", f"/api/{facts}/revision/(?P<rev>[^/]+)", model_info),
        route("GET", f"/api/{facts}/tree/(?P<rev>[^/]+)(?:/(?P<folder>.+))?", tree),
        route("POST", f"/api/{facts}/paths-info/(?P<rev>[^/]+)", paths_info),
        route("GET", f"/api/{facts}/refs", refs),
        route("GET", f"/api/{facts}/commits/(?P<rev>[^/]+)", commits),
        route("GET HEAD", f"/{files}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", resolve),
        route("GET HEAD", f"/api/resolve-cache/{facts}/(?P<rev>[^/]+)/(?P<path>.+)", small_file),
    )


HUB_ROUTES = (
    route("GET", "/api/whoami-v2", whoami),
    route("GET", "/api/models", list_models),
    *routes_of(SPACE, SPACE),
    *routes_of(DATASET, DATASET),
    *routes_of(REPO, f"models/{REPO}"),
)
CDN_ROUTES = tuple(
    route("GET HEAD", f"/lfs-objects/{repo}/(?P<sha256>[0-9a-f]+)", large_file) for repo in (SPACE, DATASET, REPO)
)
