"""An evaluation says which of its images the run was trained on, and gives the figures on the others."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import zoo_core
from helpers import make_photos
from streaming.support import add
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo
from zoo_core.evaluation import Overlap
from zoo_core.runs.directory import IMAGES

TRAIN, VAL = 12, 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> tuple[Path, Path]:
    """A folder of photos, and a run that was trained on a part of them."""
    root = tmp_path_factory.mktemp("overlap")
    photos = make_photos(root / "photos", count=8)
    config = zoo_core.FinetuneConfig(
        backbone="lenet5", weights="none", data=str(photos), epochs=1, out=str(root / "run"), val_share=0.25
    )
    return photos, zoo_core.finetune(config, catalog=catalog).directory


def evaluated(run: Path, data: Any, catalog: Catalog) -> zoo_core.RunEvaluation:
    return zoo_core.evaluate_run(run, data=data, device="cpu", catalog=catalog)


def with_new(photos: Path, target: Path, *, new: int = 3) -> Path:
    """The photos under other names, and so many new ones in each class."""
    shutil.copytree(photos, target)
    for path in sorted(target.rglob("*.*")):
        path.rename(path.with_name(f"copy-{path.name}"))
    generator = np.random.default_rng(7)
    for folder in target.iterdir():
        for number in range(new):
            pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"new-{number}.png")
    return target


def test_images_that_trained_a_run_are_counted_by_content_and_left_out_of_a_second_figure(
    trained: tuple[Path, Path], catalog: Catalog, tmp_path: Path
) -> None:
    photos, run = trained
    measured = evaluated(run, with_new(photos, tmp_path / "more"), catalog)
    assert measured.evaluation.images == TRAIN + VAL + 6
    assert measured.overlap is not None
    assert (measured.overlap.train, measured.overlap.val) == (TRAIN, VAL)
    assert measured.overlap.others is not None
    assert measured.overlap.others.images == 6
    for folder in (tmp_path / "more").iterdir():
        for path in folder.glob("copy-*"):
            path.unlink()
    alone = evaluated(run, tmp_path / "more", catalog)
    assert alone.overlap == Overlap(0, 0, None)
    assert alone.evaluation.figures() == measured.overlap.others.figures()


def test_the_answer_leads_with_the_overlap_in_text_and_in_json(trained: tuple[Path, Path], tmp_path: Path) -> None:
    photos, run = trained
    more = with_new(photos, tmp_path / "more")
    text = CliRunner().invoke(zoo, ["evaluate", str(run), "--data", str(more)]).stdout
    assert " ".join(text.split()).startswith(
        "12 of 22 images are those this run was trained on, and 4 those that chose its best epoch. "
        "Accuracy on the other 6: "
    )
    answer = json.loads(CliRunner().invoke(zoo, ["evaluate", str(run), "--data", str(more), "--json"]).stdout)
    assert list(answer)[:3] == ["version", "run", "overlap"]
    assert (answer["overlap"]["train"], answer["overlap"]["val"]) == (TRAIN, VAL)
    assert answer["overlap"]["others"]["images"] == 6
    text = CliRunner().invoke(zoo, ["evaluate", str(run), "--data", str(photos)]).stdout
    assert " ".join(text.split()).startswith(
        "12 of 16 images are those this run was trained on, and 4 those that chose its best epoch: "
        "none is new to it, and the figures below say nothing of new images."
    )


def test_weights_of_a_backbone_are_refused_for_a_run(trained: tuple[Path, Path], catalog: Catalog) -> None:
    for run in (trained[1], "alice/pets"):
        with pytest.raises(zoo_core.UsageError, match="is a run and has weights of its own: leave out --weights"):
            zoo_core.load(run, weights="imagenet", catalog=catalog)


def test_the_own_held_out_part_is_measured_without_a_word(trained: tuple[Path, Path], catalog: Catalog) -> None:
    assert evaluated(trained[1], None, catalog).overlap == Overlap(0, 0, None)


def as_table(photos: Path, root: Path) -> str:
    shutil.copytree(photos, root / "photos")
    names = [f"photos/{path.parent.name}/{path.name},{path.parent.name}" for path in photos.rglob("*.*")]
    (root / "photos.csv").write_text("\n".join(["path,kind", *names]))
    return str(root / "photos.csv")


def as_shard(photos: Path, root: Path) -> str:
    classes = sorted(path.name for path in photos.iterdir())
    files = {}
    for path in photos.rglob("*.*"):
        name = f"{path.parent.name}{path.stem}"
        files[f"{name}{path.suffix}"] = path.read_bytes()
        files[f"{name}.cls"] = str(classes.index(path.parent.name)).encode()
    with tarfile.open(root / "photos-0.tar", "w") as tar:
        for name, content in files.items():
            add(tar, name, content)
    (root / "classes.txt").write_text("\n".join(classes))
    return f"wds:{root / 'photos-0.tar'}"


def as_pairs(photos: Path, root: Path) -> list[tuple[Path, str]]:
    return [(path, path.parent.name) for path in sorted(photos.rglob("*.*"))]


@pytest.mark.parametrize("form", [as_table, as_shard, as_pairs])
def test_the_form_of_the_data_does_not_matter(
    trained: tuple[Path, Path], catalog: Catalog, tmp_path: Path, form: Any
) -> None:
    photos, run = trained
    overlap = evaluated(run, form(photos, tmp_path), catalog).overlap
    assert overlap is not None
    assert (overlap.train, overlap.val) == (TRAIN, VAL)


def test_a_run_without_a_record_is_compared_with_its_own_data_or_says_that_it_cannot_be(
    trained: tuple[Path, Path], catalog: Catalog, tmp_path: Path
) -> None:
    photos, run = trained
    older = tmp_path / "older"
    shutil.copytree(run, older)
    (older / IMAGES).unlink()
    overlap = evaluated(older, photos, catalog).overlap
    assert overlap is not None
    assert (overlap.train, overlap.val) == (TRAIN, VAL)
    facts = json.loads((older / "config.json").read_text())
    facts["config"]["data"] = str(tmp_path / "gone")
    (older / "config.json").write_text(json.dumps(facts))
    assert evaluated(older, photos, catalog).overlap is None
    text = CliRunner().invoke(zoo, ["evaluate", str(older), "--data", str(photos)]).stdout
    assert "zoo cannot tell whether it was trained on some of these images" in " ".join(text.split())


def test_a_record_that_is_none_is_refused_by_name(trained: tuple[Path, Path], catalog: Catalog, tmp_path: Path) -> None:
    photos, run = trained
    forged = tmp_path / "forged"
    shutil.copytree(run, forged)
    shutil.copy(run / "model.safetensors", forged / IMAGES)
    with pytest.raises(zoo_core.ZooError, match=rf"{IMAGES} is no record of this run's images"):
        evaluated(forged, photos, catalog)
