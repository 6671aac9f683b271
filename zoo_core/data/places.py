"""Places of data, fix lists and weights, as a run writes them down: absolute, so that any folder
will do later."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from zoo_core.errors import printable
from zoo_core.paths import user_path
from zoo_core.settings import FinetuneConfig

SHARDS = "wds:"
ADDRESS = re.compile(r"https?://")
PLACES = ("data", "fix_list", "weights", "from_run")
"""The settings that may name files."""
LONGEST = 40
"""The characters of a data set's title in the name of a folder."""


def absolute_place(place: str) -> str:
    """A path that exists, or a pattern of shards on this machine, as absolute; anything else as it
    is."""
    if place.startswith(SHARDS):
        pattern, *options = re.split(r"(?<=\.tar):", place.removeprefix(SHARDS), maxsplit=1)
        named = [re.sub(r"((?:^|,)(?:val|test|classes)=)([^,]+)", _absolute_option, text) for text in options]
        return SHARDS + ":".join([_absolute(pattern), *named])
    return _absolute(place) if user_path(place).exists() else place


def with_places(config: FinetuneConfig, tags: Iterable[str] = ()) -> FinetuneConfig:
    """The config with PLACES as absolute ones. Words that stand for something else stay, whatever
    files are here: of weights also their `tags`."""
    data, fix_list, weights, from_run = config.data, config.fix_list, config.weights, config.from_run
    return replace(
        config,
        data=absolute_place(data) if isinstance(data, str) else data,
        fix_list=fix_list if fix_list == "none" else absolute_place(fix_list),
        from_run=from_run if from_run == "none" else absolute_place(from_run),
        weights=weights if weights in {"none", "default", *tags} else absolute_place(weights),
    )


def may_change(config: FinetuneConfig) -> str:
    """The things that decide which images a run has, and that somebody may change later, in
    words."""
    if config.fix_list == "none":
        return "files or classes"
    return f"files, classes or the decisions in {printable(config.fix_list)}"


def short_title(title: str) -> str:
    """The title of a data set for a card: of a path the last part, such as "photos" for "." in
    there."""
    path = Path(os.path.expanduser(title))  # it may be no path at all
    return path.resolve().name or title if path.exists() or path.is_absolute() else title


def slug(title: str) -> str:
    """The short title of a data set in the name of a folder: letters, digits, "-", "_" and "."."""
    plain = "".join(one if one.isalnum() or one in "-_." else "-" for one in short_title(title))
    return re.sub("-+", "-", plain)[:LONGEST].strip("-.") or "data"


def _absolute_option(match: re.Match[str]) -> str:
    return match[1] + _absolute(match[2])


def _absolute(path: str) -> str:
    return path if ADDRESS.match(path) else str(user_path(path).absolute())
