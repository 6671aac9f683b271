"""An entry of an index: one plugin, its releases, and the facts of the backbones in each.

An index may come from anybody. Every field is checked when it is read: names and numbers have
bounds, texts cannot steer a terminal, and nothing in `install` can be an option of pip. Fields that
this zoo does not know are ignored, so that it reads the index of a newer one. The functions raise
TypeError, ValueError or KeyError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, TypeVar

from zoo_core.errors import brief
from zoo_core.hookspecs import HOOK_API
from zoo_core.json_checks import as_count, as_list, as_mapping, as_number
from zoo_core.spec_checks import MAX_NAME, NAME_PATTERN
from zoo_core.version import __version__
from zoo_core.weights_specs import permits_commerce

T = TypeVar("T")

MAX_TEXT = 200  # characters of a summary, a licence, a reason, a range: each is one cell of a table
MAX_NAMES = 10_000  # of one kind in a release: timm has 1,371 architectures
MAX_RELEASES = 500
PROVIDED = (
    "backbones",
    "heads",
    "strategies",
    "datasets",
    "commands",
    "metrics",
    "exporters",
    "runners",
    "augmentations",
    "trackers",
)
"""The kinds of specs that a release may list, as fields of it."""
DISTRIBUTION = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?", re.ASCII)
VERSION = re.compile(r"[0-9][0-9A-Za-z.+!]{0,49}", re.ASCII)
EXTRAS = r"(\[[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*\])?"
COMPARISON = r"(==|>=|<=|~=|!=|<|>) ?[0-9][0-9A-Za-z.*+!]{0,49}"
ADDRESS = re.compile(r"(git\+)?https://[A-Za-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9._~/@+%=&?,-]{1,400}", re.ASCII)
LINK = re.compile(r"https://[!-~]{3,400}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True)
class Verified:
    """The result of the conformance kit for one release under one zoo."""

    zoo: str
    date: str
    checks: int
    failed: int
    declared: int
    """Failures that the plugin declares, with a reason."""

    def __str__(self) -> str:
        told = f"{self.failed} failed" if self.failed else "passed"
        as_declared = f", {self.declared} as declared" if self.declared else ""
        return f"{self.checks} checks {told}{as_declared} (zoo {self.zoo}, {self.date})"


@dataclass(frozen=True)
class Release:
    """One version of a plugin."""

    version: str
    """Empty in an index of the first shape, which had no versions."""
    install: str
    """`./plugins/FOLDER` in zoo's source, a requirement, or an https address."""
    sha256: str | None
    """Of the file behind an https address."""
    zoo: str
    hook_api: str
    """The versions of zoo and of the hook API that it goes with, as ">=0.1"."""
    names: Mapping[str, tuple[str, ...]]
    """The names that it provides, by kind."""
    backbones: tuple[dict[str, Any], ...]
    """The rows of its backbones, as `zoo list` has them; unknown facts are None."""
    verified: tuple[Verified, ...]
    """Results of the conformance kit, the newest first."""
    yanked: str | None
    """The reason why nobody should install it."""

    @property
    def is_of_source(self) -> bool:
        """Whether it is a folder of zoo's source."""
        return self.install.startswith(".")

    @property
    def is_on_index(self) -> bool:
        """Whether pip asks its package index for it."""
        return not self.is_of_source and "://" not in self.install

    @property
    def obstacle(self) -> str | None:
        """The reason why it is not to be installed here, None where it can be."""
        return self.misfit or (None if self.yanked is None else f"was yanked: {self.yanked}")

    @cached_property
    def misfit(self) -> str | None:
        """The reason why it cannot work with this zoo, None where it can."""
        from packaging.specifiers import SpecifierSet

        for subject, wanted, here in (("zoo", self.zoo, __version__), ("the hook API", self.hook_api, str(HOOK_API))):
            if not SpecifierSet(wanted).contains(here, prereleases=True):
                return f"needs {subject} {wanted}, and this is {here}"
        return None


@dataclass(frozen=True)
class KnownPlugin:
    """A distribution with plugins of zoo, and its releases, the newest first."""

    distribution: str
    summary: str
    licence: str
    links: Mapping[str, str]
    releases: tuple[Release, ...]

    @property
    def best(self) -> Release | None:
        """The newest release that can be installed here."""
        return next((release for release in self.releases if release.obstacle is None), None)

    @property
    def obstacles(self) -> str:
        """A sentence for each of the newest releases that cannot be installed here."""
        return " ".join(f"{one.version or 'It'} {one.obstacle}." for one in self.releases[:3] if one.obstacle)


def read_plugin(value: object) -> KnownPlugin:
    """An entry of an index."""
    entry = as_mapping(value)
    distribution = _matching(DISTRIBUTION, entry["distribution"])
    releases = [_release(one, distribution) for one in _short_list(entry["versions"], MAX_RELEASES)]
    if not releases or len({release.version for release in releases}) != len(releases):
        raise ValueError(f"{distribution} has no versions, or one of them twice")
    return KnownPlugin(
        distribution=distribution,
        summary=_text(entry["summary"]),
        licence=_text(entry["licence"]),
        links={_text(name): _matching(LINK, link) for name, link in as_mapping(entry.get("links", {})).items()},
        releases=tuple(sorted(releases, key=_age, reverse=True)),
    )


def upgraded(value: object) -> dict[str, Any]:
    """An entry of the first shape, which had names and no versions, as one of today's."""
    entry = as_mapping(value)
    install = f"./{entry['folder']}" if "folder" in entry else entry["distribution"]
    names = {kind: entry[kind] for kind in PROVIDED if kind in entry}
    return {**entry, "versions": [{"version": "", "install": install, **names}]}


def _age(release: Release) -> Any:
    from packaging.version import Version

    return Version(release.version or "0")


def _release(value: object, distribution: str) -> Release:
    from packaging.specifiers import SpecifierSet

    facts = as_mapping(value)
    version = "" if facts["version"] == "" else _matching(VERSION, facts["version"])
    backbones = [_backbone(one, distribution, version) for one in _short_list(facts.get("backbones", []), MAX_NAMES)]
    names = {kind: _names(facts.get(kind, [])) for kind in PROVIDED[1:]}
    names["backbones"] = _names([row["name"] for row in backbones])
    verified = [_verified(one) for one in _short_list(facts.get("verified", []), MAX_RELEASES)]
    install = _install(facts["install"], distribution)
    sha256 = _maybe(facts.get("sha256"), lambda value: _matching(SHA256, value))
    if sha256 and not install.startswith("https:"):
        raise ValueError(f"{distribution}: a sha256 belongs to the file behind an https address")
    release = Release(
        version=version,
        install=install,
        sha256=sha256,
        zoo=_text(facts.get("zoo", "")),
        hook_api=_text(facts.get("hook_api", "")),
        names=names,
        backbones=tuple(backbones),
        verified=tuple(sorted(verified, key=lambda one: one.date, reverse=True)),
        yanked=_maybe(facts.get("yanked"), _text),
    )
    _age(release)
    for wanted in (release.zoo, release.hook_api):
        SpecifierSet(wanted)
    return release


def _install(value: object, distribution: str) -> str:
    """A folder of zoo's source, a requirement of that name, or an https address; nothing else."""
    text = _text(value, 500)
    name = re.escape(distribution)
    forms = (r"\./plugins/[a-z0-9][a-z0-9._-]*", rf"{name}( ?{COMPARISON}(, ?{COMPARISON})*)?", ADDRESS.pattern)
    if not any(re.fullmatch(form, text, re.ASCII) for form in forms):
        ways = "its own name with a version, or an https address"
        raise ValueError(f"{distribution} cannot be installed from {brief(text)}, only from {ways}")
    return text


def _backbone(value: object, distribution: str, version: str) -> dict[str, Any]:
    """The row of a backbone: its name alone, or with facts."""
    facts = {"name": value} if isinstance(value, str) else as_mapping(value)
    return {
        "name": _name(facts["name"]),
        "year": _maybe(facts.get("year"), as_count),
        "params": _maybe(facts.get("params"), as_count),
        "gmacs": _maybe(facts.get("gmacs"), as_number),
        "size": _maybe(facts.get("size"), as_count),
        "family": _text(facts.get("family", "")),
        "features": _maybe(facts.get("features"), _text),
        "stages": None,
        "weights": [_weights(one) for one in _short_list(facts.get("weights", []), MAX_NAMES)],
        "plugin": distribution,
        "plugin_version": version,
    }


def _weights(value: object) -> dict[str, Any]:
    facts = as_mapping(value)
    licence = _text(facts["licence"])
    return {
        "tag": _text(facts["tag"]),
        "top1": _maybe(facts.get("top1"), _percentage),
        "imagenet": facts.get("imagenet") is True,
        "licence": licence,
        "commercial": permits_commerce(licence),
    }


def _percentage(value: object) -> Any:
    number = as_number(value)
    if not 0 <= number <= 100:
        raise ValueError(f"{brief(value)} is no percentage")
    return number


def _verified(value: object) -> Verified:
    facts = as_mapping(value)
    checks, failed, declared = (as_count(facts[name]) for name in ("checks", "failed", "declared"))
    if failed + declared > checks:
        raise ValueError("more checks failed than were made")
    return Verified(_matching(VERSION, facts["zoo"]), checked_date(facts["date"]), checks, failed, declared)


def checked_date(value: object) -> str:
    """A day as 2026-11-26."""
    return date.fromisoformat(_matching(DATE, value)).isoformat()


def _names(value: object) -> tuple[str, ...]:
    names = [_name(one) for one in _short_list(value, MAX_NAMES)]
    if len(set(names)) != len(names):
        raise ValueError(f"a name stands twice in {brief(names)}")
    return tuple(names)


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME or not NAME_PATTERN.fullmatch(value):
        raise ValueError(f"{brief(value)} is not a name of lower-case letters, digits, '-' and '_'")
    return value


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{brief(value)} cannot stand there")
    return value


def _text(value: object, most: int = MAX_TEXT) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise TypeError(f"{brief(value)} is not a line of at most {most} printable characters")
    return value


def _short_list(value: object, most: int) -> list[Any]:
    found = as_list(value)
    if len(found) > most:
        raise ValueError(f"a list of {len(found):,} where at most {most:,} can stand")
    return found


def _maybe(value: object, read: Callable[[object], T]) -> T | None:
    return None if value is None else read(value)
