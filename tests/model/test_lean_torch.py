"""Nothing imports torch's compiler where nothing is compiled, and all is as if it had been imported.

Seen to fail: with each of torch's own optimizers, with torch's own shapes of convolutions and poolings, where a convolution
forgets its window or takes any number of channels, and where steps are recorded for gradients.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from helpers import make_table
from zoo_core.model import lean_torch
from zoo_core.model.lean_torch import ShapeInference, without_compiler
from zoo_core.weights.load import build_empty, build_shapes


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": (1, 3), "padding": (2, 0), "dilation": (1, 2)},
        {"groups": 2, "bias": False},
        {"padding": "same"},
    ],
)
def test_a_convolution_has_the_shape_that_torch_gives_it(settings: dict[str, Any]) -> None:
    layer = nn.Conv2d(4, 6, (3, 5), **settings)
    expected = layer(torch.zeros(2, 4, 13, 17)).shape
    with torch.device("meta"), ShapeInference():
        assert nn.Conv2d(4, 6, (3, 5), **settings)(torch.empty(2, 4, 13, 17)).shape == expected


def test_one_switch_turns_it_all_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_torch, "LEAN", False)
    assert without_compiler(torch.optim.AdamW) is torch.optim.AdamW
    with torch.device("meta"), ShapeInference():
        features_BCHW = torch.empty(2, 4, 9, 9)
        assert nn.functional.relu(features_BCHW) is not features_BCHW, "torch computes it itself"


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 5, 9, 9), "Invalid channel dimensions"), ((1, 4, 2, 2), "greater than actual input size")],
)
def test_what_torch_refuses_stays_refused(shape: tuple[int, ...], message: str) -> None:
    with torch.device("meta"), ShapeInference(), pytest.raises(RuntimeError, match=message):
        nn.Conv2d(4, 6, 3)(torch.empty(shape))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.LBFGS, {"line_search_fn": "strong_wolfe"}),
        (torch.optim.AdamW, {"fused": True, "weight_decay": 0.1}),
        (torch.optim.SGD, {"fused": True, "momentum": 0.9, "nesterov": True}),
    ],
)
def test_an_optimizer_takes_the_steps_of_torchs_own(
    kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    ours = nn.Linear(5, 3)
    torchs = copy.deepcopy(ours)
    inputs = torch.randn(4, 5)
    for network, made in ((ours, without_compiler(kind)), (torchs, kind)):
        optimizer = made(network.parameters(), lr=0.1, **settings)

        def loss(network: nn.Module = network, optimizer: torch.optim.Optimizer = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            value = network(inputs).square().mean()
            value.backward()
            return value

        for _ in range(3):
            optimizer.step(loss)
        assert isinstance(optimizer, kind)
    assert torch.equal(ours.weight, torchs.weight)
    assert torch.equal(ours.bias, torchs.bias)


@pytest.mark.parametrize(
    "settings",
    [
        ("--data", "photos", "--strategy", "full"),
        ("--data", "photos", "--strategy", "lp-ft", "--optimizer", "sgd"),
        ("--data", "photos", "--head", "logreg", "--epochs", "1"),
        ("--data", "photos/photos.csv"),
    ],
)
def test_a_whole_fine_tune_imports_no_compiler(tmp_path: Path, settings: tuple[str, ...]) -> None:
    """Seen to fail: for numbers, whose scale is spread over the images of a batch."""
    make_table(tmp_path / "photos", "path,warmth", lambda name, number: f"{number}.5", count=6)
    given = ["zoo", "finetune", "--backbone", "lenet5", "--epochs", "2", "--compile", "off", *settings]
    code = f"""
import sys
from zoo_core.cli.main import main
sys.argv = {given}
try:
    main()
finally:
    print([name for name in ("torch", "torch._dynamo", "sympy") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1] == "['torch']"


@pytest.mark.parametrize(
    ("query", "key", "value"),
    [((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)), ((1, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4)), ((5, 4), (7, 4), (7, 6))],
)
def test_attention_has_the_shape_that_torch_gives_it(query: Any, key: Any, value: Any) -> None:
    """Seen to fail: with the shape of the queries, which a single image there does not have."""
    attend = nn.functional.scaled_dot_product_attention
    expected = attend(*(torch.zeros(shape) for shape in (query, key, value))).shape
    with torch.device("meta"), ShapeInference():
        assert attend(*(torch.empty(shape) for shape in (query, key, value))).shape == expected


def test_a_mask_that_does_not_fit_stays_refused() -> None:
    """Seen to fail: a table of relative positions for another size of images passed for one that fits."""
    tokens, mask = torch.empty(2, 3, 5, 4, device="meta"), torch.empty(9, 9, device="meta")
    with ShapeInference(), pytest.raises(RuntimeError, match="broadcast"):
        nn.functional.scaled_dot_product_attention(tokens, tokens, tokens, mask)


class Odd(nn.Module):
    """Computes numbers when it is built."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4).mul_(0.5).clamp_(-1, 1))
        self.gate = torch.sigmoid(self.weight)  # a tensor, and no parameter
        self.register_buffer("saved", torch.arange(4))
        self.register_buffer("more", self.saved + torch.zeros(4))


class Shared(nn.Module):
    """Registers one tensor twice, once to be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("saved", torch.arange(4))
        self.register_buffer("unsaved", self.saved, persistent=False)


def registered(module: nn.Module) -> dict[str, Any]:
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {name: (tensor.shape, tensor.dtype) for name, tensor in named}


def test_a_builder_that_computes_has_the_parameters_and_buffers_that_it_has_with_numbers() -> None:
    """Seen to fail: where a function gave the tensor that it was given, the gate was a parameter; and where a sum had the
    type of its first number, `more` was of integers."""
    assert registered(build_shapes(Odd)) == registered(Odd())


def test_a_buffer_that_is_saved_under_one_name_alone_is_built_with_numbers() -> None:
    """Seen to fail: the other name was passed over as a double, and had no numbers."""
    assert build_empty(Shared).unsaved.tolist() == [0, 1, 2, 3]  # type: ignore[operator]
