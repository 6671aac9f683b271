"""The plugins that a run's parts came from. By them a name means there the same as when the run was
trained, whichever plugins have come since; and where one has gone, its name is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from zoo_core.catalog import Catalog
from zoo_core.data.augmentation import LINK
from zoo_core.errors import ZooError, printable
from zoo_core.options import split_list, split_name
from zoo_core.result_specs import MetricSpec, TrackerSpec
from zoo_core.runs.schema import Provided, RunFacts
from zoo_core.specs import AugmentSpec, BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import ChosenMetric, chosen_metric

KINDS: dict[str, type[Any]] = {
    "backbone": BackboneSpec,
    "head": HeadSpec,
    "strategy": FreezeSpec,
    "augment": AugmentSpec,
    "data": DatasetSpec,
    "metric": MetricSpec,
    "track": TrackerSpec,
}
"""The settings that name parts, and the kind of these."""


def parts_of(facts: RunFacts) -> dict[str, tuple[Provided, ...]]:
    """The parts of a run whose plugin it knows, by the setting that names them."""
    return {
        "backbone": (facts.backbone,),
        "head": (facts.head,),
        "strategy": (facts.strategy,),
        "augment": facts.augmentations,
        **facts.provided,
    }


def as_in_run(catalog: Catalog, facts: RunFacts, settings: Collection[str] = tuple(KINDS)) -> Catalog:
    """The catalog in which the names in some settings of a run mean the run's own parts.

    Raises ZooError for a part whose plugin is not installed or was skipped.
    """
    owners: dict[tuple[type, str], str] = {}
    for setting, parts in parts_of(facts).items():
        for part in parts if setting in settings else ():
            catalog.text_of(part.distribution, part.name)
            owners[KINDS[setting], split_name(part.name)[0]] = part.distribution
    return replace(catalog, owners=owners)


def settings_here(facts: RunFacts, catalog: Catalog, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Some settings of a run. Names that would mean other parts here, or none, have the run's
    distribution before them.

    Raises ZooError for a part whose plugin is not installed or was skipped.
    """
    found = dict(settings)
    for setting, parts in parts_of(facts).items():
        value = settings.get(setting)
        pieces = _pieces(setting, value) if isinstance(value, str) else []
        if not parts or len(pieces) < len(parts):  # somebody edited the file
            continue
        first = len(pieces) - len(parts)  # those before are crop and flip, which are always zoo's own
        named = [_named(*pair, KINDS[setting], catalog) for pair in zip(pieces[first:], parts, strict=True)]
        found[setting] = {"augment": "+", "track": ","}.get(setting, "").join([*pieces[:first], *named])
    return found


def counting_metric(facts: RunFacts, catalog: Catalog) -> tuple[ChosenMetric | None, str | None]:
    """The metric that counts in a finished run, or the task's own and a sentence where that cannot
    be used here, as after its plugin was removed."""
    own, text = task_named(facts.task).metric, facts.config.metric
    try:
        return chosen_metric(text, facts.task, own, as_in_run(catalog, facts, ["metric"])), None
    except ZooError:
        gone = f"The metric '{printable(text)}', which counted in this run, cannot be used here"
        return None, f"{gone}: {own.title} counts instead."


def _pieces(setting: str, text: str) -> list[str]:
    if setting == "augment":
        return LINK.split(text)
    return split_list(text, "--track") if setting == "track" else [text]


def _named(piece: str, part: Provided, kind: type[Any], catalog: Catalog) -> str:
    """The text that means a part here, from the one that meant it in the run."""
    owner, rest = split_name(piece)
    has_owner, (name, _) = owner == part.distribution, split_name(part.name)
    if name != (split_name(rest)[0] if has_owner else owner):  # somebody chose another one in the file
        return piece
    catalog.text_of(part.distribution, part.name)
    is_clear = has_owner or catalog.providers(kind, name) == {part.distribution}
    return piece if is_clear else f"{part.distribution}:{piece.strip()}"
