"""`zoo search [TEXT]`: finds published zoo models on the Hub."""

from __future__ import annotations

from dataclasses import asdict

import click

from zoo_core.cli.common import console, shown, table
from zoo_core.cli.json_answers import json_option, print_json


@click.command()
@click.argument("text", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@json_option
def search(text: str | None, limit: int, as_json: bool) -> None:
    """Find published zoo models on the Hugging Face Hub, the most downloaded first.

    \b
    zoo search
    zoo search pets --limit 5
    """
    from zoo_core.hub.search import METRICS
    from zoo_core.hub.search import search as search_hub

    found = search_hub(text, limit=limit)
    if as_json:
        print_json({"models": [asdict(model) for model in found]})
        return
    if not found:
        console().print("No published zoo model was found.")
        return
    made = table("model", "backbone", "task", "score", "downloads", right=("score", "downloads"))
    for model in found:
        score = "-"
        if model.metric is not None and model.score is not None:
            metric = METRICS[model.metric]
            score = f"{metric.short} {metric.text(model.score)}"
        downloads = "-" if model.downloads is None else f"{model.downloads:,}"
        made.add_row(shown(model.repo), shown(model.backbone or "-"), shown(model.task or "-"), score, downloads)
    console().print(made)
    console().print("Each score is the claim of the model's own card, on its own images.")
