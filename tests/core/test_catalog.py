from __future__ import annotations

import types
from collections.abc import Callable

import pytest

from zoo_core import hookimpl
from zoo_core.catalog import Catalog
from zoo_core.discovery import PluginRecord, _collect, warnings_of
from zoo_core.errors import UsageError
from zoo_core.freezing.strategies import DepthOptions
from zoo_core.registry import known_plugins
from zoo_core.spec_checks import collecting_faults
from zoo_core.specs import FreezeSpec, HeadSpec, Paper

FULL = FreezeSpec(name="full", plan="zoo_core.freezing.strategies:full", summary="everything")
LAST = FreezeSpec(name="last", plan="zoo_core.freezing.strategies:last", options=DepthOptions, summary="the last n")


def record(distribution: str, *specs: FreezeSpec) -> PluginRecord:
    return PluginRecord(distribution, "1.0", "x", specs)


def test_a_name_is_found_with_its_options_and_its_provider() -> None:
    choice = Catalog((record("zoo-a", FULL, LAST),)).strategy("last:2")
    assert (choice.spec, choice.options.n, choice.entry.distribution, str(choice)) == (LAST, 2, "zoo-a", "last:2")


def test_a_name_that_two_distributions_provide_is_a_clash_that_names_both() -> None:
    catalog = Catalog((record("zoo-a", FULL), record("zoo-b", FULL)))
    with pytest.raises(UsageError, match="provided by zoo-a and by zoo-b. Choose one: 'zoo-a:full' or 'zoo-b:full'"):
        catalog.strategy("full")
    assert catalog.strategy("zoo-b:full").entry.distribution == "zoo-b"


def test_a_name_of_zoo_core_means_its_own_whatever_others_give() -> None:
    """Seen to fail: one plugin with a strategy `full` was a clash for whoever had chosen nothing."""
    catalog = Catalog((record("zoo-a", FULL), record("zoo-core", FULL)))
    assert catalog.strategy("full").entry.distribution == "zoo-core"
    assert catalog.strategy("zoo-a:full").entry.distribution == "zoo-a"


def test_a_name_that_its_distribution_lacks_is_told_with_one_that_has_it() -> None:
    """Seen to fail: "provided by zoo-b, and the installed version lacks it"."""
    catalog = Catalog((record("zoo-a", FULL), record("zoo-b", LAST), record("zoo-c")))
    told = {
        "zoo-a:last": "zoo-a has no strategy 'last'. 'zoo-b:last' is one. Some of its own: 'zoo-a:full'.",
        "zoo-a:ful": "zoo-a has no strategy 'ful'. Did you mean 'full'? Some of its own: 'zoo-a:full'.",
        "zoo-a": "'zoo-a' is a plugin. Choose one of its strategies: 'zoo-a:full'.",
        "zoo-c:full": "The strategy 'full' would be one of zoo-c, and the installed version 1.0 lacks it. "
        "`zoo list strategies` shows those of others.",
    }
    for text, message in told.items():
        with pytest.raises(UsageError) as caught:
            catalog.strategy(text)
        assert str(caught.value) == message


def test_a_distribution_can_be_named_with_options_behind_it() -> None:
    catalog = Catalog((record("zoo-a", LAST), record("zoo-b", LAST)))
    choice = catalog.strategy("zoo-b:last:3")
    assert (choice.entry.distribution, choice.options.n) == ("zoo-b", 3)


def test_an_unknown_name_gets_a_suggestion_and_the_next_step() -> None:
    with pytest.raises(UsageError) as caught:
        Catalog((record("zoo-a", FULL),)).strategy("ful")
    assert str(caught.value) == "No strategy 'ful'. Did you mean 'full'? `zoo list strategies` shows all."


def test_a_backbone_whose_plugin_is_not_installed_is_answered_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zoo_core.absent.installed_plugins", lambda: [])
    plugin = known_plugins().plugins[0]
    name, distribution = plugin.releases[0].names["backbones"][0], plugin.distribution
    with pytest.raises(UsageError, match=f"'{name}' is provided by {distribution}.*`pip install .*{distribution}`"):
        Catalog(()).backbone(name)


def plugin(**hooks: object) -> types.ModuleType:
    module = types.ModuleType("plugin_under_test")
    for name, value in hooks.items():
        setattr(module, name, hookimpl(value) if callable(value) else value)
    return module


def collected(module: types.ModuleType) -> PluginRecord:
    return _collect("zoo-x", "1.0", "x", lambda: module)


def test_a_plugin_hands_over_its_specs() -> None:
    assert collected(plugin(zoo_strategies=lambda: [FULL])).specs == (FULL,)


def raising() -> list[FreezeSpec]:
    raise RuntimeError("the disk is on fire")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (plugin(zoo_strategies=raising), "RuntimeError: the disk is on fire"),
        (
            plugin(zoo_strategies=lambda: ["full"]),
            "TypeError: zoo_strategies returned 'full', which is not a FreezeSpec",
        ),
        (plugin(zoo_heads=lambda: [FULL]), "TypeError: zoo_heads returned FreezeSpec"),
        (plugin(zoo_strategys=lambda: [FULL]), "PluginValidationError: unknown hook 'zoo_strategys'"),
        (plugin(), "ValueError: it implements none of the hooks"),
        (
            plugin(zoo_strategies=lambda: [FreezeSpec(name="A B", plan="a:b", summary="")]),
            "PluginError: the strategy name",
        ),
    ],
)
def test_a_plugin_that_fails_is_recorded_with_its_reason(module: types.ModuleType, reason: str) -> None:
    failed = collected(module)
    assert failed.specs == ()
    assert failed.failure is not None
    assert failed.failure.startswith(reason)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda: FreezeSpec(name="A B", plan="a:b", summary=""), "PluginError: the strategy name 'A B' must be"),
        (
            lambda: FreezeSpec(name="odd", plan="a:b", summary="", options=dict),
            "PluginError: strategy 'odd': its options",
        ),
        (lambda: FreezeSpec(name="odd", plan=7, summary=""), "PluginError: odd: 7 is not an import path"),
        (
            lambda: FreezeSpec(name="odd", plan="a:b", summary="", paper=Paper(title=9, authors="", venue="", year=1)),
            "PluginError: a paper: title must be a text",
        ),
        (lambda: "full", "TypeError: zoo_strategies returned 'full', which is not a FreezeSpec"),
        (lambda: FULL, "ValueError: it registers two FreezeSpecs named full"),
    ],
    ids=["name", "options", "type", "inside", "kind", "twice"],
)
def test_one_bad_spec_costs_that_spec_and_not_the_plugin(bad: Callable[[], FreezeSpec], reason: str) -> None:
    """Seen to fail: each of them made the whole plugin be skipped, with all its other specs."""
    other = FreezeSpec(name="other", plan="a:b", summary="")
    record = collected(plugin(zoo_strategies=lambda: [FULL, bad(), other]))
    assert (record.specs, record.failure) == ((FULL, other), None)
    (left_out,) = record.left_out
    assert left_out.startswith(reason)
    assert warnings_of([record]) == (f"the plugin zoo-x works without one of its specs: {left_out}",)


def test_a_faulty_spec_is_left_out_by_every_catalog_of_a_process() -> None:
    """Seen to fail: a module is imported once, so only the first catalog knew the faults of its specs."""
    with collecting_faults():
        bad = FreezeSpec(name="A B", plan="a:b", summary="")
    record = collected(plugin(zoo_strategies=lambda: [FULL, bad]))
    assert (record.specs, len(record.left_out)) == ((FULL,), 1)


def test_a_hook_that_raises_costs_that_hook_and_not_the_others() -> None:
    record = collected(plugin(zoo_strategies=lambda: [FULL], zoo_heads=raising))
    assert (record.specs, record.left_out) == ((FULL,), ("RuntimeError: the disk is on fire",))


@pytest.mark.parametrize("error", [SystemExit(3), ImportError("no module named x"), SyntaxError("bad")])
def test_a_plugin_that_cannot_be_imported_is_recorded_with_its_reason(error: BaseException) -> None:
    def load() -> types.ModuleType:
        raise error

    assert _collect("zoo-x", "1.0", "x", load).failure == f"{type(error).__name__}: {error}"


def test_core_brings_its_own_heads_and_strategies_through_the_same_hooks(catalog: Catalog) -> None:
    core = catalog.records[0]
    assert core.distribution == "zoo-core"
    assert {"linear", "mlp"} <= set(core.names(HeadSpec))
    assert {"head-only", "last", "full"} <= set(core.names(FreezeSpec))


def test_an_alias_chooses_the_same_head_and_is_written_as_it_was_given(catalog: Catalog) -> None:
    """Runs of zoo 0.1 name the head logreg 'solved', and their records stay as they were written."""
    old, new = catalog.head("solved:avgmax"), catalog.head("logreg:avgmax")
    assert old.spec is new.spec
    assert (str(old), str(new)) == ("solved:avgmax", "logreg:avgmax")
    assert str(catalog.head("zoo-core:solved")) == "solved"
    assert "solved" not in [entry.spec.name for entry in catalog.entries(HeadSpec)]
