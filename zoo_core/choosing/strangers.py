"""Finished cells that do not belong with the others: made with other images than today's, or with other
weights or versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo_core.choosing.grid import Cell
from zoo_core.data.arrange import arranged
from zoo_core.data.sources import Source
from zoo_core.discovery import CORE
from zoo_core.errors import printable
from zoo_core.runs.directory import Run
from zoo_core.runs.schema import RunFacts
from zoo_core.version import RESUMES, __version__
from zoo_core.wording import quoted


def strangers(runs: Sequence[tuple[Cell, Run]], source: Source) -> list[str]:
    """Sentences that name the runs of other images than those of `source`, and those made with other
    weights or versions than the newest."""
    today = {}
    for cell in {cell.repeat: cell for cell, _ in runs}.values():
        parts = arranged(source, cell.config).parts
        today[cell.repeat] = {name: part.digest() for name, part in parts.items()}
    newest: dict[str, str] = {}
    for _, run in sorted(runs, key=lambda one: one[1].facts.created):
        newest |= _made_with(run.facts)
    others: dict[str, list[Path]] = {}
    for cell, run in runs:
        if run.facts.data.digests != today[cell.repeat]:
            others.setdefault("trained on other images than today's", []).append(run.directory)
        for name, value in _made_with(run.facts).items():
            if value != newest[name]:
                others.setdefault(f"trained with another version of {name} than the newest run", []).append(
                    run.directory
                )
    return [
        f"{why}: remove {printable(' '.join(map(quoted, directories)))} and give the command again."
        for why, directories in others.items()
    ]


def _made_with(facts: RunFacts) -> dict[str, str]:
    """The versions and the initial weights' sha256 by name. Versions whose runs zoo resumes count as its
    own."""
    found = {"torch": facts.torch, CORE: facts.zoo_core}
    found |= {one.distribution: one.version for one in (facts.backbone, facts.head, facts.strategy)}
    if found[CORE] in RESUMES:
        found[CORE] = __version__
    if facts.start is not None:
        found[f"the weights '{facts.config.weights}' of {facts.backbone.name}"] = facts.start.sha256
    return found
