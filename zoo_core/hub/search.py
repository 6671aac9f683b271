"""Searches the Hub for published zoo models, by the tag of the library.

The answers are read here and not by the client, whose reader of cards fails for the whole list when
one author's card is odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from zoo_core.builtin import zoo_metrics
from zoo_core.errors import HubError, printable
from zoo_core.hub.bundle import LIBRARY
from zoo_core.hubclient.client import attempt, guarded_api, offline
from zoo_core.spec_checks import is_repository
from zoo_core.tasks import ALL
from zoo_core.tasks.chosen import metric_named

METRICS = {
    **{spec.name: metric_named(spec.name) for spec in zoo_metrics() if spec.name != "top"},
    **{task.metric.name: task.metric for task in ALL.values()},
}
MOST = 1e9  # an R2 below that, or an error above it, is no result


@dataclass(frozen=True)
class Found:
    """A published model as its card describes it. A field that the card lacks is None."""

    repo: str
    backbone: str | None
    task: str | None
    accuracy: float | None
    metric: str | None
    """The name of its score: accuracy, mean_average_precision, r2, or one of zoo's other
    metrics."""
    score: float | None
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
    return isinstance(answer, dict) and isinstance(answer.get("id"), str) and is_repository(answer["id"])


def _found(model: dict[str, Any]) -> Found:
    card = _mapping(model.get("cardData"))
    downloads = model.get("downloads")
    metric, score = _score(card)
    return Found(
        repo=model["id"],
        backbone=_text(_mapping(card.get("zoo")).get("backbone")),
        task=_text(model.get("pipeline_tag") or card.get("pipeline_tag")),
        accuracy=score if metric == "accuracy" else None,
        metric=metric,
        score=score,
        downloads=downloads if isinstance(downloads, int) and 0 <= downloads < 2**63 else None,
    )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return printable(value)[:60] if isinstance(value, str) else None


def _score(card: dict[str, Any]) -> tuple[str | None, float | None]:
    """The first score of a task in a card's model-index, (None, None) where it has none that can
    be."""
    try:
        metrics = [
            metric for entry in card["model-index"] for result in entry["results"] for metric in result["metrics"]
        ]
        name, value = next((one["type"], one["value"]) for one in metrics if one["type"] in METRICS)
    except (KeyError, TypeError, IndexError, StopIteration):
        return None, None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    lowest = -MOST if name == "r2" else 0  # worse than the mean of the targets is below 0
    highest = 1 if METRICS[name].higher_is_better else MOST
    return (name, float(value)) if is_number and lowest <= value <= highest else (None, None)
