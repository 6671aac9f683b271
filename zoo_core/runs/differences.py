"""The facts in which a resumed run differs from the run that it goes on with."""

from __future__ import annotations

from dataclasses import replace

from zoo_core.data.places import may_change
from zoo_core.discovery import CORE
from zoo_core.runs.schema import Provided, RunFacts, flat
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.version import RESUMES

PER_MACHINE = [f"config.{one.name}" for one in settings_of(FinetuneConfig).values() if one.per_machine]
PLACES = (
    "config.data",
    "config.from_run",
    "config.fix_list",
    "config.weights",
    "data.title",
    "data.findings",
    "start.tag",
    "start.source",
)
FREE = (
    "created",
    "decisions",
    "balance",
    "views",
    "split_points",
    "threads",
    "provided.data",
    "provided.track",
    *PLACES,
    *PER_MACHINE,
)
"""Facts in which a resumed run may differ: they decide when and where it computes and not its
result, or follow from others. Of data and weights the contents are compared and not the places.
Views and split points are compared with those of the checkpoint."""


def differences(before: RunFacts, now: RunFacts) -> list[str]:
    """The facts in which two runs differ, a line each: the name, the old value and the new one."""
    old, new = flat(_at_this_version(before, now.zoo_core).to_dict()), flat(now.to_dict())
    lines = []
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name), new.get(name)
        if name == "config.lr" and one is None:  # found in the run: its checkpoint says where its features were cached
            continue
        if name == "provided.metric" and one is None:  # an earlier zoo did not write it down
            continue
        if name not in FREE and name.partition(".")[0] not in FREE and one != other:
            lines.append(f"{name} was {one!r:.100} and is {other!r:.100}")
    if now.config.fix_list != "none" and any(line.startswith("data.") for line in lines):
        lines.append(f"so {may_change(now.config)} have changed")
    return lines


def _at_this_version(facts: RunFacts, version: str) -> RunFacts:
    """The facts with zoo-core's present version in place of older ones whose runs it resumes."""

    def updated(part: Provided) -> Provided:
        is_ours = part.distribution == CORE and part.version in RESUMES
        return replace(part, version=version) if is_ours else part

    return replace(
        facts,
        zoo_core=version if facts.zoo_core in RESUMES else facts.zoo_core,
        backbone=updated(facts.backbone),
        head=updated(facts.head),
        strategy=updated(facts.strategy),
        augmentations=tuple(map(updated, facts.augmentations)),
        provided={name: tuple(map(updated, parts)) for name, parts in facts.provided.items()},
    )
