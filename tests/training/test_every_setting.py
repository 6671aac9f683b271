"""A setting that somebody gave stands in the card of the run, in its config, and in what `--json` prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from helpers import make_photos, make_table
from zoo_core.cli.main import zoo as command
from zoo_core.runs.directory import read_facts
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of

SETTINGS = settings_of(FinetuneConfig)
OF_CLASSES = {
    "fit": ("pad", "fit pad"),
    "augment": ("crop+color", "augmentation crop+color"),
    "balance": ("weights", "Uneven classes: weights by the effective number"),
    "loss": ("focal:1", "Loss: focal, gamma 1"),
    "metric": ("macro-f1", "macro F1, the figure that counted"),
    "best-epoch": ("highest", "best-epoch highest"),
    "group-by": ("([0-9])[.]", "group-by ([0-9])[.]"),
    "train-share": ("0.9", "train-share 0.9"),
    "bad-images": ("skip", "bad-images skip"),
    "fix-list": ("suspects.csv", "fix-list suspects.csv"),
    "label-smoothing": ("0.1", "label-smoothing 0.1"),
    "mixup": ("0.4", "mixup 0.4"),
    "ema": ("0.9", "ema 0.9"),
    "l2-sp": ("0.01", "l2-sp 0.01"),
    "weight-decay": ("0.2", "weight-decay 0.2"),
    "warmup": ("0.3", "warmup 0.3"),
    "patience": ("1", "patience 1"),
    "optimizer": ("sgd", "Optimizer sgd"),
}
OF_LABELS = {"metric": ("micro-f1", "micro F1, the figure that counted"), "fold": ("1/3", "fold 1/3")}
OF_ALL_IMAGES = {"val-share": ("0", "val-share 0.0"), "cutmix": ("1", "cutmix 1.0")}


@pytest.mark.parametrize("given", [OF_CLASSES, OF_LABELS, OF_ALL_IMAGES], ids=["classes", "labels", "all images"])
def test_a_setting_that_was_given_stands_in_card_config_and_json(
    given: dict[str, tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the card told nothing of folds, averages, mixtures, smoothing and L2-SP."""
    monkeypatch.chdir(tmp_path)
    if given is OF_LABELS:
        data = make_table(tmp_path / "photos", "path,tags", lambda name, _: f"{name}|any", count=12)
    else:
        data = make_photos(tmp_path / "photos", count=9, size=24)
    (tmp_path / "suspects.csv").write_text("path,class,decision\nred/1.png,red,drop\n")
    words = [word for option, (value, _) in given.items() for word in (f"--{option}", value)]
    basic = ["finetune", "--backbone", "lenet5", "--data", str(data), "--strategy", "full", "--epochs", "2"]
    done = CliRunner().invoke(command, [*basic, *words, "--out", "run", "--json"])
    assert done.exit_code == 0, done.output
    card = (tmp_path / "run" / "README.md").read_text().replace("\\", "")
    stored, printed = read_facts(Path("run")).config, json.loads(done.stdout)["settings"]
    assert printed == stored.to_dict()
    of_option = {declared.option: name for name, declared in SETTINGS.items()}
    for option, (value, said) in given.items():
        assert said.lower() in card.lower(), option
        kept = str(getattr(stored, of_option[option]))
        assert kept.endswith(value) or float(kept) == float(value), option
    (line,) = [line for line in card.splitlines() if line.startswith("- Asked for: ")]
    told = {one.split()[0] for one in line.removeprefix("- Asked for: ").split(", ")}
    assert told <= given.keys(), "nobody asked for others"
