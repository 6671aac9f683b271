"""Publishes a run: one commit on top of the head that was read, made at most once."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from zoo_core.catalog import Catalog, open_catalog
from zoo_core.errors import HubError, UsageError
from zoo_core.hub.bundle import PublishOptions, build_bundle, published_names
from zoo_core.hubclient.client import attempt, checked_info, endpoint, explained, guarded_api, offline, transient
from zoo_core.paths import git_object_id, sha256_of
from zoo_core.runs.directory import CARD, read_run
from zoo_core.spec_checks import is_repository

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, SpaceInfo

    RepoFacts = ModelInfo | SpaceInfo

ATTEMPTS = 3
FOLDER = "zoo-publish-"
LONGEST_PUBLISH_SECONDS = 24 * 3600
BARE = {".gitattributes", CARD}
"""Files of a new repository, made on the Hub's pages or by an interrupted publish."""


@dataclass(frozen=True)
class PublishResult:
    """The files and the address of a published model. `commit` is None after a dry run."""

    repo: str
    url: str
    files: dict[str, int]
    card: str
    commit: str | None = None
    already_there: bool = False
    proposal: str | None = None
    """The revision of the pull request that proposes the change, as `refs/pr/1`; None where the
    repository itself was changed."""

    @property
    def page(self) -> str:
        """The address at which a person sees the files that were sent."""
        return self.url if self.proposal is None else f"{self.url}/discussions/{self.proposal.rpartition('/')[2]}"


class Commit(NamedTuple):
    """A commit that holds the files to be sent, on the main branch or proposed."""

    sha: str | None
    proposal: str | None = None


def publish(
    directory: str | Path,
    repo: str,
    *,
    catalog: Catalog | None = None,
    options: PublishOptions | None = None,
    private: bool = False,
    update: bool = False,
    pull_request: bool = False,
    dry_run: bool = False,
) -> PublishResult:
    """Publish a run directory as the Hub repository `owner/name`, in one commit.

    An existing model is replaced only with `update`, and only while nobody else has moved its head;
    files of the former model that this one lacks go. Nothing is sent when the repository, or with
    `pull_request` a proposal, holds the same bytes already, so that the same command completes an
    interrupted publish. Raises UsageError, also for `private` where the repository is
    there and public, or HubError when the Hub refuses or somebody else was faster.
    """
    if not is_repository(repo):
        raise UsageError(f"'{repo}' is not a repository 'owner/name' (letters, digits, '-', '_' and '.').")
    if update and pull_request:
        raise UsageError("--update changes the repository and --pr proposes the change: leave one out.")
    run = read_run(Path(directory))
    with publish_folder() as folder:
        files = build_bundle(run, repo, options or PublishOptions(), catalog or open_catalog(), folder)
        place = Place(repo, "Publish a model fine-tuned with zoo", owned=published_names())
        return send(place, files, private=private, update=update, pull_request=pull_request, dry_run=dry_run)


@dataclass(frozen=True)
class Place:
    """A repository of the Hub, of a model or of a Space, the title of a commit to it, and the names
    of the files that each publish replaces: one that is not sent is removed."""

    repo: str
    title: str
    kind: Literal["model", "space"] = "model"
    owned: frozenset[str] = frozenset()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{endpoint()}/{'spaces/' if self.kind == 'space' else ''}{self.repo}"

    @property
    def subject(self) -> str:
        """The words with which errors begin."""
        return f"publishing {self.repo}"


@contextmanager
def publish_folder() -> Iterator[Path]:
    """A new folder for the files of a publish, which goes afterwards; those of publishes that were
    killed go too."""
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        yield Path(folder)


def check_online(subject: str) -> None:
    """Raise HubError where the user forbids the network."""
    if offline():
        raise HubError(f"{subject}: HF_HUB_OFFLINE forbids the network.")


def send(
    place: Place,
    files: Mapping[str, Path],
    *,
    private: bool = False,
    update: bool = False,
    pull_request: bool = False,
    dry_run: bool = False,
) -> PublishResult:
    """Send files, a card among them, in one commit, as `publish` says."""
    repo = place.repo
    sizes = {name: path.stat().st_size for name, path in files.items()}
    planned = PublishResult(repo, place.url, sizes, files[CARD].read_text(encoding="utf-8"))
    if dry_run:
        return planned
    check_online(place.subject)
    api = guarded_api()
    head = _head(api, place) or _create(api, place, private=private)
    if private and head.private is False:
        raise UsageError(
            f"{repo} is there and public, and --private is for a new repository: make it private at "
            f"{planned.url}/settings, or leave --private out."
        )
    there = Commit(head.sha) if _holds(head, place, files) else None
    if pull_request:
        there = there or _landed(api, place, files, pull_request=True)
    if there is not None:
        return replace(planned, commit=there.sha, proposal=there.proposal, already_there=True)
    existing = {file.rfilename for file in head.siblings or ()} - BARE
    if existing and not (update or pull_request):
        raise UsageError(
            f"{repo} exists and holds {', '.join(sorted(existing)[:4])}. --update replaces it, --pr proposes the change."
        )
    made = _commit(api, place, files, head, pull_request=pull_request)
    return replace(planned, commit=made.sha, proposal=made.proposal)


def _remove_leftovers() -> None:
    """Remove the folders of publishes that were killed more than a day ago."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > LONGEST_PUBLISH_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _head(api: HfApi, place: Place, revision: str | None = None) -> RepoFacts | None:
    """The newest commit of a repository, None where the token sees no repository."""
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> RepoFacts | None:
        try:
            info: Any = api.repo_info(place.repo, repo_type=place.kind, revision=revision, files_metadata=True)
            found: RepoFacts = checked_info(info)
            return found
        except RepositoryNotFoundError as error:
            if getattr(error.response, "status_code", None) == 401 and api.token is None:
                return None
            if getattr(error.response, "status_code", None) == 404:
                return None
            raise

    return attempt(place.subject, ask)


def _create(api: HfApi, place: Place, *, private: bool) -> RepoFacts:
    sdk = "static" if place.kind == "space" else None
    attempt(
        place.subject,
        lambda: api.create_repo(place.repo, repo_type=place.kind, space_sdk=sdk, private=private, exist_ok=True),
    )
    head = _head(api, place)
    if head is None:
        raise HubError(f"{place.subject}: the repository was created and cannot be read. Run the same command again.")
    return head


def _holds(head: RepoFacts, place: Place, files: Mapping[str, Path]) -> bool:
    """Whether a commit holds all these files with the same bytes, and none that they lack."""
    siblings = {file.rfilename: file for file in head.siblings or ()}
    for name, path in files.items():
        there = siblings.get(name)
        if there is None:
            return False
        same = there.lfs.sha256 == sha256_of(path) if there.lfs else there.blob_id == git_object_id(path)
        if not same:
            return False
    return not _outdated(head, place, files)


def _outdated(head: RepoFacts, place: Place, files: Mapping[str, Path]) -> set[str]:
    """The files of a former model that this one does not have."""
    return {file.rfilename for file in head.siblings or ()} & place.owned - files.keys()


def _commit(api: HfApi, place: Place, files: Mapping[str, Path], head: RepoFacts, *, pull_request: bool) -> Commit:
    """Make the commit at most once: an attempt whose answer was lost may have made it."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def commit() -> Commit:
        removed = [CommitOperationDelete(name) for name in sorted(_outdated(head, place, files))]
        made = api.create_commit(
            place.repo,
            [CommitOperationAdd(name, str(path)) for name, path in files.items()] + removed,
            commit_message=place.title,
            repo_type=place.kind,
            parent_commit=head.sha,
            create_pr=pull_request,
        )
        return Commit(made.oid, made.pr_revision)

    return _once(commit, lambda: _landed(api, place, files, pull_request=pull_request), place.subject, place.repo)


def _once(commit: Callable[[], Commit], landed: Callable[[], Commit | None], subject: str, repo: str) -> Commit:
    for left in reversed(range(ATTEMPTS)):
        try:
            return commit()
        except HubError as error:
            raise HubError(f"{subject}: {error}") from None
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status in (401, 403, 404):
                raise explained(subject, error, endpoint()) from None
            done = landed()
            if done is not None:
                return done
            if status in (409, 412):
                raise HubError(
                    f"{subject}: somebody else has changed {repo} in the meantime. Nothing was overwritten; look at it, "
                    "then publish again with --update."
                ) from None
            if not left or not transient(error):
                raise explained(subject, error, endpoint()) from None
    raise AssertionError("unreachable")


def _landed(api: HfApi, place: Place, files: Mapping[str, Path], *, pull_request: bool) -> Commit | None:
    """The commit that holds these files, None where the Hub made none."""
    proposals: list[str | None] = [None]
    if pull_request:
        refs = attempt(
            place.subject,
            lambda: api.list_repo_refs(place.repo, repo_type=place.kind, include_pull_requests=True),
        )
        proposals = [ref.ref for ref in refs.pull_requests or ()]
    for proposal in proposals:
        head = _head(api, place, proposal)
        if head is not None and _holds(head, place, files):
            return Commit(head.sha, proposal)
    return None
