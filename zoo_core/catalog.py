"""The catalog: an immutable look-up of everything that the installed plugins provide.

A name that two distributions provide is a clash: such a spec is chosen as `distribution:name`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from zoo_core.absent import NOT_OPENED, clash, lacking, unknown
from zoo_core.discovery import CORE, DISABLED, DISABLING, PluginRecord, discover, warnings_of
from zoo_core.errors import PluginError, UsageError, ZooError, did_you_mean, printable, reason_of, shown
from zoo_core.installed import installed_plugins
from zoo_core.installing import install_hint
from zoo_core.options import UPTO, format_options, parse_options, split_name, take_option, with_option
from zoo_core.result_specs import ExporterSpec, MetricSpec, TrackerSpec
from zoo_core.specs import AugmentSpec, BackboneSpec, CommandSpec, DatasetSpec, FreezeSpec, HeadSpec, RunnerSpec
from zoo_core.wording import counted

S = TypeVar(
    "S",
    BackboneSpec,
    HeadSpec,
    FreezeSpec,
    DatasetSpec,
    CommandSpec,
    MetricSpec,
    ExporterSpec,
    RunnerSpec,
    AugmentSpec,
    TrackerSpec,
)

KINDS: dict[type, tuple[str, str]] = {
    BackboneSpec: ("backbone", "backbones"),
    HeadSpec: ("head", "heads"),
    FreezeSpec: ("strategy", "strategies"),
    DatasetSpec: ("data set", "datasets"),
    CommandSpec: ("command", "commands"),
    MetricSpec: ("metric", "metrics"),
    ExporterSpec: ("exporter", "exporters"),
    RunnerSpec: ("runner", "runners"),
    AugmentSpec: ("augmentation", "augmentations"),
    TrackerSpec: ("tracker", "trackers"),
}
"""The word for each kind of spec, and its plural, which `zoo list` takes for all but commands."""


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A spec and the distribution that provides it."""

    spec: S
    distribution: str
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which the spec can be chosen: its own, then its aliases."""
        return (self.spec.name, *getattr(self.spec, "aliases", ()))


@dataclass(frozen=True)
class Choice(Generic[S]):
    """An entry that was chosen by name, with its options."""

    entry: Entry[S]
    options: Any
    alias: str | None = None
    """The alias by which it was chosen; None: it was chosen by its name."""
    whole: S | None = None
    """The spec of the whole backbone, where `spec` is that of its first stages."""

    @property
    def spec(self) -> S:
        return self.entry.spec

    def __str__(self) -> str:
        """The text that makes the same choice again."""
        name = self.alias or self.spec.name
        text = format_options(name, self.options) if getattr(self.spec, "options", None) else name
        if self.whole is not None and isinstance(self.spec, BackboneSpec):
            return with_option(text, UPTO, self.spec.stages[-1])
        return text


@dataclass(frozen=True)
class Catalog:
    """All specs of all plugins. Each of `warnings` names a plugin that was skipped, and the
    reason."""

    records: tuple[PluginRecord, ...]
    warnings: tuple[str, ...] = ()
    owners: Mapping[tuple[type, str], str] = field(default_factory=dict, hash=False)
    """The distribution whose spec a name alone means, by kind and name; a run says so of its
    parts."""

    def __repr__(self) -> str:
        specs = sum(len(record.specs) for record in self.records)
        return f"<Catalog: {counted(specs, 'spec')} of {counted(len(self.records), 'plugin')}>"

    def entries(self, kind: type[S]) -> tuple[Entry[S], ...]:
        """All specs of one kind with their distributions, ordered by name."""
        found = [
            Entry(spec, record.distribution, record.version)
            for record in self.records
            for spec in record.specs
            if isinstance(spec, kind)
        ]
        return tuple(sorted(found, key=lambda entry: (natural(entry.spec.name), entry.distribution)))

    def choose(self, kind: type[S], text: str) -> Choice[S]:
        """Find `"name"`, `"name:options"`, `"distribution:name"` or `"distribution:name:options"`.

        A name that zoo-core gives means its own spec, and another plugin's has its distribution
        before it. Raises UsageError for an unknown or ambiguous name and for wrong options.
        """
        first, rest = split_name(text)
        if first in self._distributions:
            name, options = split_name(rest)
            candidates = [entry for entry in self.entries(kind) if entry.distribution == first]
        else:
            name, options = first, rest
            owner = self.owners.get((kind, name))
            candidates = [entry for entry in self.entries(kind) if owner in (None, entry.distribution)]
        matching = [entry for entry in candidates if name in entry.names]
        if len(matching) > 1 and name == first:  # zoo's own names mean the same, whatever is installed
            matching = [entry for entry in matching if entry.distribution == CORE] or matching
        if not matching:
            known = [(entry.distribution, entry.names) for entry in self.entries(kind)]
            if name != first:
                raise UsageError(lacking(self.records, KINDS[kind], first, name, known))
            raise UsageError(unknown(self.records, KINDS[kind], name, known))
        if len(matching) > 1:
            raise UsageError(clash(KINDS[kind], name, [entry.distribution for entry in matching]))
        entry = matching[0]
        alias = None if name == entry.spec.name else name
        options_type = getattr(entry.spec, "options", None)
        if options_type is None:
            return Choice(entry, None, alias)
        return Choice(entry, parse_options(name, options_type, options), alias)

    def backbone(self, text: str) -> Choice[BackboneSpec]:
        """The backbone that `text` chooses; `"name:upto=STAGE"` keeps its stages up to this one."""
        text, stage = take_option(text, UPTO)
        choice = self.choose(BackboneSpec, text)
        if stage is None:
            return choice
        spec = choice.spec
        check_stage(spec, stage)
        if stage == spec.stages[-1]:
            return choice
        return replace(choice, entry=replace(choice.entry, spec=first_stages(spec, stage)), whole=spec)

    def head(self, text: str) -> Choice[HeadSpec]:
        return self.choose(HeadSpec, text)

    def strategy(self, text: str) -> Choice[FreezeSpec]:
        return self.choose(FreezeSpec, text)

    def dataset(self, text: str) -> Choice[DatasetSpec]:
        return self.choose(DatasetSpec, text)

    def command(self, text: str) -> Choice[CommandSpec]:
        return self.choose(CommandSpec, text)

    def metric(self, text: str) -> Choice[MetricSpec]:
        return self.choose(MetricSpec, text)

    def exporter(self, text: str) -> Choice[ExporterSpec]:
        return self.choose(ExporterSpec, text)

    def runner(self, text: str) -> Choice[RunnerSpec]:
        return self.choose(RunnerSpec, text)

    def augmentation(self, text: str) -> Choice[AugmentSpec]:
        return self.choose(AugmentSpec, text)

    def tracker(self, text: str) -> Choice[TrackerSpec]:
        return self.choose(TrackerSpec, text)

    def providers(self, kind: type[Any], name: str) -> set[str]:
        """The distributions that provide a spec of this kind and name."""
        return {entry.distribution for entry in self.entries(kind) if name in entry.names}

    def text_of(self, distribution: str, name: str) -> str:
        """The name of a run's part with its distribution. Raises ZooError where this is not here or
        was skipped."""
        here = [record for record in self.records if record.distribution == distribution]
        if here and not all(record.failure for record in here):  # it may have several entry points
            return f"{distribution}:{name}"
        needed = f"the run needs '{shown(name)}' from {distribution}"
        if here:
            raise ZooError(f"{needed}, which was skipped: {here[0].failure}.")
        if any(one.distribution == distribution for one in installed_plugins()):
            raise ZooError(f"{needed}, {NOT_OPENED}")
        raise ZooError(
            f"{needed}, which is not installed. If you trust that package, for a plugin is code: {install_hint(distribution)}"
        )

    @property
    def has_failures(self) -> bool:
        """Whether a plugin, or a spec of one, was left out because it failed."""
        return any(record.left_out or record.failure not in (None, DISABLED) for record in self.records)

    @cached_property
    def _distributions(self) -> frozenset[str]:
        return frozenset(record.distribution for record in self.records)


@contextmanager
def attributing_errors(entry: Entry[Any]) -> Iterator[None]:
    """Turn any error of a plugin's code into a PluginError that names its distribution; zoo's own
    errors pass."""
    try:
        yield
    except ZooError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{owner_of(entry)} failed: {reason_of(error)}.") from error


def owner_of(entry: Entry[Any]) -> str:
    """The subject of a plugin's error: "zoo-mynet: the backbone 'mynet'"."""
    return f"{printable(entry.distribution)}: the {KINDS[type(entry.spec)][0]} '{entry.spec.name}'"


def check_stage(spec: BackboneSpec, name: str, also: Sequence[str] = ()) -> None:
    """Raise UsageError that lists the stages, and the other words in `also`, where there is none of
    this name."""
    if name not in spec.stages:
        near = did_you_mean(name[:80], (*spec.stages, *also))
        words = "; or ".join([", ".join(spec.stages), *also])
        raise UsageError(f"'{spec.name}' has no stage '{shown(name)}'.{near} Its stages: {words}.")


def first_stages(spec: BackboneSpec, last: str) -> BackboneSpec:
    """The backbone that ends with an earlier stage. It keeps the facts of the whole that hold for
    it, and `channels`, which are known when it is built."""
    kept = spec.stages[: spec.stages.index(last) + 1]
    weights = tuple(replace(ref, top1=None, top5=None) for ref in spec.weights)
    own = replace(spec, stages=kept, features=spec.features.before, weights=weights)
    return replace(own, params=None, gmacs=None, timm=None, reference=None)


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key by which resnet18 comes before resnet101."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def open_catalog(*, with_plugins: bool = True) -> Catalog:
    """Discover the installed plugins. `ZOO_DISABLE_PLUGINS=a,b` disables those of two
    distributions."""
    disabled = [name.strip() for name in os.environ.get(DISABLING, "").split(",") if name.strip()]
    records = discover(disabled=disabled, with_plugins=with_plugins)
    return Catalog(records, warnings_of(records, disabled if with_plugins else ()))
