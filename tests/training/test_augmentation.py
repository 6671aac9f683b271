"""A run's augmentation stands in its files, decides its cached views, and is resumed to the byte."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import zoo_core
from zoo_core import FinetuneConfig, NullCallback, UsageError, ZooError
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as command_line
from zoo_core.data.batches import Batches
from zoo_core.data.transforms import CENTRE, fresh_view
from zoo_core.runs.differences import differences
from zoo_core.runs.schema import Provided
from zoo_core.training.job import prepare


@pytest.fixture
def config(photos: Path, tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(
        backbone="lenet5",
        data=str(photos),
        strategy="last:1",
        epochs=2,
        batch_size=8,
        views=2,
        out=str(tmp_path / "run"),
    )


def test_the_chain_is_written_down_and_decides_the_cached_views(
    config: FinetuneConfig, catalog: Catalog, tmp_path: Path
) -> None:
    """Seen to fail: without the options in the keys, a turn by 90 degrees read the features of one by 10."""

    def computed(augment: Any, name: str) -> int:
        made = replace(config, augment=augment, out=str(tmp_path / name))
        return zoo_core.finetune(made, catalog=catalog).num_computed

    assert computed("flip + crop+rotate:degrees=10", "a") == 16 + 16 + 4
    facts = json.loads((tmp_path / "a" / "config.json").read_text())
    assert facts["config"]["augment"] == "crop+flip+rotate:10.0"
    assert [one["name"] for one in facts["augmentations"]] == ["rotate:10.0"]
    assert "augmentation crop+flip+rotate:10.0, seed 0" in (tmp_path / "a" / "README.md").read_text()
    assert computed("crop-flip+rotate:10", "b") == 0
    for number, other in enumerate(("crop+flip+rotate:90", "crop-flip", dots, dots)):
        assert computed(other, f"c{number}") == 16, other
    weights = {(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "c0", "c1", "c2")}
    assert len(weights) == 4, "the views are trained on"


def dots(image: Image.Image, chance: random.Random) -> Image.Image:
    image.paste(0, (0, 0, chance.randrange(1, 20), 4))
    return image


def lines(image: Image.Image, chance: random.Random) -> Image.Image:
    return image


class Stop(NullCallback):
    """Ends a training after its first epoch, as a crash would."""

    def on_epoch(self, report: Any) -> None:
        raise KeyboardInterrupt


def test_a_run_with_a_function_is_resumed_with_it_to_the_byte(
    config: FinetuneConfig, catalog: Catalog, tmp_path: Path
) -> None:
    config = replace(config, augment=dots)
    whole = zoo_core.finetune(config, catalog=catalog).directory / "model.safetensors"
    run = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        zoo_core.finetune(replace(config, out=str(run), save_every=0.0), catalog=catalog, callback=Stop())
    with pytest.raises(UsageError, match=r"a program handed over.*zoo_core.resume\(run, augment=...\)"):
        zoo_core.resume(run, catalog=catalog)
    with pytest.raises(ZooError, match="config.augment was 'function of a program: .*dots' and is '.*lines'"):
        zoo_core.resume(run, augment=lines, catalog=catalog)
    done = zoo_core.resume(run, augment=dots, catalog=catalog)
    assert (done.directory / "model.safetensors").read_bytes() == whole.read_bytes()


def test_another_version_of_a_plugins_operation_is_another_run(config: FinetuneConfig, catalog: Catalog) -> None:
    now = prepare(replace(config, augment="crop+rotate"), catalog).facts()
    rotate = replace(now.augmentations[0], distribution="zoo-mine", version="1")
    before = replace(now, augmentations=(rotate,))
    assert not differences(before, before)
    (line,) = differences(before, replace(now, augmentations=(Provided(**{**vars(rotate), "version": "2"}),)))
    assert line.startswith("augmentations was ")


def test_a_plan_names_the_augmentation_and_draws_images_as_they_will_be_seen(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    real = Batches.load_batch
    monkeypatch.setattr(Batches, "load_batch", lambda self, group: drawn.append(group) or real(self, group))
    picture = tmp_path / "seen.png"
    command = f"plan --backbone lenet5 --strategy full --epochs 3 --augment crop+flip+erase --data {photos}".split()
    answer = CliRunner().invoke(command_line, [*command, "--plot-images", str(picture)])
    assert answer.exit_code == 0, answer.exception
    (first, *others) = [group for group in drawn if len(group) == 4 and group[0][1] == CENTRE]
    assert first == [(0, CENTRE), *((0, fresh_view(0, epoch)) for epoch in range(3))]
    assert [group[0][0] for group in others] == [3, 6, 9, 12]
    assert "Training images vary by the augmentation crop+flip+erase." in answer.output
    assert f"Some images are drawn in {picture}, as the network will see them." in " ".join(answer.output.split())
    assert json.loads(CliRunner().invoke(command_line, [*command, "--json"]).stdout)["augment"] == "crop+flip+erase"
    without = CliRunner().invoke(command_line, ["plan", "--backbone", "lenet5", "--plot-images", str(picture)])
    assert "Add --data." in without.output
    wrong = CliRunner().invoke(command_line, [*command, "--augment", "colour"]).exception
    assert str(wrong) == "No augmentation 'colour'. Did you mean 'color'? `zoo list augmentations` shows all."
    _ = np.asarray(Image.open(picture))
