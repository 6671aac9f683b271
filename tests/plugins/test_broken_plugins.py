"""Plugins that fail, in every way that a package can (rows 30 to 33 of docs/reliability.md), as pip would have left them.

Seen to fail without their guards: with `except Exception` a SystemExit ended zoo; without check_pending the misspelled
hook was silently ignored; with one manager for all, one raising hook took every plugin's backbones away; with the
standard library's own list of entry points, one damaged metadata file ended every command; unescaped, a reason
cleared the screen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import Zoo
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.discovery import discover
from zoo_core.errors import PluginError, UsageError

HEAD = "from zoo_core import BackboneSpec, FreezeSpec, HeadSpec, Paper, Preprocessing, WeightsRef, HubFile, hookimpl\n"
GOOD = HEAD + (
    "@hookimpl\ndef zoo_heads():\n"
    "    return [HeadSpec(name='good-{name}', build='zoo_core.model.heads:linear', summary='a good one')]\n"
)
Install = Callable[..., Path]


def failure_of(distribution: str) -> str:
    (record,) = [record for record in discover() if record.distribution == distribution]
    assert record.specs == ()
    assert record.failure is not None
    return record.failure


def hook(name: str, body: str) -> str:
    return f"{HEAD}@hookimpl\ndef {name}():\n    {body}\n"


def backbone(**changes: str) -> str:
    fields = {
        "name": "'net'",
        "build": "'a.b:c'",
        "stages": "('s',)",
        "channels": "8",
        "stride": "2",
        "min_size": "8",
        "year": "2026",
        "paper": "Paper(title='t', authors='a', venue='v', year=2026)",
        "preprocessing": "Preprocessing(size=8, mean=(0.5,), std=(0.5,))",
        **changes,
    }
    return hook(
        "zoo_backbones", f"return [BackboneSpec({', '.join(f'{key}={value}' for key, value in fields.items())})]"
    )


WEIGHTS = (
    "(WeightsRef(tag='t', sources=(HubFile(repo='a/b', revision={revision}),), data='d', licence={licence}, "
    "preprocessing=Preprocessing(size={size}, mean=(0.5,), std=(0.5,))),)"
)
WEIGHTS_WITH = {"revision": "None", "licence": "'MIT'", "size": "8"}

FAILURES = {
    "a missing import": ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module"),
    "a syntax error": ("def (:", "SyntaxError: invalid syntax"),
    "no utf-8": ("# -*- coding: nonsense -*-\n", "SyntaxError: "),
    "an exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "a silent exit": ("import sys; sys.exit()", "SystemExit"),
    "a generator's exit": ("raise GeneratorExit", "GeneratorExit"),
    "endless recursion": ("def f(): f()\nf()", "RecursionError: maximum recursion depth"),
    "an error that cannot be shown": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "E",
    ),
    "a long error": ("raise ValueError('x' * 10**6)", "ValueError: xxx"),
    "an error that steers the terminal": (
        "raise ValueError('\\x1b[2J[red]\\u202e')",
        "ValueError: \\x1b[2J[red]\\u202e",
    ),
    "a raising hook": (hook("zoo_heads", "raise KeyError('a')"), "KeyError: 'a'"),
    "a hook that returns nothing": (hook("zoo_heads", "return None"), "ValueError: it implements none of the hooks"),
    "a hook that returns a number": (
        hook("zoo_heads", "return 7"),
        "TypeError: zoo_heads returned 7, which is not a list of HeadSpecs",
    ),
    "a hook that returns names": (
        hook("zoo_heads", "return ['linear']"),
        "TypeError: zoo_heads returned 'linear', which is not a HeadSpec",
    ),
    "a generator that raises": (
        hook("zoo_heads", "yield HeadSpec(name='x', build='a.b:c', summary=''); raise OSError('half')"),
        "OSError: half",
    ),
    "something that cannot be shown": (
        "class C:\n    def __repr__(self): raise ValueError\n" + hook("zoo_heads", "return [C()]"),
        "TypeError: zoo_heads returned a C that cannot be shown, which is not a HeadSpec",
    ),
    "a misspelled hook": (hook("zoo_backbone", "return []"), "PluginValidationError: unknown hook 'zoo_backbone'"),
    "a newer hook": (hook("zoo_detectors", "return []"), "PluginValidationError: unknown hook 'zoo_detectors'"),
    "a hook that wants arguments": (
        f"{HEAD}@hookimpl\ndef zoo_heads(version): return []\n",
        "PluginValidationError: Plugin",
    ),
    "a newer field": (
        hook("zoo_heads", "return [HeadSpec(name='x', build='a:b', summary='', colour='red')]"),
        "TypeError: HeadSpec.__init__() got an unexpected keyword argument 'colour'",
    ),
    "negative channels": (backbone(channels="-8"), "PluginError: backbone 'net': channels must be at least 1"),
    "no number of channels": (backbone(channels="float('nan')"), "PluginError: backbone 'net': channels must be"),
    "no size": (
        backbone(preprocessing="Preprocessing(size=float('nan'), mean=(0.5,), std=(0.5,))"),
        "PluginError: the image size must be at least 1 and at most 8192, got nan",
    ),
    "no mean": (
        backbone(preprocessing="Preprocessing(size=8, mean=(float('nan'),), std=(0.5,))"),
        "PluginError: mean must be finite",
    ),
    "a branch for a revision": (
        backbone(weights=WEIGHTS.format(**{**WEIGHTS_WITH, "revision": "'main'"})),
        "PluginError: a/b: revision 'main' is not a commit of 40 hex digits",
    ),
    "a book for a licence": (
        backbone(weights=WEIGHTS.format(**{**WEIGHTS_WITH, "licence": "'x' * 10**6"})),
        "PluginError: weights 't': licence must be a text of at most 1000 characters",
    ),
    "an absurd name": (backbone(name="'\\x1b[2J'"), "PluginError: the backbone name '\\x1b[2J' must be lower-case"),
    "a very long name": (backbone(name="'x' * 10**6"), "PluginError: the backbone name 'xxx"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_plugin_that_fails_is_blamed_and_the_rest_works(install: Install, kind: str) -> None:
    code, reason = FAILURES[kind]
    install("zoo-a-good", GOOD.format(name="a"))
    install("zoo-bad", code)
    install("zoo-z-good", GOOD.format(name="z"))
    failure = failure_of("zoo-bad")
    assert failure.startswith(reason)
    assert failure.isprintable()
    assert len(failure) < 400
    catalog = open_catalog()
    assert {"good-a", "good-z", "linear"} <= {
        entry.spec.name for entry in catalog.entries(type(catalog.head("linear").spec))
    }
    own = [warning for warning in catalog.warnings if "zoo-bad" in warning or "good" in warning]
    assert own == [f"the plugin zoo-bad was skipped: {failure}"]


def test_ctrl_c_during_an_import_is_the_users_and_passes_through(install: Install) -> None:
    install("zoo-slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        discover()


def test_two_distributions_with_one_entry_point_name_are_both_there(install: Install) -> None:
    """pluggy's own loader keeps the first and drops the second without a word."""
    install("zoo-one", GOOD.format(name="one"), entry_points="[zoo]\nsame = zoo_one\n")
    install("zoo-two", GOOD.format(name="two"), entry_points="[zoo]\nsame = zoo_two\n")
    names = {record.distribution: [spec.name for spec in record.specs] for record in discover()}
    assert (names["zoo-one"], names["zoo-two"]) == (["good-one"], ["good-two"])


def test_two_distributions_with_one_name_of_a_head_are_both_named_and_either_can_be_chosen(install: Install) -> None:
    install("zoo-one", GOOD.format(name="x"))
    install("zoo-two", GOOD.format(name="x"))
    catalog = open_catalog()
    with pytest.raises(
        UsageError, match="provided by zoo-one and by zoo-two. Choose one: 'zoo-one:good-x' or 'zoo-two"
    ):
        catalog.head("good-x")
    assert catalog.head("zoo-two:good-x").entry.distribution == "zoo-two"


@pytest.mark.parametrize(
    ("entry_points", "reason"),
    [
        ("[zoo]\nx = \n", "ValueError: Empty module name"),
        ("[zoo]\nx = ../..:x\n", "TypeError: the 'package' argument is required"),
        ("[zoo]\nx = zoo_odd:nothing\n", "AttributeError: module 'zoo_odd' has no attribute 'nothing'"),
        ("[zoo]\nno equals sign\n", "PluginError: its metadata are damaged: TypeError"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_blamed(install: Install, entry_points: str, reason: str) -> None:
    install("zoo-odd", "", entry_points=entry_points)
    assert failure_of("zoo-odd").startswith(reason)


@pytest.mark.parametrize("entry_points", [b"[other]\nno equals sign\n", b"[other]\n\xff = x\n"])
def test_damaged_metadata_of_a_stranger_are_not_our_business(install: Install, entry_points: bytes) -> None:
    install("stranger", "", entry_points=entry_points)
    install("zoo-good", GOOD.format(name="x"))
    names = [record.distribution for record in discover()]
    assert "zoo-good" in names
    assert "stranger" not in names


def test_a_distribution_without_a_name_is_told_as_unknown(install: Install) -> None:
    install("zoo-nameless", "raise ValueError('x')", metadata="Metadata-Version: 2.1\n")
    assert failure_of("unknown") == "ValueError: x"


def test_the_listing_of_plugins_tells_the_story_and_steers_no_terminal(install: Install, zoo: Zoo) -> None:
    install("zoo-good", GOOD.format(name="x"))
    install("zoo-bad", "raise ValueError('\\x1b[2J[bold]no[/bold]')")
    shown = zoo("plugins")
    assert shown.returncode == 0
    assert "heads: good-x" in shown.stdout
    assert "skipped: ValueError: \\x1b[2J[bold]no[/bold]" in shown.stdout
    assert "\x1b[2J" not in shown.stdout + shown.stderr
    rows = {row["distribution"]: row for row in json.loads(zoo("plugins", "--json").stdout)["plugins"]}
    assert rows["zoo-bad"]["failure"] == "ValueError: \\x1b[2J[bold]no[/bold]"
    assert rows["zoo-good"]["heads"] == ["good-x"]


def test_texts_of_a_plugin_steer_no_terminal(install: Install, zoo: Zoo) -> None:
    """Without the escapes the listing cleared the screen, and `zoo info` broke off at the unbalanced markup."""
    code = GOOD.replace("'a good one'", "'\\x1b[2J[/red]'").format(name="x")
    install("zoo-good", code)
    for command in (("list", "heads"), ("info", "good-x")):
        shown = zoo(*command)
        assert shown.returncode == 0, shown.stderr
        assert "\\x1b[2J[/red]" in shown.stdout
        assert "\x1b[2J" not in shown.stdout


def test_no_plugins_and_disabled_plugins_are_not_even_imported(install: Install, zoo: Zoo, tmp_path: Path) -> None:
    install("zoo-loud", f"open({str(tmp_path / 'imported')!r}, 'w')\n" + GOOD.format(name="x"))
    assert "good-x" not in zoo("--no-plugins", "list", "heads").stdout
    for name in ("zoo-loud", "zoo_loud", "Zoo.Loud"):
        hidden = zoo("list", "heads", env={"ZOO_DISABLE_PLUGINS": f" {name} ,"})
        assert ("good-x" in hidden.stdout, "DISABLE" in hidden.stderr, "loud" in hidden.stderr) == (False, False, False)
    assert not (tmp_path / "imported").exists()
    assert "disabled by the user" in zoo("plugins", env={"ZOO_DISABLE_PLUGINS": "zoo-loud"}).stdout
    assert "good-x" in zoo("list", "heads").stdout


def test_a_disabled_name_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "zoo-vgq, zoo-lenet, \x1b[2J")
    first, second = (warning for warning in open_catalog().warnings if "ZOO_DISABLE_PLUGINS" in warning)
    assert first == (
        "ZOO_DISABLE_PLUGINS names zoo-vgq, and no such plugin is installed. Did you mean 'zoo-vgg'? "
        "`zoo plugins` shows all."
    )
    assert second.startswith("ZOO_DISABLE_PLUGINS names \\x1b[2J, and no such plugin is installed.")


# ---- what fails only when it is used


USED = (
    HEAD
    + """
from zoo_core import DatasetSpec
def quits(options, *, stages, epochs): raise SystemExit(0)
def raises(options, *, stages, epochs): raise KeyError("stage")
def gives_none(options, *, stages, epochs): return None
def other_stages(options, *, stages, epochs):
    from zoo_core.freezing.strategies import full, FullOptions
    return full(FullOptions(), stages=("a", "b"), epochs=epochs)
def other_epochs(options, *, stages, epochs):
    from zoo_core.freezing.strategies import full, FullOptions
    return full(FullOptions(), stages=stages, epochs=epochs + 1)
def odd_rule(options, *, stages, epochs):
    from zoo_core import Rule
    return Rule(lr=-1.0)
def no_source(): return [1, 2]
def bad_source(): raise OSError("the disk is on fire")
def _source(targets):
    import numpy as np
    from zoo_core.data.sources import ArrayImages, Part, Source
    images = ArrayImages("-", np.zeros((3, 4, 4, 3), np.uint8))
    return Source("-", ("a", "b"), {"train": Part(images, np.array(targets))})
def too_far(): return _source([0, 1, 2])
def too_few(): return _source([0, 1])
@hookimpl
def zoo_strategies():
    names = ("quits", "raises", "gives_none", "other_stages", "other_epochs", "odd_rule", "missing")
    return [FreezeSpec(name=name.replace("_", "-"), plan=f"zoo_used:{name}", summary="") for name in names]
@hookimpl
def zoo_heads():
    return [HeadSpec(name="broken-module", build="zoo_used_broken:head", summary="")]
@hookimpl
def zoo_datasets():
    facts = dict(summary="", images=1, classes=1, licence="", url="")
    names = ("no_source", "bad_source", "too_far", "too_few")
    return [DatasetSpec(name=name.replace("_", "-"), load=f"zoo_used:{name}", **facts) for name in names]
"""
)


@pytest.fixture
def used(install: Install) -> Catalog:
    site = install("zoo-used", USED)
    (site / "zoo_used_broken.py").write_text("raise SystemExit('no')")
    return open_catalog()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("quits", "zoo-used: the strategy 'quits' failed: SystemExit: 0."),
        ("raises", "zoo-used: the strategy 'raises' failed: KeyError: 'stage'."),
        ("gives-none", "zoo-used: the strategy 'gives-none' failed: TypeError: it gave None, not a Plan of 3 epochs"),
        ("other-stages", "zoo-used: the strategy 'other-stages' failed: TypeError: it gave Plan"),
        ("other-epochs", "zoo-used: the strategy 'other-epochs' failed: TypeError: it gave Plan"),
        (
            "odd-rule",
            "zoo-used: the strategy 'odd-rule' gives a plan that cannot be: a share of the learning rate must be between 0 "
            "and 1000, got -1.0.",
        ),
        ("missing", "'zoo_used:missing' cannot be imported: AttributeError"),
    ],
)
def test_a_strategy_that_fails_when_it_is_asked_is_blamed(used: Catalog, strategy: str, message: str) -> None:
    from zoo_core.model.adapt import make_plan

    with pytest.raises(PluginError) as caught:
        make_plan(used.strategy(strategy), used.backbone("lenet5").spec.stages, 3)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-source", "zoo-used: the data set 'no-source' failed: TypeError: it gave [1, 2], not a Source."),
        ("bad-source", "zoo-used: the data set 'bad-source' failed: OSError: the disk is on fire."),
        (
            "too-far",
            "zoo-used: the data set 'too-far' failed: ValueError: the targets of its train part run from 0 to 2, and its "
            "2 classes have the numbers 0 to 1.",
        ),
        (
            "too-few",
            "zoo-used: the data set 'too-few' failed: ValueError: the targets of its train part have the shape (2,), and "
            "not (3,).",
        ),
    ],
)
def test_a_data_set_that_fails_when_it_is_opened_is_blamed(used: Catalog, name: str, message: str) -> None:
    from zoo_core.training.opening import open_dataset

    with pytest.raises(PluginError) as caught:
        open_dataset(name, used)
    assert str(caught.value) == message


def test_a_module_that_exits_when_it_is_first_needed_is_blamed(used: Catalog) -> None:
    from zoo_core.model.assemble import build_head

    with pytest.raises(PluginError, match="'zoo_used_broken:head' cannot be imported: SystemExit: no. Reinstall"):
        build_head(used.head("broken-module"), in_channels=8, num_outputs=2)


def test_a_backbone_that_builds_other_stages_than_it_says_is_blamed(install: Install) -> None:
    from zoo_core.model.assemble import build_network

    model = (
        "def net(options):\n    from torch import nn\n    from zoo_core.model.chain import Chain\n"
        "    return Chain({'other': nn.Conv2d(1, 8, 3)})\n"
    )
    install("zoo-lying", backbone(build="'zoo_lying:net'") + model)
    with pytest.raises(PluginError, match=r"zoo-lying: the backbone 'net' built the stages \('other',\), and its spec"):
        build_network(open_catalog().backbone("net"))
