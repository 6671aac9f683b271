"""Searches the Hub for published zoo models, by the tag of the library.

The answers are read here and not by the client, whose reader of cards fails for the whole list when
one author's card is odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from zoo_core.errors import HubError, printable
from zoo_core.hub.bundle import LIBRARY
from zoo_core.hubclient.client import attempt, guarded_api, offline
from zoo_core.spec_checks import REPO_PATTERN


@dataclass(frozen=True)
class Found:
    """A published model as its card describes it. A field that the card lacks is None."""

    repo: str
    backbone: str | None
    task: str | None
    accuracy: float | None
    downloads: int | None


def search(text: str | None, *, limit: int) -> list[Found]:
    """List at most `limit` published zoo models, the most downloaded first. Raises HubError."""
    if offline():
        raise HubError("searching: HF_HUB_OFFLINE forbids the network.")
    from huggingface_hub.utils._headers import build_hf_headers
    from huggingface_hub.utils._pagination import paginate

    api = guarded_api()
    query = {"filter": LIBRARY, "sort": "downloads", "limit": limit, "full": True, "cardData": True}
    if text:
        query["search"] = text

    def ask() -> list[Any]:
        return list(islice(paginate(f"{api.endpoint}/api/models", query, build_hf_headers()), limit))

    return [_found(model) for model in attempt("searching", ask) if _is_model(model)]


def _is_model(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("id"), str) and bool(REPO_PATTERN.fullmatch(answer["id"]))


def _found(model: dict[str, Any]) -> Found:
    card = _mapping(model.get("cardData"))
    downloads = model.get("downloads")
    return Found(
        repo=model["id"],
        backbone=_text(_mapping(card.get("zoo")).get("backbone")),
        task=_text(model.get("pipeline_tag") or card.get("pipeline_tag")),
        accuracy=_accuracy(card),
        downloads=downloads if isinstance(downloads, int) and 0 <= downloads < 2**63 else None,
    )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return printable(value)[:60] if isinstance(value, str) else None


def _accuracy(card: dict[str, Any]) -> float | None:
    """The accuracy in a card's model-index, None where it has none between 0 and 1."""
    try:
        metrics = [
            metric for entry in card["model-index"] for result in entry["results"] for metric in result["metrics"]
        ]
        value = next(metric["value"] for metric in metrics if metric["type"] == "accuracy")
    except (KeyError, TypeError, IndexError, StopIteration):
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None
