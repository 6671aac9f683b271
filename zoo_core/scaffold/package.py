"""The files of a new plugin: named, rendered, and written where nothing stands yet."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo_core.catalog import KINDS as SPEC_KINDS
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.discovery import CORE
from zoo_core.errors import PluginError, UsageError, printable, shown
from zoo_core.hookspecs import HOOK_API
from zoo_core.installing import ON_AN_INDEX, develop_command
from zoo_core.registry import known_plugins
from zoo_core.result_specs import ExporterSpec, MetricSpec, TrackerSpec
from zoo_core.scaffold.sources import BLANK, Cut, cut_of
from zoo_core.spec_checks import check_name
from zoo_core.specs import AugmentSpec, BackboneSpec, CommandSpec, DatasetSpec, FreezeSpec, HeadSpec
from zoo_core.version import __version__

NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", re.ASCII)
MAX_NAME = 40  # so that every line of code with the name in it stays within the formatter's 100 columns
PREFIX = "zoo-"
TRIED_SIZE = 32  # pixels, near those of the bundled images: a first fine-tune ends soon
SOMEBODY = "the authors"
"""The author of a package where git knows no name."""

KINDS: dict[str, tuple[type, str, tuple[str, ...]]] = {
    "backbone": (BackboneSpec, "model", ("torch>=2.11",)),
    "head": (HeadSpec, "head", ("torch>=2.11",)),
    "strategy": (FreezeSpec, "strategy", ()),
    "dataset": (DatasetSpec, "data", ("numpy>=1.26",)),
    "command": (CommandSpec, "command", ("click>=8.1",)),
    "metric": (MetricSpec, "metric", ("numpy>=1.26",)),
    "exporter": (ExporterSpec, "export", ("numpy>=1.26", "torch>=2.11")),
    "augmentation": (AugmentSpec, "augment", ("pillow>=10.3",)),
    "tracker": (TrackerSpec, "record", ()),
}
"""For each kind its spec, the name of the module with its code, and that code's requirements."""


@dataclass(frozen=True)
class NewPlugin:
    """A plugin to be written; its names follow from one."""

    name: str
    """The name of its spec, by which users choose it."""
    kind: str
    cut: Cut = field(default_factory=lambda: BLANK)
    """The network of a backbone."""

    @property
    def distribution(self) -> str:
        return PREFIX + self.name

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def module(self) -> str:
        return KINDS[self.kind][1]

    @property
    def title(self) -> str:
        """The thing that it brings, in words."""
        return f"The {SPEC_KINDS[KINDS[self.kind][0]][0]} {self.name}"

    @property
    def requirements(self) -> list[str]:
        return [f"{CORE}>={__version__}", *KINDS[self.kind][2], *self.cut.requirements]

    @cached_property
    def spec(self) -> BackboneSpec:
        """The facts about a backbone."""
        return self.cut.spec(self.name, f"{self.package}.{self.module}")

    @property
    def commands(self) -> list[str]:
        """The next commands in the folder that it was made in: install it, check it, use it."""
        return [develop_command(self.distribution), f"zoo plugin check {self.distribution}", self.use()]

    def use(self, backbone: str = "") -> str:
        """The command that uses it. It takes this backbone, or the smallest installed one, where the
        plugin brings none."""
        if self.kind == "backbone":
            sizes = range(max(self.spec.min_size, TRIED_SIZE), self.spec.preprocessing.size)
            size = next((size for size in sizes if self.spec.takes_size(size)), self.spec.preprocessing.size)
            return f"zoo finetune --backbone {self.name} --weights none --image-size {size} --epochs 1"
        if self.kind == "command":
            return f"zoo {self.name}"
        if self.kind == "metric":
            return f"zoo evaluate RUN --metric {self.name}"
        if self.kind == "exporter":
            return f"zoo export RUN --to {self.name}"
        if self.kind == "augmentation":
            option = "--strategy full --augment"  # a head alone sees each image as it is
        else:
            options = {"head": "--head", "strategy": "--strategy", "dataset": "--data", "tracker": "--track"}
            option = options[self.kind]
        epochs = 2 if self.kind == "strategy" else 1  # of its two phases
        return f"zoo finetune --backbone {backbone or _smallest_backbone()} {option} {self.name} --epochs {epochs}"

    @property
    def files(self) -> dict[str, str]:
        """The template of each file."""
        code = self.cut.template if self.kind == "backbone" else self.module
        source = f"src/{self.package}"
        return {
            "pyproject.toml": "pyproject.toml.j2",
            "README.md": "README.md.j2",
            "LICENSE": "LICENSE.j2",
            ".github/workflows/ci.yml": "ci.yml.j2",
            f"{source}/__init__.py": "__init__.py.j2",
            f"{source}/py.typed": "",
            f"{source}/plugin.py": f"{self.kind}/plugin.py.j2",
            f"{source}/{self.module}.py": f"{self.kind}/{code}.py.j2",
            "tests/test_conformance.py": "test_conformance.py.j2",
        }


def make_plugin(
    text: str, kind: str, source: str, *, folder: Path, reserved: Collection[str] = ()
) -> tuple[NewPlugin, list[Path]]:
    """Write the package `zoo-NAME` into `folder`; `reserved` are the names of zoo's own commands.

    Returns the plugin and its files. Nothing is written, and nothing that exists is touched, unless
    all goes well. Raises UsageError for a name that cannot be used, a folder that exists, and a
    `source` that cannot be cut into stages.
    """
    catalog = open_catalog()
    name = checked_name(text, kind, catalog, reserved)
    if kind != "backbone" and source != "blank":
        raise UsageError(f"--from is for backbones, and this is a {kind}. Leave it out, or add --kind backbone.")
    root = folder / f"{PREFIX}{name}"
    if root.exists():
        raise UsageError(f"{printable(str(root))} exists already. Choose another name, or move it away.")
    plugin = NewPlugin(name, kind, cut_of(source, catalog))
    texts = render(plugin)
    root.mkdir()
    try:
        for file, content in texts.items():
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    except OSError:
        shutil.rmtree(root, ignore_errors=True)
        raise
    return plugin, [root / file for file in texts]


def checked_name(text: str, kind: str, catalog: Catalog, reserved: Collection[str] = ()) -> str:
    """The spec's name from `NAME` or `zoo-NAME`. Raises UsageError for one that cannot be used."""
    name = text.removeprefix(PREFIX)
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:MAX_NAME].strip("-")
        hint = f" Try '{better}'." if NAME.fullmatch(better) else ""
        raise UsageError(
            f"'{shown(text)}' cannot be the name of a plugin: it begins with a letter and has lower-case letters, digits "
            f"and single dashes, at most {MAX_NAME}.{hint}"
        )
    spec_kind = KINDS[kind][0]
    word = SPEC_KINDS[spec_kind][0]
    try:
        check_name(word, name)
    except PluginError as error:
        raise UsageError(f"{error}.") from None
    owners = [entry.distribution for entry in catalog.entries(spec_kind) if name in entry.names]
    if kind == "command" and name in reserved:
        owners = [CORE]
    if owners:
        raise UsageError(f"The {word} '{name}' is provided by {printable(owners[0])} already. Choose another name.")
    package = f"{PREFIX}{name}".replace("-", "_")
    if importlib.util.find_spec(package) is not None:
        raise UsageError(f"A package {package} is installed already. Choose another name.")
    known = known_plugins().named(f"{PREFIX}{name}")
    if known is not None:
        raise UsageError(f"{known.distribution} is a known plugin already. Choose another name.")
    return name


def render(plugin: NewPlugin) -> dict[str, str]:
    """The content of each file of a plugin."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("zoo_core", "resources/scaffold"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = lambda text: json.dumps(text, ensure_ascii=False)  # as Python and TOML write it
    values: dict[str, Any] = {
        "plugin": plugin,
        "author": author(),
        "year": date.today().year,
        "hook_api": HOOK_API,
        "requirements": plugin.requirements,
        "zoo_requirements": [CORE, *(r for r in plugin.cut.requirements if r.startswith(PREFIX))],
        "on_an_index": ON_AN_INDEX,
    }
    if plugin.kind == "backbone":
        values |= plugin.cut.values(plugin.spec)
    return {
        file: environment.get_template(template).render(values) if template else ""
        for file, template in plugin.files.items()
    }


def author() -> str:
    """The name that git signs commits with, or "the authors" where it knows none."""
    try:
        answer = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return SOMEBODY
    return printable(answer.stdout.strip()) or SOMEBODY


def _smallest_backbone() -> str:
    """The installed backbone with the fewest parameters, for a command that ends soon."""
    specs = [entry.spec for entry in open_catalog().entries(BackboneSpec) if entry.spec.params]
    return min(specs, key=lambda spec: spec.params or 0).name if specs else "NAME"
