"""The focal loss against torchvision's, against its formula in numpy, and as a setting that is refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError
from zoo_core.tasks.losses import chosen_loss_in_words, focal_gamma, focal_of_labels
from zoo_core.tasks.objective import check_loss, check_task, objective_for

OUTPUTS = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 4.0, 0.0], [0.1, 0.2, -0.3], [30.0, -30.0, 0.0]])


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_the_loss_of_labels_is_that_of_torchvision(gamma: float) -> None:
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    expected = sigmoid_focal_loss(OUTPUTS, targets, alpha=-1, gamma=gamma, reduction="mean")
    objective = objective_for("multilabel", nn.Identity())
    torch.testing.assert_close(objective.loss(OUTPUTS, targets, gamma=gamma), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_loss_of_classes_is_its_formula(gamma: float) -> None:
    targets, objective = torch.tensor([0, 1, 2, 1]), objective_for("classification", nn.Identity())
    outputs_BK = OUTPUTS.double().numpy()
    shares_BK = np.exp(outputs_BK) / np.exp(outputs_BK).sum(1, keepdims=True)
    own_B = shares_BK[np.arange(4), targets.numpy()]
    expected_B = -((1 - own_B) ** gamma) * np.log(own_B)
    assert objective.loss(OUTPUTS, targets, gamma=gamma).item() == pytest.approx(expected_B.mean(), rel=1e-5)
    weights = torch.tensor([0.5, 1.5, 2.0])
    weighted = (expected_B * weights.numpy()[targets.numpy()]).mean()
    found = objective.loss(OUTPUTS, targets, class_weights=weights, gamma=gamma).item()
    assert found == pytest.approx(weighted, rel=1e-5), "the class-balanced focal loss of Cui et al. 2019"
    shares = functional.one_hot(targets, 3).float()
    blended = objective.loss(OUTPUTS, 0.3 * shares + 0.7 * shares.roll(1, 0), gamma=gamma)
    parts = [objective.loss(OUTPUTS, one, gamma=gamma) for one in (targets, targets.roll(1))]
    torch.testing.assert_close(blended, 0.3 * parts[0] + 0.7 * parts[1])


def test_a_gamma_near_nothing_is_cross_entropy_with_smoothed_labels_too() -> None:
    targets, objective = torch.tensor([0, 1, 2, 1]), objective_for("classification", nn.Identity())
    for smoothing in (0.0, 0.1):
        expected = functional.cross_entropy(OUTPUTS, targets, label_smoothing=smoothing)
        found = objective.loss(OUTPUTS, targets, label_smoothing=smoothing, gamma=1e-7)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients_are_finite_where_an_answer_is_certain(gamma: float) -> None:
    """Seen to fail: the power 0.5 of a probability that is rounded to nothing has an endless slope."""
    outputs = torch.tensor([[200.0, -200.0]], requires_grad=True)
    objective_for("classification", nn.Identity()).loss(outputs, torch.tensor([0]), gamma=gamma).backward()
    focal_of_labels(outputs, torch.tensor([[1.0, 0.0]]), gamma).sum().backward()
    assert outputs.grad is not None
    assert bool(outputs.grad.isfinite().all())


def test_the_setting_is_read_and_a_wrong_one_refused() -> None:
    texts = ("cross-entropy", "focal", "focal:3", "focal:gamma=0.5")
    assert [focal_gamma(text) for text in texts] == [0.0, 2.0, 3.0, 0.5]
    assert chosen_loss_in_words("cross-entropy") is chosen_loss_in_words("focal:0") is None
    assert chosen_loss_in_words("focal") == (
        "focal, gamma 2: an image whose class has a probability of 90 % counts 0.01 times as much as in cross-entropy"
    )
    for text, message in (
        ("fokal", "there is no loss 'fokal'. Did you mean 'focal'?"),
        ("focal:-1", "gamma must be a number from 0 to 20, got -1"),
        ("focal:nan", "gamma must be a number from 0 to 20, got nan"),
        ("focal:alpha=1", "has no option 'alpha'"),
        ("cross-entropy:2", "has no options"),
    ):
        with pytest.raises(UsageError) as caught:
            focal_gamma(text)
        assert message in str(caught.value)


def test_numbers_and_heads_with_a_loss_of_their_own_have_no_focal_loss(catalog: Catalog) -> None:
    class WithLoss(nn.Linear):
        def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return outputs.sum()

    with pytest.raises(UsageError, match="--loss is for classes and labels, and these data have numbers"):
        check_task("regression", catalog.head("linear"), catalog, label_smoothing=0, gamma=2.0)
    with pytest.raises(UsageError, match="a loss of its own: leave out --loss"):
        check_loss(WithLoss(2, 2), label_smoothing=0, gamma=2.0)
    check_loss(nn.Linear(2, 2), label_smoothing=0, gamma=2.0)
