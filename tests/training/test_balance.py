"""Uneven classes: weights by the effective number of images, in the loss or in the order of an epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import zoo_core
from helpers import make_photos, make_table
from zoo_core.catalog import Catalog
from zoo_core.data.batches import training_groups
from zoo_core.data.windows import Windows
from zoo_core.errors import UsageError
from zoo_core.runs.directory import read_facts
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks.objective import objective_for
from zoo_core.training.balance import check_balance, class_weights
from zoo_core.training.job import prepare


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = make_photos(tmp_path_factory.mktemp("uneven") / "photos", count=15)
    for number in range(5, 15):
        next((photos / "red").glob(f"{number}.*")).unlink()
    return photos


def test_weights_are_the_inverse_of_the_effective_number() -> None:
    weights_K = class_weights(np.repeat([0, 1], [3000, 60]), 3)
    effective = [sum(0.999**image for image in range(count)) for count in (3000, 60)]  # the geometric sum
    assert weights_K[1] / weights_K[0] == pytest.approx(effective[0] / effective[1])
    assert (3000 * weights_K[0] + 60 * weights_K[1]) / 3060 == pytest.approx(1), "the learning rate keeps its meaning"
    assert weights_K[2] == 0


def test_a_weighted_loss_is_the_same_in_parts_and_for_shares_of_classes() -> None:
    torch.manual_seed(0)
    outputs, targets, weights = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 0, 1]), torch.tensor([0.5, 1.5, 2.0])
    objective = objective_for("classification", nn.Identity())
    by_hand = torch.stack([-weights[t] * o.log_softmax(0)[t] for o, t in zip(outputs, targets, strict=True)]).mean()
    whole = objective.loss(outputs, targets, class_weights=weights)
    halves = [objective.loss(outputs[own], targets[own], class_weights=weights) for own in (slice(2), slice(2, 6))]
    torch.testing.assert_close(whole, by_hand)
    torch.testing.assert_close((2 * halves[0] + 4 * halves[1]) / 6, by_hand)
    shares = functional.one_hot(targets, 3).float()
    torch.testing.assert_close(objective.loss(outputs, shares, class_weights=weights), by_hand)


def test_an_epoch_draws_rare_classes_as_often_as_frequent_ones_by_seed_and_epoch_alone() -> None:
    targets_N = np.repeat([0, 1], [950, 50])
    chances = class_weights(targets_N, 2)[targets_N] / 1000
    orders = [
        np.concatenate(training_groups(1000, 32, seed=seed, epoch=epoch, chances=chances))
        for seed, epoch in ((0, 0), (0, 0), (0, 1))
    ]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    expected = 50 * chances[-1]
    assert targets_N[orders[0]].mean() == pytest.approx(expected, abs=0.05)
    assert 0.35 < expected <= 0.5
    shards = Windows(np.arange(1000) // 100, np.ones(10, np.int64), 3)
    drawn = np.concatenate(training_groups(1000, 32, seed=0, epoch=0, chances=chances, windows=shards))
    assert sorted(drawn) == sorted(orders[0]), "the same images, shard by shard"
    assert (np.diff(drawn // 100) != 0).sum() < 900


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_a_balanced_run_is_another_run_and_says_so(
    uneven: Path, tmp_path: Path, catalog: Catalog, balance: str
) -> None:
    config = FinetuneConfig(
        backbone="lenet5", data=str(uneven), epochs=1, strategy="head-only", lr=0.05, val_share=0.3, balance=balance
    )
    result = zoo_core.finetune(replace(config, out=str(tmp_path / "run")))
    plain = zoo_core.finetune(replace(config, balance="none", out=str(tmp_path / "plain")))
    assert result.trained.epochs[0].train_loss != plain.trained.epochs[0].train_loss
    assert result.num_computed == 0 or plain.num_computed == 0, "cached features serve both"
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"Uneven classes: {balance} by the effective number of images: an image of red" in card
    assert "Uneven classes" not in (tmp_path / "plain" / "README.md").read_text()
    job = prepare(config, catalog)
    assert job.facts().balance is not None


def test_the_focal_loss_stands_in_config_card_and_screen_and_no_solved_head_takes_it(
    uneven: Path, tmp_path: Path, catalog: Catalog
) -> None:
    config = FinetuneConfig(
        backbone="lenet5", data=str(uneven), epochs=1, strategy="head-only", lr=0.05, balance="weights", loss="focal:3"
    )
    result = zoo_core.finetune(replace(config, out=str(tmp_path / "run")))
    plain = zoo_core.finetune(replace(config, loss="cross-entropy", out=str(tmp_path / "plain")))
    assert result.trained.epochs[0].train_loss < plain.trained.epochs[0].train_loss
    assert read_facts(tmp_path / "run").config.loss == "focal:3"
    words = "focal, gamma 3: an image whose class has a probability of 90 % counts 0.001 times as much"
    assert f"- Loss: {words}" in (tmp_path / "run" / "README.md").read_text()
    assert "- Loss:" not in (tmp_path / "plain" / "README.md").read_text()
    assert (prepare(config, catalog).loss or "").startswith(words)
    with pytest.raises(UsageError, match="the head is solved, .* leave out --loss"):
        prepare(replace(config, head="logreg", balance="none"), catalog)
    with pytest.raises(UsageError, match="there is no loss 'fokal'. Did you mean 'focal'"):
        prepare(replace(config, loss="fokal"), catalog)


def test_labels_solved_heads_and_losses_of_heads_are_refused_in_words(
    uneven: Path, tmp_path: Path, catalog: Catalog
) -> None:
    table = make_table(tmp_path / "photos", "path,tags", lambda kind, number: f"{kind}|any", count=4)
    with pytest.raises(UsageError, match="--balance is for images with one class each, and these have labels"):
        prepare(FinetuneConfig(backbone="lenet5", data=str(table), balance="weights"), catalog)
    with pytest.raises(UsageError, match="the head is solved, .* leave out --balance"):
        prepare(FinetuneConfig(backbone="lenet5", data=str(uneven), head="logreg", balance="weights"), catalog)
    task = objective_for("classification", nn.Identity()).task
    with pytest.raises(UsageError, match="--balance sampling goes with it"):
        check_balance("weights", task, has_own_loss=True)
    check_balance("sampling", task, has_own_loss=True)
