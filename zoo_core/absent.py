"""The reasons why a name of a spec chooses nothing, or too much, each with a way to one that does."""

from __future__ import annotations

from collections.abc import Sequence

from zoo_core.discovery import DISABLED, DISABLING, PluginRecord, normalised
from zoo_core.errors import did_you_mean, printable, shown
from zoo_core.installed import installed_plugins
from zoo_core.installing import install_hint
from zoo_core.registry import known_plugins

NOT_OPENED = (
    "which is installed and not in this catalog. Run the command without --no-plugins, or open a new catalog in Python: "
    "zoo_core.open_catalog()."
)
MOST_NAMED = 5  # specs of a plugin
Records = Sequence[PluginRecord]
Names = Sequence[tuple[str, Sequence[str]]]
"""The distribution of each spec of a kind, and the names by which it can be chosen."""


def unknown(records: Records, words: tuple[str, str], name: str, entries: Names) -> str:
    """The error for a name that no plugin here has; `words` are those of its kind, for one and for
    several."""
    word, plural = words
    known = known_plugins().providing(plural, name)
    if known:
        plugin, release = known
        way = f"To install it: {install_hint(plugin.distribution)}"
        if release.obstacle:
            way = f"{release.version} of it, which has that, {release.obstacle}."
        elif release is not plugin.best:
            way = f"To install the version with it: `zoo plugin install {plugin.distribution}=={release.version}`"
        why = absence(records, plugin.distribution, way)
        return f"The {word} '{shown(name)}' is provided by {plugin.distribution}, {why}"
    near = did_you_mean(name[:80], [names[0] for _, names in entries])
    return f"No {word} '{shown(name)}'.{near} `zoo list {plural}` shows all."


def lacking(records: Records, words: tuple[str, str], distribution: str, name: str, entries: Names) -> str:
    """The error for a name that a distribution has not, or for a distribution without a name;
    `entries` are those of all."""
    word, plural = words
    own = [names[0] for owner, names in entries if owner == distribution]
    if not own:
        why = absence(records, distribution, f"`zoo list {plural}` shows those of others.")
        return f"The {word} '{shown(name)}' would be one of {printable(distribution)}, {why}"
    some = ", ".join(f"'{distribution}:{one}'" for one in own[:MOST_NAMED])
    if not name:
        return f"'{printable(distribution)}' is a plugin. Choose one of its {plural}: {printable(some)}."
    others = [owner for owner, names in entries if name in names]
    known = f" '{others[0]}:{shown(name)}' is one." if others else did_you_mean(name[:80], own)
    return f"{printable(distribution)} has no {word} '{shown(name)}'.{known} Some of its own: {printable(some)}."


def absence(records: Records, distribution: str, way: str) -> str:
    """The reason why these records have not the specs of a plugin, and the `way` to them."""
    name = normalised(distribution)
    here = [one for one in records if normalised(one.distribution) == name]
    if not here:
        if any(normalised(one.distribution) == name for one in installed_plugins()):
            return NOT_OPENED
        return f"which is not installed. `zoo plugins` lists the installed ones. {way}"
    record = next((one for one in here if one.failure or one.left_out), here[0])  # of several entry points
    if record.failure == DISABLED:
        return f"which is disabled. Take its name out of {DISABLING}."
    if record.failure:
        return f"which was skipped: {record.failure}. `zoo plugin check {distribution}` shows more."
    if record.left_out:
        return f"of which some specs cannot be used: {record.left_out[0]}."
    return f"and the installed version {printable(record.version)} lacks it. {way}"


def clash(words: tuple[str, str], name: str, owners: Sequence[str]) -> str:
    """The error for a name that several plugins have."""
    return (
        f"The {words[0]} '{name}' is provided by {' and by '.join(owners)}. "
        f"Choose one: '{owners[0]}:{name}' or '{owners[1]}:{name}'."
    )
