"""The grid of a comparison: its cells, their names, and the errors for grids that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from helpers import make_photos
from zoo_core.choosing.folder import Folder, leave_note
from zoo_core.choosing.grid import make_grid, settings_asked, split_shares, split_values
from zoo_core.cli.main import zoo
from zoo_core.errors import UsageError, ZooError
from zoo_core.settings import FinetuneConfig


def test_options_of_a_head_stay_with_it() -> None:
    text = "linear, mlp:hidden=64,dropout=0.1,last:2,zoo-x:mlp:hidden=3,linear"
    assert split_values("weights", "default,none,pretrained") == ("pretrained", "none")
    assert split_values("head", text) == ("linear", "mlp:hidden=64,dropout=0.1", "last:2", "zoo-x:mlp:hidden=3")


def test_a_grid_has_a_cell_for_every_combination_those_of_one_repeat_together() -> None:
    grid = make_grid(
        {"backbone": "a", "epochs": 2, "seed": 5},
        {"head": ("linear", "mlp:hidden=8"), "weights": ("pretrained", "none")},
        seeds=2,
        folds=3,
        shares=(1.0, 0.2),
    )
    assert len(grid.cells) == 2 * 2 * 2 * 3 * 2
    assert len({cell.repeat for cell in grid.cells[:4]}) == 1
    assert len({grid.name(cell) for cell in grid.cells}) == len(grid.cells)
    first = grid.cells[0].config
    assert (first.seed, first.fold, first.train_share, first.weights, first.epochs) == (5, "1/3", 0.2, "default", 2)
    assert grid.name(grid.cells[-1]) == "mlp-hidden=8-none-seed-6-share-1-fold-3-of-3"
    assert grid.title(grid.cells[-1]) == "mlp:hidden=8, from scratch, seed 6, 100 % of the images, fold 3 of 3"


def test_a_folder_finds_a_cell_by_its_settings_and_takes_more_cells(tmp_path: Path) -> None:
    small = make_grid({"backbone": "a"}, {"head": ("x", "y")})
    folder = Folder(tmp_path / "c")
    with folder.held():
        folder.claim(small)
    assert folder.directory(small.cells[1]).name == "y"
    larger = make_grid({"backbone": "a", "device": "cpu"}, {"strategy": ("auto", "full"), "head": ("x", "y")})
    again = Folder(tmp_path / "c")
    with again.held():
        again.claim(larger)
    names = [again.directory(cell).name for cell in larger.cells]
    assert names == ["x", "y", "full-x", "full-y"]
    other = make_grid({"backbone": "a", "epochs": 3}, {"head": ("x", "y")})
    with again.held():
        again.claim(other)
    assert again.directory(other.cells[0]).name == "x-2"


def test_more_seeds_and_shares_keep_the_first_cells() -> None:
    one = make_grid({"backbone": "a"}, {"head": ("x", "y")})
    more = make_grid({"backbone": "a"}, {"head": ("x", "y")}, seeds=2, shares=(0.1, 1.0))
    first = [cell.config for cell in more.cells if (cell.seed, cell.share) == (0, 1.0)]
    assert [settings_asked(cell.config) for cell in one.cells] == list(map(settings_asked, first))


def test_a_folder_is_read_while_it_is_held_and_leftovers_are_none_of_its_cells(tmp_path: Path) -> None:
    (tmp_path / ".cells.json.12ab34cd.json").touch()
    grid = make_grid({"backbone": "a"}, {"head": ("x", "y")})
    first, second = Folder(tmp_path), Folder(tmp_path)
    with first.held():
        first.claim(grid)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.json"]
    with second.held():
        second.claim(make_grid({"backbone": "a"}, {"head": ("y", "z")}))
    assert list(second.cells) == ["x", "y", "z"]


@pytest.mark.parametrize(("damage", "trainable"), [("", 7), ("x", None)])
def test_a_note_that_another_process_left_is_taken_over(damage: str, trainable: int | None, tmp_path: Path) -> None:
    """Seen to fail: where a comparison was killed as a worker finished, its trainable parameters were never known, and
    its config named the directory as the worker did."""
    grid = make_grid({"backbone": "a"}, {"head": ("x", "y")})
    folder = Folder(tmp_path)
    with folder.held():
        folder.claim(grid)
    leave_note(folder.directory(grid.cells[0]), 7, ("poor",))
    with (tmp_path / ".x.note").open("a") as note:
        note.write(damage)
    config = tmp_path / "x" / "config.json"
    config.parent.mkdir()
    config.write_text('{"config": {"out": "/worker/x"}}')
    with folder.held():
        assert folder.trainable_parameters(grid.cells[0]) == trainable
    assert json.loads(config.read_text())["config"]["out"] == str(config.parent)
    assert {path.name for path in tmp_path.iterdir()} == {"cells.json", "x"}
    assert Folder(tmp_path).notes(grid.cells[0]) == (() if damage else ("poor",))


def test_leftovers_of_a_run_that_was_killed_at_its_end_are_removed(tmp_path: Path) -> None:
    """Seen to fail: the lock of its process stayed, and the run had a file more than others."""
    grid = make_grid({"backbone": "a"}, {"head": ("x", "y")})
    folder = Folder(tmp_path)
    with folder.held():
        folder.claim(grid)
    run = folder.directory(grid.cells[0])
    (run / "checkpoints").mkdir(parents=True)
    for name in (".lock", "model.safetensors"):
        (run / name).touch()
    assert folder.is_finished(grid.cells[0])
    assert [path.name for path in run.iterdir()] == ["model.safetensors"]


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ZooError, match="Start it without torchrun"):
        zoo.main(["compare", "--backbone", "lenet5,vgg11"], standalone_mode=False)


def test_equal_cells_are_equal_wherever_the_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    here = settings_asked(FinetuneConfig(backbone="a", data="photos", workers=2))
    assert here == settings_asked(FinetuneConfig(backbone="a", data=str(tmp_path / "photos")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--backbone lenet5", "one training compares nothing. Give several values to --backbone"),
        ("--backbone lenet5,lenet6", "No backbone 'lenet6'. Did you mean 'lenet5'?"),
        ("--backbone lenet5 --head linear,linaer", "No head 'linaer'. Did you mean 'linear'?"),
        ("--backbone lenet5 --seeds 2 --augment crop+colour", "No augmentation 'colour'. Did you mean 'color'?"),
        ("--backbone lenet5 --seeds 2 --metric acuracy", "No metric 'acuracy'. Did you mean 'accuracy'?"),
        ("--backbone lenet5 --strategy full,ful", "No strategy 'ful'. Did you mean 'full'?"),
        (
            "--backbone lenet5 --head ,",
            "--head has an empty value in ','. Separate values by one comma. `zoo list heads`",
        ),
        ("--backbone lenet5,,vgg11", "--backbone has an empty value"),
        ("--head linear,mlp", "Missing option '--backbone'. `zoo list` shows all backbones."),
        ("--backbone lenet5 --fractions 0.1,2", "above 0 and at most 1, such as 0.05,0.2,1; got '2'"),
        ("--backbone lenet5 --fractions 0.1,x", "got 'x'"),
        ("--backbone lenet5 --seeds 1000000000", "1,000,000,000 trainings, and zoo compares at most 10,000"),
        ("--backbone lenet5,vgg11 --folds 1000000000", "2,000,000,000 trainings"),
        ("--backbone lenet5 --folds 1", "Invalid value for '--folds'"),
        ("--backbone lenet5 --seeds 2 --seed 4294967295", "leads beyond 4294967295, the largest seed"),
        (
            "--backbone lenet5 --folds 3 --epochs 0",
            "Invalid value for '--epochs': must be a whole number of at least 1",
        ),
        ("--backbone lenet5 --folds 3 --data nowhere", "There is no folder and no data set 'nowhere'"),
        ("--backbone lenet5 --folds 5 --data two", "2 different images are too few for 5 folds. Give it more images."),
        ("--backbone lenet5 --folds 2000", "1500 different images are too few for 2000 folds. --folds 10 goes."),
        ("--backbone lenet5 --seeds 2 --out .", "exists and is no comparison or advice. Give another --out"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_with_a_next_step(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    make_photos(tmp_path / "two", count=1)
    result = CliRunner().invoke(zoo, ["compare", *arguments.split()])
    assert result.exit_code != 0
    told = str(result.exception) if isinstance(result.exception, ZooError) else " ".join(result.output.split())
    assert message in told
    assert "training was finished" not in told, "it is refused before the first training"
    assert not list(tmp_path.glob("runs/*/*/config.json"))


def test_shares_are_numbers() -> None:
    assert split_shares("0.05, 1,.2") == (0.05, 1.0, 0.2)
    with pytest.raises(UsageError):
        split_shares("")


def test_the_answers_of_other_choices_are_kept_under_another_name(tmp_path: Path) -> None:
    """A second grid on the same images does not replace the answers of the first."""
    folder = Folder(tmp_path / "c")
    first = make_grid({"backbone": "a"}, {"head": ("x", "y")})
    answers = {"seeds": [0], "fractions": [1.0], "folds": None}
    rows = [{"backbone": "a", "strategy": "auto", "head": head, "weights": "default"} for head in ("x", "y")]
    with folder.held():
        (folder.root / "compare.json").write_text(json.dumps({**answers, "results": rows}))
        (folder.root / "compare.png").touch()
        assert folder.set_aside(first) is None
        assert folder.set_aside(make_grid({"backbone": "a"}, {"head": ("x", "y", "z")}, seeds=2)) is None, (
            "it has grown"
        )
        aside = folder.set_aside(make_grid({"backbone": "a"}, {"head": ("x", "z")}))
        assert aside is not None
        assert aside.is_file()
        assert aside.with_suffix(".png").is_file()
        assert not (folder.root / "compare.json").exists()
