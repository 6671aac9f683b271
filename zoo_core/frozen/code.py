"""A digest of the code that computes a network: cached features are found again only while that
code is the same."""

from __future__ import annotations

import hashlib
import sys
import time
import uuid
from collections.abc import Collection, Iterable
from pathlib import Path
from types import ModuleType

from torch import nn

STARTED = time.time()
"""Python files are imported after this moment, or shortly before it."""
RELEASED = {"torch", *sys.stdlib_module_names}
"""Packages whose version stands for their code."""
COUNTED = "zoo_core"
"""The package that counts its own changes: `split.VERSION`."""


def source_names(module: nn.Module) -> set[str]:
    """The names of the Python modules that define a network and its children, base classes
    included."""
    kinds = {kind for part in module.modules() for kind in type(part).__mro__}
    return {kind.__module__ for kind in kinds if _package(kind.__module__) != COUNTED}


def code_digest(names: Collection[str]) -> str:
    """A sha256 over the source files of these Python modules, and the versions of their packages.

    A file counts with all files of the same package that it has names from, directly or through
    others. A changed comment gives another digest; a file that none of these uses counts for
    nothing.

    Code that cannot be compared, because it lies in no file or because its file was changed after
    this process began to import, gets a digest that never occurs again.
    """
    digest = hashlib.sha256()
    for package in sorted({_package(name) for name in names}):
        digest.update(f"{package} {getattr(sys.modules.get(package), '__version__', '')}\n".encode())
    for name in sorted(_used_modules(name for name in names if _package(name) not in RELEASED)):
        digest.update(f"{name} {_file_digest(sys.modules.get(name))}\n".encode())
    return digest.hexdigest()


def _package(name: str) -> str:
    return name.partition(".")[0]


def _used_modules(names: Iterable[str]) -> set[str]:
    """These modules, and those of the same package that they have names from."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for value in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
            other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(other, str) and _package(other) == _package(name):
                waiting.append(other)
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
