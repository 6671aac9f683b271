from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from zoo_core.builtin import FittedOptions
from zoo_core.model import solvers
from zoo_core.model.solvers import DECAYS, Solvable, best_decay, logreg, prototype, solve


def points(
    count: int = 60, width: int = 6, classes: int = 3, noise: float = 1.0, *, scales: tuple[int, int] = (-2, 3)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping clouds, in features of very different scales: powers of ten."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(count) % classes
    centres = torch.randn(classes, width, generator=generator)
    features = centres[targets] + noise * torch.randn(count, width, generator=generator)
    return features * torch.logspace(*scales, width) + 5, targets


def regularised(weight, bias, features, targets, decay: float) -> torch.Tensor:
    return functional.cross_entropy(features @ weight.T + bias, targets) + decay / 2 * weight.square().sum()


def standardised(features: torch.Tensor) -> torch.Tensor:
    std, mean = torch.std_mean(features.double(), dim=0, correction=0)
    return (features.double() - mean) / std


@pytest.mark.parametrize("decay", [1.0, 1e-3, 1e-6])
def test_solve_ends_where_no_direction_leads_down(decay: float) -> None:
    features, targets = points()
    features = standardised(features)
    weight, bias = (tensor.clone().requires_grad_() for tensor in solve(features, targets, 3, decay))
    regularised(weight, bias, features, targets, decay).backward()
    assert weight.grad.abs().max() < 1e-6
    assert bias.grad.abs().max() < 1e-6


def test_solve_is_at_least_as_good_as_a_linear_layer_trained_for_long() -> None:
    features, targets = points()
    features, decay = standardised(features), 1e-3
    weight = torch.zeros(3, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=0.05)
    for _ in range(2000):
        optimizer.zero_grad()
        regularised(weight, bias, features, targets, decay).backward()
        optimizer.step()
    trained = regularised(weight, bias, features, targets, decay).item()
    found = regularised(*solve(features, targets, 3, decay), features, targets, decay).item()
    assert found <= trained + 1e-12
    assert trained - found < 1e-4, "the long training should have come near the optimum"


def test_the_penalty_is_the_one_with_the_least_loss_on_what_was_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds written down here: leaving out one of two folds at a time."""
    features, targets = points(count=30, noise=2.0)
    features = standardised(features)
    monkeypatch.setattr(solvers, "FOLDS", 2)
    fold = solvers.stratified_folds(targets, 3, 7)
    losses = []
    for decay in DECAYS:
        total = 0.0
        for held in (fold == 0, fold == 1):
            weight, bias = solve(features[~held], targets[~held], 3, decay)
            outputs = features[held] @ weight.T + bias
            total += functional.cross_entropy(outputs, targets[held], reduction="sum").item()
        losses.append(total)
    assert best_decay(features, targets, 3, 7) == DECAYS[losses.index(min(losses))]
    assert 0 < losses.index(min(losses)) < len(DECAYS) - 1, "the optimum should lie inside the grid"


def test_folds_are_stratified_seeded_and_never_hold_out_the_only_image_of_a_class() -> None:
    targets = torch.tensor([0] * 10 + [1] * 5 + [2])
    fold = solvers.stratified_folds(targets, 3, 0)
    assert torch.bincount(fold[:10]).tolist() == [2] * 5
    assert torch.bincount(fold[10:15]).tolist() == [1] * 5
    assert fold[15] == -1
    assert torch.equal(fold, solvers.stratified_folds(targets, 3, 0))
    assert not torch.equal(fold, solvers.stratified_folds(targets, 3, 1))
    assert best_decay(torch.eye(2).double(), torch.tensor([0, 1]), 2, 0) == 1.0


def test_a_solved_head_is_a_plain_layer_with_centre_and_scale_folded_in() -> None:
    """The last feature never changes: its weight must be zero, and nothing may become infinite."""
    features, targets = points(scales=(-1, 1))
    features = torch.cat((features, torch.full((60, 1), 3.0)), dim=1)
    head = logreg(FittedOptions(), in_channels=7, num_outputs=3)
    assert isinstance(head, Solvable)
    reduced = head.reduce(features[:, :, None, None].expand(-1, -1, 2, 4))
    assert torch.allclose(reduced, features)
    head.fit(reduced, targets, 0)
    assert type(head.output) is torch.nn.Linear
    centred = features.double() - features.double().mean(0)
    inside = centred[:, :6] / centred.square().mean().sqrt()  # one scale for all features, the still one included
    decay = best_decay(torch.cat((inside, torch.zeros(60, 1)), 1), targets, 3, 0)
    weight, bias = solve(inside, targets, 3, decay)
    expected = (inside @ weight.T + bias).float()
    assert torch.allclose(head(features[:, :, None, None]), expected, atol=1e-3)
    assert torch.allclose(head.output.weight[:, 6], torch.zeros(3), atol=1e-6)


def test_two_fits_with_one_seed_are_equal_to_the_last_bit() -> None:
    features, targets = points(scales=(-1, 1))
    heads = [logreg(FittedOptions(), in_channels=6, num_outputs=3) for _ in range(2)]
    for head in heads:
        head.fit(features, targets, 3)
    assert torch.equal(heads[0].output.weight, heads[1].output.weight)


def test_a_prototype_is_the_mean_of_its_class_and_answers_with_the_nearest() -> None:
    """By hand: means (1, 1) and (4, 0); squared deviations 2 * 2 and 2 * 1 over 4 images of 2 features: variance 0.75."""
    features = torch.tensor([[0.0, 0.0], [2.0, 2.0], [3.0, 0.0], [5.0, 0.0]])
    head = prototype(FittedOptions(), in_channels=2, num_outputs=2)
    assert isinstance(head, Solvable)
    head.fit(head.reduce(features[:, :, None, None]), torch.tensor([0, 0, 1, 1]), 0)
    assert head.output.means.tolist() == [[1.0, 1.0], [4.0, 0.0]]
    assert head.output.precision.item() == pytest.approx(1 / 0.75)
    outputs = head(torch.tensor([[1.0, 0.0]])[:, :, None, None])
    assert outputs[0].tolist() == pytest.approx([-1 / 1.5, -9 / 1.5])
    outputs.sum().backward()
    assert head.output.means.grad.abs().sum() > 0, "where stages learn, the means learn on"
