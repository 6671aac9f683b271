"""The endpoints that change something: repos, commits, large files, branches and tags."""

import base64
import hashlib
import json
from typing import Any

from .answers import Answer, HubError, json_answer
from .calls import REPO, SPACE, Call, Route, lfs_path, route
from .cards import read_card
from .store import MAIN, Commit, Repo, StoredFile, signed_in

# What a new repo holds on the real Hub.
FIRST_FILES = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}


def create_repo(call: Call) -> Answer:
    """Makes a repo with its first commit. One that exists is a 409, which must carry its address too."""
    repo_id = repo_id_in(call)
    namespace = repo_id.split("/")[-2]
    call.store.check_may_write(namespace, call.user)
    if repo_id.startswith("spaces/") and not call.json().get("sdk"):
        raise HubError(400, "A Space needs an sdk")
    url = f"{call.hub_url}/{repo_id}"
    repo = Repo(repo_id, private=call.json().get("visibility") == "private")
    try:
        call.store.add(repo)
    except HubError as refusal:
        return refusal.answer(url=url)
    files = call.store.files(FIRST_FILES).values()
    call.store.commit(repo, files, title="initial commit", author=signed_in(call.user).name, parent=None)
    return json_answer({"url": url, "name": repo_id})


def delete_repo(call: Call) -> Answer:
    repo = call.store.writable(repo_id_in(call), call.user)
    del call.store.repos[repo.id]
    return json_answer({})


def repo_id_in(call: Call) -> str:
    """The repo's id from a name and an organization; without one it is the user's own."""
    wanted = call.json()
    kind = "spaces/" if wanted.get("type") == "space" else ""
    return f"{kind}{wanted.get('organization') or signed_in(call.user).name}/{wanted['name']}"


def validate_yaml(call: Call) -> Answer:
    """Says what is wrong with a card's metadata: broken is an error, empty a warning."""
    try:
        metadata = read_card(call.json()["content"])
    except ValueError as error:
        return json_answer({"errors": [{"message": str(error)}], "warnings": []}, status=400)
    warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    return json_answer({"errors": [], "warnings": warnings})


def preupload(call: Call, repo: str, rev: str) -> Answer:
    """Says for each file whether it goes the large way, and the id of what is there under its name."""
    files = repo_to_commit_to(call, repo).at(rev).files

    def advice(path: str, size: int) -> dict[str, Any]:
        mode = "lfs" if call.store.is_lfs(path, size) else "regular"
        known = {"oid": files[path].etag} if path in files else {}
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, **known}

    return json_answer({"files": [advice(file["path"], file["size"]) for file in call.json()["files"]]})


def lfs_batch(call: Call, repo: str) -> Answer:
    """Tells where to upload each large file; one that is there already gets no action."""
    found = call.store.readable(repo, signed_in(call.user))
    verify = {"href": f"{call.hub_url}/{repo}.git/info/lfs/objects/verify"}

    def instructions(oid: str, size: int) -> dict[str, Any]:
        if oid in found.lfs_objects:
            return {"oid": oid, "size": size}
        found.awaited_uploads.add(oid)
        upload = {"href": call.cdn_url + lfs_path(repo, oid), "header": {}}
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}

    objects = [instructions(wanted["oid"], wanted["size"]) for wanted in call.json()["objects"]]
    return json_answer({"transfer": "basic", "objects": objects})


def receive_large_file(call: Call, repo: str, sha256: str) -> Answer:
    """Takes a large file that was announced, if it is whole."""
    found = call.store.repos.get(repo)
    if found is None or sha256 not in found.awaited_uploads:
        raise HubError(403, "SignatureDoesNotMatch")
    if hashlib.sha256(call.body).hexdigest() != sha256:
        raise HubError(400, "BadDigest")
    found.lfs_objects[sha256] = call.body
    return Answer(headers={"ETag": f'"{sha256}"'})


def verify_large_file(call: Call, repo: str) -> Answer:
    found = call.store.readable(repo, signed_in(call.user))
    wanted = call.json()
    if len(found.lfs_objects.get(wanted["oid"], b"")) != wanted["size"]:
        raise HubError(404, "The object was not uploaded")
    return json_answer({})


def commit(call: Call, repo: str, rev: str) -> Answer:
    """Commits what the NDJSON lines say onto a branch, or as a pull request that leaves the branch alone."""
    found = repo_to_commit_to(call, repo)
    header, *operations = (json.loads(line) for line in call.body.splitlines() if line)
    ref, parent, pull_request = find_place(call, found, rev, header["value"].get("parentCommit"))
    made = call.store.commit(
        found,
        apply(call, found, parent, operations).values(),
        ref=ref,
        title=header["value"]["summary"],
        message=header["value"].get("description", ""),
        author=signed_in(call.user).name,
        parent=parent,
    )
    url = f"{call.hub_url}/{repo}/commit/{made.sha}"
    return json_answer({"commitOid": made.sha, "commitUrl": url, "pullRequestUrl": pull_request})


def repo_to_commit_to(call: Call, repo: str) -> Repo:
    """A pull request may come from anybody who can read the repo and has a token."""
    if call.flag("create_pr"):
        return call.store.readable(repo, signed_in(call.user))
    return call.store.writable(repo, call.user)


def find_place(call: Call, repo: Repo, rev: str, expected: str | None) -> tuple[str, Commit, str | None]:
    """Returns the ref to move, the parent, and the pull request's address if there is one.

    `expected` is the parent that the client counts on: 412 if the branch has moved on from it.
    """
    if call.flag("create_pr"):
        number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs)
        url = f"{call.hub_url}/{repo.id}/discussions/{number}"
        return f"refs/pr/{number}", repo.at(expected or rev), url
    ref = repo.ref_named(rev)
    if ref is None or ref.startswith("refs/tags/"):
        raise HubError(404, "Invalid rev id", "RevisionNotFound")
    head = repo.at(ref)
    if expected is not None and not head.sha.startswith(expected):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    return ref, head, None


def apply(call: Call, repo: Repo, parent: Commit, operations: list[dict[str, Any]]) -> dict[str, StoredFile]:
    """Returns the parent's files with the operations done, one after the other."""
    files = dict(parent.files)
    for operation in operations:
        key, value = operation["key"], operation["value"]
        path = value["path"]
        if key == "file":
            files[path] = call.store.file(path, base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if value["oid"] not in repo.lfs_objects:
                raise HubError(400, "An LFS pointer points to a file that does not exist")
            files[path] = call.store.file(path, repo.lfs_objects[value["oid"]])
        elif key in ("deletedFile", "deletedFolder"):
            files = without(files, path, parent)
        else:
            raise HubError(400, "Unknown commit operation")
    return files


def without(files: dict[str, StoredFile], path: str, parent: Commit) -> dict[str, StoredFile]:
    """Returns the files less the one at `path`, or all those below it."""
    gone = path.rstrip("/")
    kept = {name: file for name, file in files.items() if name != gone and not name.startswith(f"{gone}/")}
    if len(kept) == len(files):
        message = "A file with this name doesn't exist"
        raise HubError(404, message, "EntryNotFound", {"X-Repo-Commit": parent.sha})
    return kept


def create_branch(call: Call, repo: str, branch: str) -> Answer:
    found = call.store.writable(repo, call.user)
    start = (call.json() if call.body else {}).get("startingPoint", MAIN)
    return add_ref(found, f"refs/heads/{branch}", start)


def create_tag(call: Call, repo: str, rev: str) -> Answer:
    found = call.store.writable(repo, call.user)
    return add_ref(found, f"refs/tags/{call.json()['tag']}", rev)


def add_ref(repo: Repo, name: str, target: str) -> Answer:
    if name in repo.refs:
        raise HubError(409, "Reference already exists")
    repo.refs[name] = repo.at(target).sha
    return json_answer({})


def routes_of(files: str, facts: str) -> tuple[Route, ...]:
    """The endpoints that change one repository."""
    return (
        route("POST", f"/api/{facts}/preupload/(?P<rev>[^/]+)", preupload),
        route("POST", f"/{files}\\.git/info/lfs/objects/batch", lfs_batch),
        route("POST", f"/{files}\\.git/info/lfs/objects/verify", verify_large_file),
        route("POST", f"/api/{facts}/commit/(?P<rev>[^/]+)", commit),
        route("POST", f"/api/{facts}/branch/(?P<branch>[^/]+)", create_branch),
        route("POST", f"/api/{facts}/tag/(?P<rev>[^/]+)", create_tag),
    )


HUB_ROUTES = (
    route("POST", "/api/repos/create", create_repo),
    route("DELETE", "/api/repos/delete", delete_repo),
    route("POST", "/api/validate-yaml", validate_yaml),
    *routes_of(SPACE, SPACE),
    *routes_of(REPO, f"models/{REPO}"),
)
CDN_ROUTES = tuple(
    route("PUT", f"/lfs-objects/{repo}/(?P<sha256>[0-9a-f]+)", receive_large_file) for repo in (SPACE, REPO)
)
