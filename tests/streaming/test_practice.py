"""Data sets of the Hub by short names, with a word on size and licence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from datasets import ClassLabel, Image

from hubserver import TestHub
from streaming.support import Photo, parquet
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as command
from zoo_core.data.findings import findings
from zoo_core.discovery import PluginRecord
from zoo_core.errors import UsageError
from zoo_core.specs import DatasetSpec
from zoo_core.streaming.practice import PRACTICE, practice_set
from zoo_core.training.opening import open_dataset


def test_a_short_name_opens_the_set_of_the_hub_with_its_columns_and_says_its_licence(
    hub: TestHub, photos: list[Photo], catalog: Catalog
) -> None:
    images = [{"bytes": content, "path": None} for content, _ in photos]
    fine, coarse = ClassLabel(names=["ant", "bee"]), ClassLabel(names=["insect", "other"])
    columns = {"img": images, "fine_label": [index % 2 for index in range(len(images))], "coarse_label": [0, 1] * 10}
    content = parquet(columns, {"img": Image(), "fine_label": fine, "coarse_label": coarse})
    hub.add_repo("datasets/uoft-cs/cifar100", {"data/train-00000-of-00001.parquet": content})
    source = open_dataset("cifar100", catalog)
    assert (source.title, source.classes) == ("hf:uoft-cs/cifar100", ("ant", "bee"))
    note = findings(source)[0]
    assert note.startswith(
        "Data: hf:uoft-cs/cifar100:image=img,label=fine_label has 50,000 train and 10,000 test images"
    )
    assert "its licence is unknown (sizes and licence as its page states them, not checked)" in note
    assert open_dataset("cifar100:label=coarse_label", catalog).classes == ("insect", "other")


def test_a_plugin_that_has_a_set_of_such_a_name_keeps_it(catalog: Catalog) -> None:
    (bundled,) = (entry.spec for entry in catalog.entries(DatasetSpec) if entry.spec.name == "fashion-small")
    spec = replace(bundled, name="mnist")
    plugged = Catalog((*catalog.records, PluginRecord("zoo-own", "1", "own", (spec,))))
    assert open_dataset("mnist", plugged).title == open_dataset("fashion-small", catalog).title


def test_names_and_options_become_the_address() -> None:
    assert len({one.name for one in PRACTICE}) == len({one.address for one in PRACTICE}) == 8
    found = practice_set("beans:streaming=yes,disk_gb=5")
    assert found is not None
    assert found[1] == "hf:AI-Lab-Makerere/beans:streaming=yes,disk_gb=5,label=labels"
    assert practice_set("photos") is None


def test_the_list_has_them_with_the_command(catalog: Catalog) -> None:
    text = " ".join(CliRunner().invoke(command, ["list", "datasets"], terminal_width=200).output.split())
    assert "MIT (not checked)" in text
    assert "`zoo finetune --backbone BACKBONE --data NAME`" in text
    answer = CliRunner().invoke(command, ["list", "datasets", "--json"])
    rows = {row["name"]: row for row in json.loads(answer.stdout)["datasets"]}
    assert (rows["mnist"]["images"], rows["mnist"]["source"]) == (70_000, "hf:ylecun/mnist")
    assert rows["resisc45"]["images"] is None
    assert rows["fashion-small"]["source"] == "installed"
    with pytest.raises(UsageError, match="There is no folder and no data set 'minst'.* mnist"):
        open_dataset("minst", catalog)
