"""A digest of the code that computes a network: cached features are found again only while that
code is the same."""

from __future__ import annotations

import hashlib
import re
import sys
import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

from torch import nn

from zoo_core.installed import installed_plugins

STARTED = time.time()
"""Python files are imported after this moment, or shortly before it."""
RELEASED = {"torch", *sys.stdlib_module_names}
"""Packages whose version stands for their code."""
COUNTED = "zoo_core"
"""The package that counts its own changes: `split.VERSION`."""
UNFOLLOWED = RELEASED | {COUNTED}
"""Packages whose files never count for a module of another one."""
INSTALLED = {"site-packages", "dist-packages"}
"""The folders in which pip and Linux distributions put packages."""
IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|.*)|import[ \t]+(.*))", re.MULTILINE)
NAME = re.compile(r"[\w.]+")


def source_names(module: nn.Module) -> set[str]:
    """The names of the Python modules that define a network and its children, base classes
    included."""
    kinds = {kind for part in module.modules() for kind in type(part).__mro__}
    return {kind.__module__ for kind in kinds if _package(kind.__module__) != COUNTED}


def code_digest(names: Collection[str]) -> str:
    """A sha256 over the source files of these Python modules, and the versions of their packages.

    A file counts with all files that it has names from, directly or through others: those of the
    same package, and those of packages that are used from their source, as after `pip install -e`.
    For the other packages that a plugin imports their versions count. A changed comment gives
    another digest; a file that none of these uses counts for nothing.

    Code that cannot be compared, because it lies in no file or because its file was changed after
    this process began to import, gets a digest that never occurs again.
    """
    packages, files = _used_code(names)
    read = {_package(name) for name in files} | sys.stdlib_module_names
    digest = hashlib.sha256()
    for package in sorted(packages):
        digest.update(f"{package} {_version(package, is_read=package in read)}\n".encode())
    for name in sorted(files):
        digest.update(f"{name} {_file_digest(sys.modules.get(name))}\n".encode())
    return digest.hexdigest()


def _used_code(names: Collection[str]) -> tuple[set[str], set[str]]:
    """The packages whose versions count for these modules, and the modules whose files do."""
    plugins = {_package(plugin.module) for plugin in installed_plugins()}
    packages, files = {_package(name) for name in names}, set[str]()
    waiting = [name for name in names if _package(name) not in RELEASED]
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        files.add(name)
        is_authored = _package(name) in plugins or _is_source(name)
        for other in _used_by(name, with_imports=is_authored):
            if _package(other) == _package(name) or _is_source(other):
                waiting.append(other)
            elif is_authored and _package(other) not in UNFOLLOWED:
                packages.add(_package(other))
    return packages, files


def _version(package: str, *, is_read: bool) -> str:
    """The version that a package states, else those of the distributions that bring it; of one
    whose files count it is not looked up."""
    stated = getattr(sys.modules.get(package), "__version__", None)
    if stated is not None or is_read:
        return str(stated or "")
    return ", ".join(sorted(f"{name} {version(name)}" for name in filter(None, set(_distributions().get(package, ())))))


@cache
def _distributions() -> Mapping[str, list[str]]:
    """The distributions that bring each package: finding them reads the metadata of all, and
    damaged metadata of any end that."""
    try:
        return packages_distributions()
    except Exception:
        return {}


def _package(name: str) -> str:
    return name.partition(".")[0]


def _is_source(name: str) -> bool:
    """Whether a module lies where its author edits it, and not where pip installs packages."""
    if _package(name) in UNFOLLOWED:
        return False
    path = getattr(sys.modules.get(name), "__file__", None)
    return path is not None and INSTALLED.isdisjoint(re.split(r"[/\\]", path))


def _used_by(name: str, *, with_imports: bool) -> set[str]:
    """The modules that a module has names from, and those that its file imports."""
    module = sys.modules.get(name)
    found: set[object] = {
        value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        for value in (list(vars(module).values()) if module else ())
    }
    path = getattr(module, "__file__", None) or ""
    if with_imports and path.endswith(".py"):
        found |= _imported(Path(path), getattr(module, "__package__", None) or name) & sys.modules.keys()
    return {other for other in found if isinstance(other, str) and not _is_namespace(other)}


def _is_namespace(name: str) -> bool:
    """Whether a package is a mere folder, which has no code."""
    module = sys.modules.get(name)
    return hasattr(module, "__path__") and getattr(module, "__file__", None) is None


def _imported(path: Path, package: str) -> set[str]:
    """The names in the import statements of a file, wherever they stand: some are of modules."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    found = set[str]()
    for parent, names, modules in IMPORT.findall(text):
        found.update(NAME.findall(modules))
        if parent:
            with suppress(ImportError):  # more dots than there are packages
                whole = resolve_name(parent, package)
                found |= {whole, *(f"{whole}.{name}" for name in NAME.findall(names))}
    return found


def _file_digest(module: ModuleType | None) -> str:
    """A sha256 of the file of a module; by chance where that may not be the code in memory."""
    try:
        path = Path(str(getattr(module, "__file__", None)))
        facts = path.stat()
        if max(facts.st_mtime, facts.st_ctime) <= STARTED:
            return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        pass
    return uuid.uuid4().hex
