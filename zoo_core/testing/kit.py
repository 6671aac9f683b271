"""The conformance kit: all checks of a plugin, and those of its backbones, heads and strategies
alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any

from zoo_core.discovery import registered_specs
from zoo_core.result_specs import ExporterSpec, MetricSpec, TrackerSpec
from zoo_core.spec_checks import collecting_faults, fault_of
from zoo_core.specs import AugmentSpec, BackboneSpec, CommandSpec, DatasetSpec, FreezeSpec, HeadSpec, RunnerSpec
from zoo_core.testing.augment_rules import AUGMENT_RULES
from zoo_core.testing.build_rules import BUILD_RULES
from zoo_core.testing.check import Check, checks_of, rule
from zoo_core.testing.command_rules import COMMAND_RULES
from zoo_core.testing.dataset_rules import DATASET_RULES
from zoo_core.testing.fact_rules import FACT_RULES, has_a_name_of_its_own, has_options_that_a_text_can_give
from zoo_core.testing.head_rules import HEAD_RULES
from zoo_core.testing.output_rules import OUTPUT_RULES, SLOW_RULES
from zoo_core.testing.result_rules import EXPORTER_RULES, METRIC_RULES
from zoo_core.testing.strategy_rules import STRATEGY_RULES
from zoo_core.testing.tracker_rules import TRACKER_RULES

BACKBONE_RULES = (*BUILD_RULES, *FACT_RULES, *OUTPUT_RULES)
RUNNER_RULES = (has_a_name_of_its_own, has_options_that_a_text_can_give)
MOST_NAMED = 8  # of the packages that a plugin imports too early
DECLARED = "EXPECTED_FAILURES"
"""The name in a plugin's module of its declared failures: patterns of checks' names, with
reasons."""


@rule("Name hooks as zoo_core.hookspecs does, mark them with @zoo_core.hookimpl, and return lists of specs.")
def hands_over_specs(plugin: ModuleType) -> None:
    """zoo finds the plugin's hooks, and every spec in them can be used."""
    with collecting_faults():
        specs, left_out = registered_specs(plugin)
    assert not left_out, left_out[0]
    assert specs, "it implements no hook, or its hooks return nothing"


@rule("Import late, in the builder: facts need zoo_core and the standard library alone.")
def imports_nothing_heavy(plugin: ModuleType) -> None:
    """`zoo list` imports the facts of every plugin, and would wait for whatever they import."""
    name = module_of(plugin)
    code = (
        f"import sys, zoo_core, pluggy; before = set(sys.modules); import {name}; "
        "print(*sorted({one.partition('.')[0] for one in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr.strip().splitlines()[-1]
    own = (name.partition(".")[0], "zoo_core")
    listed = answer.stdout.splitlines()[-1]  # below lines that the module itself prints
    heavy = [one for one in listed.split() if one[0] != "_" and one not in own]
    assert not heavy, f"importing {name} imports {', '.join(heavy[:MOST_NAMED])}"


@rule("Write the name of a check as `zoo plugin check` shows it, or a pattern of such names.")
def declares_failures_of_its_checks(plugin: ModuleType) -> None:
    """Each name in EXPECTED_FAILURES is that of a check; a misspelt one would excuse nothing."""
    declared = _declared(plugin)
    names = {check.name for check in plugin_checks(plugin)} if declared else set()
    unknown = [one for one in declared if one not in names and not any(fnmatchcase(name, one) for name in names)]
    assert not unknown, f"{DECLARED} has '{unknown[0]}', and no check has that name"


PLUGIN_RULES = (hands_over_specs, imports_nothing_heavy, declares_failures_of_its_checks)


def plugin_checks(plugin: ModuleType, *, slow: bool = True) -> list[Check]:
    """All checks of a plugin module: its facts, and each of its specs.

    Failures that it expects stand in its own EXPECTED_FAILURES, `{"mynet*: can be exported":
    "why"}`. `slow` adds the checks that import torch's compiler.
    """
    checks = _of_module(plugin)
    for kind in (backbone_checks, head_checks, strategy_checks):
        more = kind(plugin, slow=slow) if kind is backbone_checks else kind(plugin)
        checks += more[len(PLUGIN_RULES) :]
    checks += _of_specs(plugin, "zoo_datasets", DatasetSpec, DATASET_RULES)
    checks += _of_specs(plugin, "zoo_commands", CommandSpec, COMMAND_RULES)
    checks += _of_specs(plugin, "zoo_metrics", MetricSpec, METRIC_RULES)
    checks += _of_specs(plugin, "zoo_exporters", ExporterSpec, EXPORTER_RULES)
    checks += _of_specs(plugin, "zoo_augmentations", AugmentSpec, AUGMENT_RULES)
    checks += _of_specs(plugin, "zoo_trackers", TrackerSpec, TRACKER_RULES)
    return checks + _of_specs(plugin, "zoo_runners", RunnerSpec, RUNNER_RULES)


def backbone_checks(plugin: ModuleType, *, slow: bool = True) -> list[Check]:
    """The checks of a plugin module and of its backbones, as `plugin_checks`."""
    rules = (*BACKBONE_RULES, *(SLOW_RULES if slow else ()))
    return _of_module(plugin) + _of_specs(plugin, "zoo_backbones", BackboneSpec, rules)


def head_checks(plugin: ModuleType) -> list[Check]:
    """The checks of a plugin module and of its heads, as `plugin_checks`."""
    return _of_module(plugin) + _of_specs(plugin, "zoo_heads", HeadSpec, HEAD_RULES)


def strategy_checks(plugin: ModuleType) -> list[Check]:
    """The checks of a plugin module and of its strategies, as `plugin_checks`."""
    return _of_module(plugin) + _of_specs(plugin, "zoo_strategies", FreezeSpec, STRATEGY_RULES)


def _of_module(plugin: ModuleType) -> list[Check]:
    return checks_of(PLUGIN_RULES, plugin, _package(plugin), _declared(plugin), name=module_of(plugin))


def _of_specs(plugin: ModuleType, hook: str, kind: type, rules: tuple[Any, ...]) -> list[Check]:
    try:
        with collecting_faults():
            specs: list[Any] = list(getattr(plugin, hook, list)())
    except (Exception, SystemExit):  # hands_over_specs names it, and each spec that cannot be used
        specs = []
    usable: list[Any] = [spec for spec in specs if isinstance(spec, kind) and fault_of(spec) is None]
    package, expected = _package(plugin), _declared(plugin)
    return [check for spec in usable for check in checks_of(rules, spec, package, expected, name=spec.name)]


def _package(plugin: ModuleType) -> str:
    return module_of(plugin).partition(".")[0]


def module_of(plugin: Any) -> str:
    """The name of a plugin's module; an entry point may name an object in it."""
    return str(plugin.__name__ if isinstance(plugin, ModuleType) else plugin.__module__)


def _declared(plugin: ModuleType) -> Mapping[str, str]:
    declared: Mapping[str, str] = getattr(plugin, DECLARED, {})
    return declared or getattr(sys.modules.get(module_of(plugin)), DECLARED, {})
