"""Loads the installed plugins. One that fails is recorded with its reason, and the others stay
usable."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from zoo_core import builtin, hookspecs
from zoo_core.errors import brief, did_you_mean, printable, reason_of
from zoo_core.hookspecs import HOOK_API, PROJECT, UNSTATED_API
from zoo_core.installed import InstalledPlugin, installed_plugins
from zoo_core.result_specs import ExporterSpec, MetricSpec, TrackerSpec
from zoo_core.spec_checks import collecting_faults, fault_of
from zoo_core.specs import AugmentSpec, BackboneSpec, CommandSpec, DatasetSpec, FreezeSpec, HeadSpec, RunnerSpec
from zoo_core.version import __version__

Spec = (
    BackboneSpec
    | HeadSpec
    | FreezeSpec
    | DatasetSpec
    | CommandSpec
    | MetricSpec
    | ExporterSpec
    | RunnerSpec
    | AugmentSpec
    | TrackerSpec
)

CORE = "zoo-core"
DISABLED = "disabled by the user"
DISABLING = "ZOO_DISABLE_PLUGINS"

HOOKS: dict[str, type[Spec]] = {
    "zoo_backbones": BackboneSpec,
    "zoo_heads": HeadSpec,
    "zoo_strategies": FreezeSpec,
    "zoo_datasets": DatasetSpec,
    "zoo_commands": CommandSpec,
    "zoo_metrics": MetricSpec,
    "zoo_exporters": ExporterSpec,
    "zoo_runners": RunnerSpec,
    "zoo_augmentations": AugmentSpec,
    "zoo_trackers": TrackerSpec,
}


@dataclass(frozen=True)
class PluginRecord:
    """The outcome of loading one entry point: the specs that it registered, or the reason why it
    was skipped.

    `left_out` has the reason of each spec that cannot be used, beside others that can.
    """

    distribution: str
    version: str
    entry_point: str
    specs: tuple[Spec, ...] = field(default=())
    failure: str | None = None
    left_out: tuple[str, ...] = ()
    hook_api: int | None = None
    """The hook API that it was written for; None: it was not read."""

    def names(self, kind: type) -> list[str]:
        """The names of the registered specs of one kind."""
        return [spec.name for spec in self.specs if isinstance(spec, kind)]


def discover(*, disabled: Collection[str] = (), with_plugins: bool = True) -> tuple[PluginRecord, ...]:
    """Return a record for core and one for every entry point in the group `zoo`, ordered by
    distribution.

    Plugins of the distributions in `disabled` are not imported.
    """
    left_out = {normalised(name) for name in disabled}
    records = [_collect(CORE, __version__, "builtin", lambda: builtin)]
    for plugin in installed_plugins() if with_plugins else ():
        if normalised(plugin.distribution) in left_out:
            records.append(PluginRecord(plugin.distribution, plugin.version, plugin.name, failure=DISABLED))
        else:
            records.append(
                _collect(plugin.distribution, plugin.version, plugin.name, plugin.load, module=plugin.module)
            )
    return tuple(records)


def _collect(distribution: str, version: str, name: str, load: Callable[[], Any], *, module: str = "") -> PluginRecord:
    api: Any = None
    try:
        with collecting_faults():
            plugin = load()
            api = getattr(plugin, "HOOK_API", UNSTATED_API)
            if (failure := _refusal(api, distribution, version)) is not None:
                return PluginRecord(distribution, version, name, failure=failure)  # its hooks may be unknown here
            specs, left_out = registered_specs(plugin)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even raise SystemExit when it is imported
        too_new = None if api else _refusal(_stated_in_source(module), distribution, version)
        return PluginRecord(distribution, version, name, failure=too_new or reason_of(error), hook_api=api)
    if not specs:
        none = f"ValueError: it implements none of the hooks {', '.join(HOOKS)}, or returned nothing"
        return PluginRecord(distribution, version, name, failure=next(iter(left_out), none), hook_api=api)
    return PluginRecord(distribution, version, name, tuple(specs), left_out=tuple(left_out), hook_api=api)


def obstacle_of(plugin: InstalledPlugin) -> str | None:
    """The reason why an installed plugin cannot be imported, with the way to mend it, or was
    written for another zoo; None for one that can be used."""
    try:
        with collecting_faults():
            api = getattr(plugin.load(), "HOOK_API", UNSTATED_API)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it may even raise SystemExit
        stated = _refusal(_stated_in_source(plugin.module), plugin.distribution, plugin.version)
        mend = f"To mend it: import {plugin.module} in Python, and mend that first"
        return stated or f"{reason_of(error)}.\n  {mend}"
    return _refusal(api, plugin.distribution, plugin.version)


def _refusal(api: Any, distribution: str, version: str) -> str | None:
    """The reason why a plugin that states this hook API is not used; None for one that can be."""
    if type(api) is not int or api < UNSTATED_API:
        return f"its HOOK_API is {brief(api)}, not a whole number from {UNSTATED_API} on"
    if api <= HOOK_API:
        return None
    return (
        f"version {printable(version)} was written for hook API {api}, and zoo-core {__version__} has {HOOK_API}. "
        f"Update zoo-core, or `pip uninstall {printable(distribution)}` and install an older one"
    )


def _stated_in_source(module: str) -> int:
    """The hook API that a module states, for one that cannot be imported: one for a newer zoo may
    import names that this one lacks."""
    try:
        found = importlib.util.find_spec(module)
        text = Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""
    except (Exception, SystemExit):  # the package around it runs when it is looked up
        return UNSTATED_API
    stated = re.search(r"^HOOK_API\b[^=\n]*= *(\d{1,9})\b", text, re.MULTILINE)
    return int(stated[1]) if stated else UNSTATED_API


def registered_specs(plugin: ModuleType) -> tuple[list[Spec], list[str]]:
    """Call one plugin's hooks, in a manager of its own, so that its failure touches no other
    plugin.

    Returns the specs, and the reasons of those left out.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    specs: list[Spec] = []
    left_out: list[str] = []
    for hook, kind in HOOKS.items():
        try:
            answers = [spec for answer in getattr(manager.hook, hook)() for spec in _iterated(answer, hook, kind)]
        except (Exception, SystemExit) as error:
            left_out.append(reason_of(error))
            continue
        names: set[str] = set()
        for spec in answers:
            reason = _unusable(spec, hook, kind, names)
            if reason is None:
                specs.append(spec)
            else:
                left_out.append(reason)
    return specs, left_out


def _iterated(answer: Any, hook: str, kind: type) -> Iterable[Any]:
    if not isinstance(answer, Iterable):
        raise TypeError(f"{hook} returned {brief(answer)}, which is not a list of {kind.__name__}s")
    return answer


def _unusable(spec: Any, hook: str, kind: type[Spec], names: set[str]) -> str | None:
    """The reason why a spec cannot be used, None for one that can; its name and aliases join
    `names`."""
    if not isinstance(spec, kind):
        return f"TypeError: {hook} returned {brief(spec)}, which is not a {kind.__name__}"
    fault = fault_of(spec)
    if fault is not None:
        return fault
    own = (spec.name, *getattr(spec, "aliases", ()))
    twice = next((name for name in own if name in names), None)
    if twice is not None:
        return f"ValueError: it registers two {kind.__name__}s named {twice}, and only the first can be used"
    names.update(own)
    return None


def warnings_of(records: Iterable[PluginRecord], disabled: Collection[str] = ()) -> tuple[str, ...]:
    """A line for every plugin that failed, every spec that was left out, and every disabled name
    that is not installed."""
    failed = [
        f"the plugin {printable(record.distribution)} was skipped: {record.failure}"
        for record in records
        if record.failure and record.failure != DISABLED
    ]
    failed += [
        f"the plugin {printable(record.distribution)} works without one of its specs: {reason}"
        for record in records
        for reason in record.left_out
    ]
    here = {normalised(record.distribution): record.distribution for record in records}
    unknown = [
        f"{DISABLING} names {printable(name)}, and no such plugin is installed."
        f"{did_you_mean(normalised(name), here)} `zoo plugins` shows all."
        for name in disabled
        if normalised(name) not in here
    ]
    return (*failed, *unknown)


def normalised(distribution: str) -> str:
    """A distribution's name in the form in which pip compares names: zoo_vgg is zoo-vgg."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
