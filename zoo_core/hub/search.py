"""Searches the Hub for published zoo models, by the tag of the library."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from zoo_core.errors import HubError, printable
from zoo_core.hub.bundle import LIBRARY
from zoo_core.hubclient.client import attempt, guarded_api, offline


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
    api = guarded_api()

    def ask() -> list[Any]:
        models = api.list_models(filter=LIBRARY, search=text, sort="downloads", limit=limit, full=True, cardData=True)
        return list(islice(models, limit))

    return [_found(model) for model in attempt("searching", ask)]


def _found(model: Any) -> Found:
    card = model.card_data.to_dict() if model.card_data else {}
    about = card.get("zoo")
    about = about if isinstance(about, dict) else {}
    return Found(
        repo=printable(str(model.id)),
        backbone=_text(about.get("backbone")),
        task=_text(model.pipeline_tag or card.get("pipeline_tag")),
        accuracy=_accuracy(card),
        downloads=model.downloads,
    )


def _text(value: object) -> str | None:
    return printable(value)[:60] if isinstance(value, str) else None


def _accuracy(card: dict[str, Any]) -> float | None:
    """The accuracy in a card's model-index, None where it has none in the Hub's form."""
    try:
        metrics = [
            metric for entry in card["model-index"] for result in entry["results"] for metric in result["metrics"]
        ]
        return next((float(metric["value"]) for metric in metrics if metric["type"] == "accuracy"), None)
    except (KeyError, TypeError, ValueError):
        return None
