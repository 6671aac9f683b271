"""Cached features are found again only while the code that computed them is the same, in whatever package it lies."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from zoo_core.frozen import code

NET = """
import torch
{statement}

class Net(torch.nn.Module):
    def forward(self, inputs):
        return inputs * {factor}
"""
FACTOR = "FACTOR = {number}\n\ndef factor():\n    return {number}\n"
USES = {
    "a function": ("from {package}.parts import factor", "factor()"),
    "a constant": ("from {package}.parts import FACTOR", "FACTOR"),
    "a module": ("import {package}.parts as parts", "parts.FACTOR"),
    "a name of the package": ("from {package} import factor", "factor()"),
}


class Packages:
    """The package of a network and a second one, which it uses. Each digest is that of a process which starts with the
    files as they are."""

    def __init__(self, folder: Path) -> None:
        self.net, self.tools = folder / "netcode", folder / "site" / "nettools"
        for package in (self.net, self.tools):
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(f"from {package.name}.parts import factor\n")
            (package / "unused.py").write_text("YEAR = 1998\n")
            (package / "parts.py").write_text(FACTOR.format(number=3))

    def digest(self) -> str:
        for module in [module for module in sys.modules if module.partition(".")[0] in ("netcode", "nettools")]:
            del sys.modules[module]
        importlib.invalidate_caches()
        return code.code_digest(code.source_names(importlib.import_module("netcode.net").Net()))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    made = Packages(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(code, "STARTED", math.inf)
    yield made
    for module in [module for module in sys.modules if module.partition(".")[0] in ("netcode", "nettools")]:
        del sys.modules[module]


@pytest.mark.parametrize("package", ["netcode", "nettools"])
@pytest.mark.parametrize("use", USES)
def test_changed_code_is_another_key(packages: Packages, use: str, package: str) -> None:
    """Reported: an edited forward() of a plugin in development was answered with the features of the old one. Seen to
    fail: all uses of a second package, and constants of the own one."""
    statement, factor = USES[use]
    net = NET.format(statement=statement.format(package=package), factor=factor)
    (packages.net / "net.py").write_text(net)
    first = packages.digest()
    for folder in (packages.net, packages.tools):
        (folder / "unused.py").write_text("YEAR = 2026\n")
    assert packages.digest() == first, "files that the network does not use"
    (packages.net / "net.py").write_text(net + "# changed\n")
    second = packages.digest()
    used = packages.net if package == "netcode" else packages.tools
    (used / "parts.py").write_text(FACTOR.format(number=4))
    assert len({first, second, packages.digest()}) == 3


def test_a_package_that_a_used_one_uses_counts(packages: Packages) -> None:
    (packages.net / "net.py").write_text(NET.format(statement="from netcode.parts import factor", factor="factor()"))
    (packages.net / "parts.py").write_text("def factor():\n    from nettools.parts import FACTOR\n    return FACTOR\n")
    (packages.net / "__init__.py").write_text("import nettools.parts\n")
    first = packages.digest()
    (packages.tools / "parts.py").write_text(FACTOR.format(number=4))
    assert packages.digest() != first


def test_of_an_installed_package_the_version_counts_and_its_files_are_not_read(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: an upgrade of a package whose functions a network calls."""
    installed = (tmp_path / "site").rename(tmp_path / "site-packages") / "nettools"
    monkeypatch.syspath_prepend(installed.parent)
    (packages.net / "net.py").write_text(NET.format(statement="from nettools.parts import factor", factor="factor()"))
    first = packages.digest()
    (installed / "parts.py").write_text(FACTOR.format(number=4))
    assert packages.digest() == first
    (installed / "__init__.py").write_text('__version__ = "2"\n')
    assert packages.digest() != first


def test_a_package_that_states_no_version_has_that_of_its_distribution(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: after an upgrade of such a package the features of the old one stayed in use."""
    installed = (tmp_path / "site").rename(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(installed)
    (packages.net / "net.py").write_text(NET.format(statement="from nettools.parts import factor", factor="factor()"))
    monkeypatch.setattr(code, "_distributions", lambda: {"nettools": ["net-tools"]})
    metadata = installed / "net_tools.dist-info" / "METADATA"
    metadata.parent.mkdir()
    found = set[str]()
    for version in ("1.0", "2.0"):
        metadata.write_text(f"Metadata-Version: 2.1\nName: net-tools\nVersion: {version}\n")
        found.add(packages.digest())
    assert len(found) == 2


def test_code_that_changed_after_it_was_imported_is_never_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code in memory may be the old one: its features must not be stored under the new one's key."""

    class Net(torch.nn.Module):
        pass

    monkeypatch.setattr(code, "STARTED", 0.0)
    names = code.source_names(Net())
    assert code.code_digest(names) != code.code_digest(names)
