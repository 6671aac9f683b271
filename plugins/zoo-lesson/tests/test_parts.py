"""The parts of the lesson: intervals, the residual network, the square that moves a cell, words on differences."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from zoo_lesson import intervals
from zoo_lesson.chapters import CHAPTERS, amount, cost
from zoo_lesson.chapters.feature_maps import by_chance
from zoo_lesson.chapters.receptive_field import EVEN, _side
from zoo_lesson.chapters.strategies import compared
from zoo_lesson.model import Block, cifar_resnet
from zoo_lesson.plugin import ResidualOptions


def test_the_interval_of_a_mean_holds_it_in_95_of_100_draws() -> None:
    chance = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        low, high = intervals.of_mean(chance.normal(3.0, 1.0, 60))
        inside += low <= 3.0 <= high
    assert 0.9 <= inside / 300 <= 0.98


def test_the_interval_of_a_ratio_takes_pairs_together() -> None:
    below = np.random.default_rng(0).uniform(1, 9, 40)
    low, high = intervals.of_ratio(2 * below, below)
    assert low == pytest.approx(2.0)
    assert high == pytest.approx(2.0)


def test_a_residual_network_has_the_layers_and_the_parameters_of_the_plain_one() -> None:
    residual, plain = (cifar_resnet(ResidualOptions(20, shortcut)) for shortcut in (True, False))
    layers = [one for one in residual.modules() if isinstance(one, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == 20
    counts = [sum(one.numel() for one in network.parameters()) for network in (residual, plain)]
    assert counts[0] == counts[1] == 269_722, "0.27 M in the paper"
    assert residual(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(("shortcut", "left"), [(True, 1.0), (False, 0.0)])
def test_a_block_that_learned_nothing_passes_its_input_on_only_by_a_shortcut(shortcut: bool, left: float) -> None:
    block = Block(16, 32, shortcut=shortcut).eval()
    torch.nn.init.zeros_(block.bn2.weight)
    features = torch.rand(2, 16, 8, 8)
    output = block(features)
    assert output.shape == (2, 32, 4, 4)
    assert torch.equal(output[:, :16], left * features[:, :, ::2, ::2])
    assert not output[:, 16:].any()


def test_a_depth_that_no_such_network_has_is_refused() -> None:
    with pytest.raises(ValueError, match="6n \\+ 2"):
        ResidualOptions(depth=10)


def test_the_square_that_moves_a_cell_is_the_even_one_where_all_pixels_count_alike() -> None:
    moved = np.zeros((201, 201))
    moved[50:151, 50:151] = 1.0
    assert _side(moved, (100, 100)) == pytest.approx(EVEN * 101, abs=2)
    moved[:] = 0.0
    moved[100, 100] = 1.0
    assert _side(moved, (100, 100)) == 1.0


def test_two_photos_of_one_class_by_chance() -> None:
    assert by_chance(np.array([0, 0, 1, 1])) == pytest.approx(1 / 3)
    assert by_chance(np.array([0, 1, 2])) == 0.0


def test_a_difference_that_may_be_chance_is_called_none() -> None:
    names = {"first": {"strategy": "full"}, "second": {"strategy": "head-only"}, "difference": 0.02}
    unsure = compared({**names, "interval": [-0.01, 0.05], "differ": False})
    assert not unsure[0]
    assert "no sure difference" in unsure[1]
    sure = compared({**names, "interval": [0.01, 0.05], "differ": True})
    assert sure == (True, "Training everything beats training the head alone by +2.0 points (+1.0 to +5.0).")


def test_every_chapter_asks_a_question_with_choices_and_explains() -> None:
    assert len(CHAPTERS) == 10
    assert len({chapter.name for chapter in CHAPTERS}) == 10
    for chapter in CHAPTERS:
        assert chapter.question.endswith("?")
        assert len(set(chapter.choices)) == len(chapter.choices) == 3
        assert chapter.explanation


def test_so_many_errors_go_away_as_the_photos_say(tmp_path: Path) -> None:
    """Seen to fail: of four errors one was left, "75 % fewer", and a verdict without an interval."""
    for number, answers in enumerate(("bbaa", "abaa")):
        run = tmp_path / f"lenet5-seed-{number}-share-0.25"
        run.mkdir()
        rows = "".join(f"{place}.jpg,a,{answer},00\n" for place, answer in enumerate(answers))
        (run / "answers.csv").write_text(f"image,class,answer,digest\n{rows}")
    assert amount.wrong(tmp_path, 0.25).tolist() == [0.5, 1.0, 0.0, 0.0]
    few, one = np.zeros(40), np.zeros(40)
    few[:4], one[0] = 1, 1
    gone, (low, high) = amount.lost(few, one)
    assert gone == pytest.approx(0.75, abs=1e-3)
    assert low < 0.5 < high
    assert amount.choice_of((low, high)) is None
    many, half = np.tile([1.0, 1.0, 0.0], 300), np.tile([1.0, 0.0, 0.0], 300)
    assert amount.lost(many, half)[0] == pytest.approx(0.5, abs=1e-3)
    assert amount.choice_of((0.3, 0.49)) == 1
    assert amount.lost(np.zeros(9), np.zeros(9)) == (0.0, (0.0, 0.0))


def test_no_heading_of_the_costs_reaches_into_another() -> None:
    """Seen to fail: "multiply-accumulateshere, milliseconds"."""
    costs = [cost.Cost("efficientnet_lite0", 10**7, 0.4, (9.0, 11.0)), cost.Cost("vgg16", 10**8, 15.5, (90.0, 99.0))]
    figure = cost._draw(costs)
    FigureCanvasAgg(figure).draw()
    boxes = [axes._left_title.get_window_extent() for axes in figure.axes]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    assert boxes[-1].x1 <= figure.bbox.x1
