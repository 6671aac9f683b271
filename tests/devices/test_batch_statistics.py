"""Batch norms whose statistics are those of all processes: their outputs, their statistics and their gradients.

tests/survive/test_together.py trains with several processes.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zoo_core.devices.batch_statistics import StatisticsOfAll
from zoo_core.devices.world import World


class Halves(World):
    """A process that sees the first images of a batch; the others' sums are added, as they would send them."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "others", [])

    def summed(self, tensor: Tensor) -> Tensor:
        return tensor + self.others.pop(0)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm2d(3), (4, 3, 5, 2)),
        (nn.BatchNorm1d(3, eps=0.1, momentum=0.3), (6, 3)),
        (nn.BatchNorm1d(3, affine=False), (2, 3, 7)),
        (nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 2, 2)),
    ],
)
def test_one_process_computes_as_torch_does(norm: nn.Module, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = 100 + 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    weights = torch.randn(shape, generator=generator, dtype=torch.float64)
    found = []
    for mode in (None, StatisticsOfAll(World(), shape[0], shape[0], counts=True)):
        torch.manual_seed(0)
        own = type(norm)(
            **{
                name: getattr(norm, name)
                for name in ("num_features", "eps", "momentum", "affine", "track_running_stats")
            }
        )
        own = own.double().train()
        given = images.clone().requires_grad_()
        if mode is None:
            outputs = own(given)
        else:
            with mode:
                outputs = own(given)
        (outputs * weights).sum().backward()
        found.append([outputs, given.grad, *[one.grad for one in own.parameters()], *own.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-9)


def test_in_evaluation_the_running_statistics_count() -> None:
    norm = nn.BatchNorm2d(2).eval()
    images = torch.randn(3, 2, 4, 4)
    with StatisticsOfAll(World(), 3, 3, counts=True):
        assert torch.equal(norm(images), norm(images))
        within = norm(images)
    assert torch.equal(within, norm(images))


def test_a_process_computes_with_the_images_of_the_others_and_not_with_borrowed_ones() -> None:
    batch = torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    whole = nn.BatchNorm2d(2)
    expected = whole(batch)
    mean_C = batch.mean((0, 2, 3))
    for own, counts in ((slice(0, 2), True), (slice(0, 1), False)):
        others = batch[2:] if counts else batch
        world, norm = Halves(), nn.BatchNorm2d(2)
        squares_C = (others - mean_C.view(1, 2, 1, 1)).square().sum((0, 2, 3))
        world.others.extend([others.sum((0, 2, 3)), squares_C])  # type: ignore[attr-defined]
        with StatisticsOfAll(world, 5, len(batch[own]), counts=counts):
            torch.testing.assert_close(norm(batch[own]), expected[own])
        torch.testing.assert_close(norm.running_var, whole.running_var)


def test_a_single_number_is_refused_as_torch_refuses_it() -> None:
    with StatisticsOfAll(World(), 1, 1, counts=True), pytest.raises(ValueError, match="Expected more than 1 value"):
        nn.BatchNorm2d(2).train()(torch.randn(1, 2, 1, 1))


def test_in_bfloat16_the_statistics_are_those_of_float32() -> None:
    images = (50 + torch.randn(64, 2, 8, 8, generator=torch.Generator().manual_seed(2))).bfloat16().requires_grad_()
    norm = nn.BatchNorm2d(2)
    with StatisticsOfAll(World(), 64, 64, counts=True):
        outputs = norm(images)
    outputs.float().square().sum().backward()
    assert (outputs.dtype, images.grad is not None and images.grad.dtype) == (torch.bfloat16, torch.bfloat16)
    torch.testing.assert_close(norm.running_mean, 0.1 * images.detach().float().mean((0, 2, 3)), rtol=1e-5, atol=1e-5)


def test_tokens_that_have_joined_the_batch_are_no_images() -> None:
    """As in LeViT, whose batch norms get (images * tokens, channels)."""
    tokens_BNC = 3 + torch.randn(4, 10, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole, norm = nn.BatchNorm1d(2).double(), nn.BatchNorm1d(2).double()
    with StatisticsOfAll(World(), 4, 4, counts=True):
        torch.testing.assert_close(norm(tokens_BNC.flatten(0, 1)), whole(tokens_BNC.flatten(0, 1)))
    torch.testing.assert_close(norm.running_var, whole.running_var)
