"""Sums of a frozen prefix that take the memory of a term: the same numbers, and no other tensor is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, fx, nn

from tests.frozen.test_onednn import operators_of
from zoo_core.attribution import mark_owner, plugin_error
from zoo_core.devices.precision import autocast
from zoo_core.frozen import split
from zoo_core.frozen.split import folded


class Block(nn.Module):
    """Two convolutions with norms, whose outputs a function joins with the inputs."""

    def __init__(self, join: Callable[[Tensor, Tensor, Tensor], Tensor], channels: int = 4, kernel: int = 1) -> None:
        super().__init__()
        self.join = join
        made = (nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(2))
        self.first, self.second = (nn.Sequential(one, nn.BatchNorm2d(channels)) for one in made)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.join(inputs, self.first(inputs), self.second(inputs))


def in_place(inputs: Tensor, first: Tensor, second: Tensor) -> Tensor:
    first += inputs
    return first.relu_()


@contextmanager
def as_traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(split, "add_in_place", lambda traced: None)
        yield


JOINS: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], bool]] = {
    "written in place": (in_place, True),
    "to the right": (lambda inputs, first, second: inputs + first, True),
    "of two": (lambda inputs, first, second: first + second, True),
    "by torch": (lambda inputs, first, second: torch.add(inputs, first), True),
    "of sums": (lambda inputs, first, second: second + (first + inputs), True),
    "needed once more": (lambda inputs, first, second: (first + inputs) * first, False),
    "with itself": (lambda inputs, first, second: first + first, True),
    "scaled": (lambda inputs, first, second: torch.add(first, inputs, alpha=2), False),
    "with a number": (lambda inputs, first, second: first + 2, False),
    "of inputs": (lambda inputs, first, second: inputs + inputs, False),
    "of a context": (lambda inputs, first, second: first.mean((2, 3), keepdim=True) + inputs, False),
}


@pytest.mark.parametrize(("join", "expected"), JOINS.values(), ids=JOINS)
def test_a_sum_takes_the_memory_of_a_convolution_that_nothing_else_needs(
    join: Callable[[Tensor, Tensor, Tensor], Tensor], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    stage, inputs = Block(join).eval(), torch.randn(2, 4, 5, 6)
    with as_traced(monkeypatch):
        plain = folded(stage)
    quick, given = folded(stage), inputs.clone()
    with torch.inference_mode():
        assert torch.equal(quick(inputs), plain(inputs))
    assert torch.equal(inputs, given)
    assert isinstance(quick, fx.GraphModule)
    assert "aten.add_.Tensor" not in operators_of(plain, inputs)
    assert ("aten.add_.Tensor" in operators_of(quick, inputs)) is expected


@pytest.mark.parametrize("channels", [4, 128], ids=["direct", "from tiles"])
def test_the_numbers_are_the_same_with_any_convolution(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    stage, inputs = Block(in_place, channels, kernel=3).eval(), torch.randn(2, channels, 9, 9)
    with as_traced(monkeypatch):
        plain = folded(stage)
    quick = folded(stage)
    for precision in ("float32", "bfloat16"):
        with torch.inference_mode(), autocast(precision, torch.device("cpu")):
            assert torch.equal(quick(inputs), plain(inputs))
    assert "aten.add_.Tensor" in operators_of(quick, inputs)


@pytest.mark.parametrize("kernel", [1, 3], ids=["by oneDNN", "as torch has it"])
@pytest.mark.parametrize(
    "join",
    [
        lambda inputs, first, second: first + inputs[:, :, 1:],
        lambda inputs, first, second: inputs[:, :, 1:] + inputs,
    ],
    ids=["in place", "in the trace"],
)
def test_a_fault_of_a_sum_is_told_of_its_plugin_alone(
    join: Callable[[Tensor, Tensor, Tensor], Tensor], kernel: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Seen to fail: torch.fx printed its own message of the fault, and zoo was blamed for it."""
    stage = Block(join, kernel=kernel).eval()
    mark_owner(stage, "zoo-mynet")
    with pytest.raises(RuntimeError) as caught, torch.inference_mode():
        folded(stage)(torch.ones(1, 4, 5, 6))
    assert str(plugin_error(caught.value)).startswith("zoo-mynet failed: RuntimeError: The size of")
    assert capfd.readouterr().err == ""


class Same(nn.Module):
    """The outputs of a module that may be its inputs, and the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.norm = nn.Identity(), nn.BatchNorm2d(4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.norm(self.same(inputs) + inputs)


def test_only_a_convolution_gives_its_memory() -> None:
    stage, inputs = Same().eval(), torch.randn(2, 4, 5, 6)
    given = inputs.clone()
    with torch.inference_mode():
        assert torch.equal(folded(stage)(inputs), stage(given))
    assert torch.equal(inputs, given)


class Context(nn.Module):
    """A convolution of one pixel a map, which is added to whole maps."""

    def __init__(self) -> None:
        super().__init__()
        self.of_maps = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, inputs: Tensor) -> Tensor:
        pooled: Tensor = self.of_maps(self.pool(inputs))
        return pooled + inputs


def test_a_sum_that_is_larger_than_the_term_is_made_anew() -> None:
    torch.manual_seed(0)
    stage, inputs = Context().eval(), torch.randn(2, 4, 5, 6)
    with torch.inference_mode():
        assert torch.allclose(folded(stage)(inputs), stage(inputs), atol=1e-5)


def test_a_sum_with_numbers_of_another_type_has_the_wider_one() -> None:
    torch.manual_seed(0)
    stage = Block(lambda inputs, first, second: first + inputs.double()).eval()
    with torch.inference_mode():
        assert folded(stage)(torch.randn(2, 4, 5, 6)).dtype == torch.float64
