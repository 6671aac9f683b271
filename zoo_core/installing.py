"""Install commands, made in one place.

No package index has zoo's own distributions yet, and a name that nobody owns there could be taken
by anybody: the commands install them from zoo's source. `ON_AN_INDEX` is the line to change.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from zoo_core.discovery import CORE, normalised
from zoo_core.errors import UsageError, did_you_mean, printable, shown
from zoo_core.paths import user_path
from zoo_core.registry import KnownPlugin, Release, known_plugins
from zoo_core.registry.entries import ADDRESS, EXTRAS

ON_AN_INDEX = False
SOURCE = Path(__file__).parent.parent
ARCHIVES = (".whl", ".tar.gz", ".zip")
NAMED = re.compile(rf"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{{0,99}})(?P<extra>{EXTRAS})(==(?P<version>[\w.+!]+))?", re.A)
ADDRESSED = re.compile(rf"{ADDRESS.pattern}(#sha256=[0-9a-f]{{64}})?", re.ASCII)


def install_command(*distributions: str, extra: str = "", here: bool = True) -> str:
    """The command that installs distributions, with an `extra` of each where one is given.

    `here`: for this machine, with the path of zoo's source where zoo runs from it. Otherwise the
    command is for the folder of zoo's source, wherever that is.
    """
    folder = str(SOURCE) if here and _is_source(SOURCE) else "."
    arguments = (pip_argument(name, _origin(name), f"[{extra}]" if extra else "", folder) for name in distributions)
    return " ".join(["pip install", *map(shlex.quote, arguments)])


def install_hint(distribution: str, *, extra: str = "") -> str:
    """The command in backquotes, with the folder to run it in where that matters."""
    command = install_command(distribution, extra=extra)
    return f"`{command}`{place_of(distribution, command)}"


def develop_command(folder: str) -> str:
    """The command that installs a package under development, in a folder of the current one."""
    return f"pip install -e {shlex.quote(f'./{folder}')}"


def place_of(distribution: str, command: str) -> str:
    """ " in the folder of zoo's source" for a command with a path relative to it, else nothing."""
    relative = _origin(distribution).startswith(".") and str(SOURCE) not in command
    return " in the folder of zoo's source" if relative else ""


def pip_argument(distribution: str, origin: str, extra: str = "", folder: str = ".") -> str:
    """The argument for pip that installs a distribution from its origin: "." and "./plugins/FOLDER"
    in `folder`, a requirement, or an https address. It is never an option of pip."""
    if origin.startswith("."):
        return f"{folder}/{origin[2:]}".rstrip("/") + extra
    if "://" in origin:
        return f"{distribution}{extra} @ {origin}"
    return distribution + extra + origin.removeprefix(distribution)


def origin_of(release: Release) -> str:
    """The place that a release is installed from, with the hash that pip compares."""
    return f"{release.install}#sha256={release.sha256}" if release.sha256 else release.install


def wanted_argument(text: str) -> tuple[str, str]:
    """The argument for pip that installs NAME, NAME==VERSION, a path or an address, and a warning
    or nothing.

    Raises UsageError for anything else, for an unknown name, and for a release that cannot be
    installed here; a yanked one can, where its version is named.
    """
    if ADDRESSED.fullmatch(text):
        return text, ""
    if "://" in text:
        raise UsageError(f"'{shown(text)}' cannot be installed from: give an address that begins with https://.")
    if re.fullmatch(rf"(\.|\.\.|~){EXTRAS}", text) or "/" in text or "\\" in text or text.endswith(ARCHIVES):
        return _path_argument(text), ""
    named = NAMED.fullmatch(text)
    if named is None:
        raise UsageError(f"'{shown(text)}' is not the name of a plugin, a path or an https address.")
    index = known_plugins()
    plugin = index.named(named["name"])
    if plugin is None:
        near = did_you_mean(named["name"], [one.distribution for one in index.plugins])
        here = f" `zoo plugin install ./{text}` installs the folder of that name." if Path(text).is_dir() else ""
        raise UsageError(
            f"no plugin '{shown(text)}' is known.{near}{here} `zoo plugin search` lists the known ones; "
            "another is installed from its path or its https address."
        )
    release = _release_of(plugin, named["version"])
    warning = f"{plugin.distribution} {release.version} {release.obstacle}." if release.obstacle else ""
    origin = origin_of(release)
    if not origin.startswith("."):
        return pip_argument(plugin.distribution, origin, named["extra"]), warning
    if not (_is_source(SOURCE) and distribution_named(str(SOURCE / origin), [plugin.distribution])):
        raise UsageError(
            f"{plugin.distribution} is in zoo's source and on no package index. In the folder of zoo's source: "
            f"`zoo plugin install {origin}`"
        )
    return pip_argument(plugin.distribution, origin, named["extra"], str(SOURCE)), warning


def distribution_in(folder: Path) -> str | None:
    """The distribution whose source lies in a folder, by its pyproject.toml; None where that does
    not name it."""
    import tomllib

    try:
        name = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def distribution_named(text: str, known: Iterable[str]) -> str | None:
    """The one of the known distributions that a text names, or whose source lies in the folder that
    it names; None for neither."""
    names = {normalised(name): name for name in known}
    folder = distribution_in(user_path(text))
    return names.get(normalised(text)) or (names.get(normalised(folder)) if folder else None)


def _release_of(plugin: KnownPlugin, version: str | None) -> Release:
    """The release of a version, or the newest that can be installed here. Raises UsageError."""
    if version is None:
        if plugin.best is None:
            yanked = [
                one.version for one in plugin.releases if one.yanked is not None and one.version and not one.misfit
            ]
            way = f" A yanked one is installed when you name it: {plugin.distribution}=={yanked[0]}." if yanked else ""
            raise UsageError(f"no version of {plugin.distribution} can be installed. {plugin.obstacles}{way}")
        return plugin.best
    found = next((one for one in plugin.releases if one.version == version), None)
    if found is None:
        known = ", ".join(one.version for one in plugin.releases[:10])
        raise UsageError(f"{plugin.distribution} has no version {shown(version)}. Known: {known}.")
    if found.misfit:
        raise UsageError(f"{plugin.distribution} {version} {found.misfit}.")
    return found


def _path_argument(text: str) -> str:
    """The absolute path of a package's folder or archive, with the extras behind it."""
    place, extra = text, ""
    found = re.search(rf"{EXTRAS}$", text)
    if found and found[0] and not Path(text).exists():
        place, extra = text[: found.start()], found[0]
    path = Path(os.path.abspath(os.path.expanduser(place)))
    is_package = any((path / name).is_file() for name in ("pyproject.toml", "setup.py"))
    if not (is_package or (path.is_file() and path.name.endswith(ARCHIVES))):
        raise UsageError(
            f"{printable(str(path))} is neither a package's folder, with a pyproject.toml, nor one of {', '.join(ARCHIVES)}."
        )
    return f"{path}{extra}"


def _origin(distribution: str) -> str:
    """The place that a distribution is installed from; its name for one that no index knows."""
    if distribution == CORE:
        return CORE if ON_AN_INDEX else "."
    plugin = known_plugins().named(distribution)
    if plugin is None:
        return distribution
    release = plugin.best or plugin.releases[0]
    return distribution if ON_AN_INDEX and release.install.startswith(".") else origin_of(release)


def _is_source(folder: Path) -> bool:
    return (folder / "plugins").is_dir() and (folder / "pyproject.toml").is_file()
