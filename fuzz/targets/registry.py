"""The index of known plugins, which may come from anybody."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from fuzz.mutations import damaged_json
from fuzz.target import Case, expect, target
from zoo_core.errors import ZooError
from zoo_core.installing import install_command, origin_of, pip_argument
from zoo_core.registry import KnownPlugin, known_plugins, replace_index
from zoo_core.registry.index import user_index
from zoo_core.spec_checks import NAME_PATTERN

INDEX = {
    "version": 2,
    "date": "2026-11-26",
    "plugins": [
        {
            **{"distribution": "zoo-mini", "summary": "a small network", "licence": "MIT"},
            "links": {"source": "https://example.org/zoo-mini"},
            "versions": [
                {
                    **{"version": "1.0", "zoo": ">=0.1", "hook_api": ">=1,<3", "sha256": "0" * 64},
                    "install": "https://example.org/zoo_mini-1.0-py3-none-any.whl",
                    "backbones": [
                        {
                            **{"name": "mini", "family": "minis", "year": 2026, "params": 1000, "gmacs": 0.5},
                            **{"size": 32, "features": "map"},
                            "weights": [{"tag": "a", "licence": "MIT", "top1": 71.5, "imagenet": True}],
                        },
                        "plain",
                    ],
                    "verified": [{"zoo": "0.2", "date": "2026-11-26", "checks": 34, "failed": 0, "declared": 1}],
                },
                {"version": "0.9", "install": "zoo-mini==0.9", "heads": ["mini"], "yanked": "wrong weights"},
            ],
        }
    ],
}
FIRST_SHAPE = {
    "version": 1,
    "plugins": [
        {
            **{"distribution": "zoo-vgg", "summary": "VGG for zoo", "licence": "Apache-2.0", "links": {}},
            **{"backbones": ["vgg16"], "strategies": ["slow"], "folder": "plugins/zoo-vgg"},
        }
    ],
}


@target("index of known plugins", weight=4)
def known_index(folder: Path) -> Case:
    """An index is refused and leaves the old one, or nothing in it can steer a terminal or pip."""
    good = json.dumps(INDEX).encode()
    replace_index(good, "it")

    def check(content: bytes) -> None:
        user_index().write_bytes(good)
        try:
            index = replace_index(content, "it")
        except ZooError:
            expect(user_index().read_bytes() == good, "the old index is gone")
            raise
        for plugin in index.plugins:
            check_plugin(plugin)
        known_plugins()

    return Case((good, json.dumps(FIRST_SHAPE).encode()), check, damaged_json)


def check_plugin(plugin: KnownPlugin) -> None:
    """Every text is one printable line, every name a name, and pip gets one argument that is no option."""
    texts = [
        plugin.distribution,
        plugin.summary,
        plugin.licence,
        plugin.obstacles,
        *plugin.links,
        *plugin.links.values(),
    ]
    for release in plugin.releases:
        argument = pip_argument(plugin.distribution, origin_of(release))
        expect(argument.startswith((plugin.distribution, "./plugins/")), f"pip gets {argument!a:.80}")
        names = [name for own in release.names.values() for name in own]
        expect(all(NAME_PATTERN.fullmatch(name) is not None for name in names), "a name that is none")
        texts += [argument, release.version, release.yanked or "", *map(str, release.verified)]
        for row in release.backbones:
            texts += [row["family"], *(ref[key] for ref in row["weights"] for key in ("tag", "licence"))]
            expect(all(0 <= (ref["top1"] or 0) <= 100 for ref in row["weights"]), "a top-1 above 100")
    expect(all(text.isprintable() and len(text) < 2000 for text in texts), "a text that steers a terminal")
    expect(len(shlex.split(install_command(plugin.distribution))) == 3, "a command of more words")
