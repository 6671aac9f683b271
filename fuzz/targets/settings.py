"""Config files, and the one grammar of names with options."""

from __future__ import annotations

import json
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

from fuzz.mutations import damaged_json, damaged_text
from fuzz.target import Case, expect, fresh, target
from zoo_core.catalog import open_catalog
from zoo_core.errors import ZooError
from zoo_core.options import parse_options, split_name
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.settings.files import read_settings
from zoo_core.streaming.hubdata import HubOptions
from zoo_core.streaming.webdataset import TarOptions, expanded

SETTINGS: dict[str, Any] = {
    **{"backbone": "resnet18", "data": "photos", "epochs": 3, "lr": 0.01, "batch-size": 16, "size": 64, "seed": 1},
    **{"mixup": 0.2, "optimizer": "sgd", "gradient_checkpointing": True, "strategy": "last:2"},
}
OPTIONS = (
    *("mlp:hidden=512+128,dropout=0.3", "last:2", "gradual:every=2,decay=0.5", "cosine:pool=gem", "lp-ft:probe=0.3"),
    *("zoo-core:linear:pool=max", "layerwise:decay=0.7", "hf:a/b:config=x,label=a+b,disk_gb=1"),
    "wds:s-{000..010}.tar:val=x.tar,disk_gb=5",
)


def make_config(ending: str, folder: Path) -> Case:
    """Settings have the values that the file gives, and are equal when they are written and read again."""
    fields = {spelling: name for name, one in settings_of(FinetuneConfig).items() for spelling in one.spellings}

    def check(content: bytes) -> None:
        path = fresh(folder / f"settings.{ending}", content)
        config = FinetuneConfig.from_dict(read_settings(path))
        expect(
            FinetuneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config,
            "other settings when read again",
        )
        given = json.loads(content) if ending == "json" else tomllib.loads(path.read_text(encoding="utf-8"))
        given = given["config"] if "format" in given and isinstance(given.get("config"), dict) else given
        for spelling, value in given.items():
            read = getattr(config, fields[spelling])
            expect(read == value and isinstance(read, bool) == isinstance(value, bool), f"{spelling} was {value!a:.60}")

    if ending == "json":
        run = {"format": "zoo-run", "config": SETTINGS}
        return Case((json.dumps(SETTINGS).encode(), json.dumps(run).encode()), check, damaged_json)
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in SETTINGS.items())
    return Case((text.encode(),), check, damaged_text)


target("settings JSON", weight=6)(partial(make_config, "json"))
target("settings TOML", weight=6)(partial(make_config, "toml"))


@target("options", weight=4)
def options(folder: Path) -> Case:
    """A choice that was read and written is the same choice when it is read again."""
    catalog = open_catalog(with_plugins=False)

    def check(content: bytes) -> None:
        text, refused, readers = content.decode("utf-8", "replace"), [], 5
        for choose in (catalog.head, catalog.strategy):
            try:
                choice: Any = choose(text)
            except ZooError as error:
                refused.append(error)
                continue
            expect(choose(str(choice)).options == choice.options, f"other options when {choice!s} is read again")
        for kind in (TarOptions, HubOptions):
            try:
                parse_options("x", kind, split_name(text)[1])
            except ZooError as error:
                refused.append(error)
        try:
            expanded(text)
        except ZooError as error:
            refused.append(error)
        if len(refused) == readers:
            raise ZooError("\n".join(map(str, refused)))

    return Case(tuple(text.encode() for text in OPTIONS), check, damaged_text)
