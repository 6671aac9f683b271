"""Publishes a run's page as a static Space of the Hub: a place to try the model, without a
server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from zoo_core.errors import UsageError, printable
from zoo_core.hub.bundle import licence_metadata
from zoo_core.hub.publish import Place, PublishResult, check_online, publish_folder, send
from zoo_core.runs.directory import CARD, read_run
from zoo_core.runs.schema import RunFacts
from zoo_core.spec_checks import is_repository

PAGE = "index.html"
LONGEST_TITLE = 60


def publish_space(
    directory: str | Path,
    repo: str,
    page: str | Path,
    *,
    licence: str | None = None,
    private: bool = False,
    update: bool = False,
    pull_request: bool = False,
    dry_run: bool = False,
) -> PublishResult:
    """Publish a `page` that `zoo export RUN --to page` wrote as the Space `owner/name`.

    The files of the Space are the page and a card with its metadata. All else is as for `publish`,
    and a model of the same name is another repository.
    """
    check_space(repo, update=update, pull_request=pull_request, dry_run=dry_run)
    facts = read_run(Path(directory)).facts
    with publish_folder() as folder:
        files = {CARD: folder / CARD, PAGE: folder / PAGE}
        files[CARD].write_text(_card(facts, repo, licence), encoding="utf-8")
        shutil.copyfile(page, files[PAGE])
        place = Place(repo, "Publish a page made with zoo", kind="space")
        return send(place, files, private=private, update=update, pull_request=pull_request, dry_run=dry_run)


def check_space(repo: str, *, update: bool = False, pull_request: bool = False, dry_run: bool = False) -> None:
    """Raise, before a page is made for it, UsageError for a Space that cannot be, and HubError
    where the network is forbidden."""
    if not is_repository(repo):
        raise UsageError(f"'{printable(repo)}' is not a Space 'owner/name' (letters, digits, '-', '_' and '.').")
    if update and pull_request:
        raise UsageError("--update changes the Space and --pr proposes the change: leave one out.")
    if not dry_run:
        check_online(f"publishing {repo}")


def _card(facts: RunFacts, repo: str, licence: str | None) -> str:
    """The card of the Space, whose metadata make the Hub show its page."""
    from huggingface_hub import SpaceCardData

    known = licence or (facts.start.licence if facts.start else None)
    licence_id, licence_name = licence_metadata(known, chosen=licence is not None)
    others: dict[str, Any] = {} if licence_name is None else {"license_name": licence_name}
    title = printable(repo.split("/")[-1])[:LONGEST_TITLE]
    metadata = SpaceCardData(title=title, sdk="static", app_file=PAGE, license=licence_id, tags=["zoo"], **others)
    return f"""---
{metadata.to_yaml()}
---

A network answers photos in the browser of whoever opens this page: {printable(facts.backbone.name)} with the head
{printable(facts.head.name)}, fine-tuned with zoo. There is no server behind it, and no photo leaves the device.
"""
