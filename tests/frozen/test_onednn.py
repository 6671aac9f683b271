"""The products of a frozen prefix by oneDNN: the same numbers up to rounding, from the model's own tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zoo_core.attribution import marked_owner
from zoo_core.frozen.onednn import by_onednn
from zoo_core.frozen.split import folded

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


class Operators(TorchDispatchMode):
    """Notes the names of the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(str(func))
        return func(*args, **kwargs or {})


def operators_of(stage: Callable[[Tensor], Tensor], inputs: Tensor) -> set[str]:
    with Operators() as operators, torch.no_grad():
        stage(inputs)
    return operators.names


def close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-6 * other.abs().max())


def test_linear_layers_of_a_prefix_are_computed_by_onednn() -> None:
    """Seen to fail: MKL computed them, at less than half the speed on processors with AVX-512 that are not Intel's."""
    torch.manual_seed(0)
    stage = nn.Sequential(nn.Linear(384, 64), nn.GELU(), nn.Linear(64, 384, bias=False)).eval()
    tokens = torch.randn(8, 50, 384)
    assert "mkldnn._linear_pointwise.default" in operators_of(folded(stage), tokens)
    assert "mkldnn._linear_pointwise.default" not in operators_of(stage, tokens)
    with torch.inference_mode():
        for inputs in (tokens, tokens[0], tokens.transpose(0, 1), tokens[:, ::2]):
            assert close(folded(stage)(inputs), stage(inputs))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_convolutions_of_one_pixel_in_a_prefix_are_computed_by_onednn(norm: type[nn.Module]) -> None:
    torch.manual_seed(0)
    stage = nn.Sequential(nn.Conv2d(32, 64, 1), norm(64), nn.ReLU(), nn.Conv2d(64, 64, 1, 2, groups=2, bias=False))
    images = torch.randn(2, 32, 9, 7)
    assert "mkldnn._convolution_pointwise.default" in operators_of(folded(stage.eval()), images)
    with torch.inference_mode():
        for inputs in (images, images.to(memory_format=torch.channels_last)):
            assert torch.allclose(folded(stage)(inputs), stage(inputs), rtol=1e-5, atol=1e-6)


def test_the_tensors_are_those_of_the_stage_which_stays_as_it_is() -> None:
    stage = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.MultiheadAttention(4, 2)).train()
    quick = by_onednn(stage)
    theirs, own = dict(stage.named_parameters()), dict(quick.named_parameters())
    assert [*own] == [*theirs]
    assert all(own[name] is theirs[name] for name in own)
    assert type(stage[0]) is nn.Linear
    assert stage.training
    assert not quick.training
    assert {type(module) for module in quick[2].modules()} == {type(module) for module in stage[2].modules()}


def test_other_types_are_computed_by_torch() -> None:
    stage = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 2, 1)).double()
    inputs = torch.randn(3, 4).double()
    assert torch.equal(by_onednn(stage)(inputs), stage(inputs))


def test_a_prefix_in_bfloat16_multiplies_what_a_norm_gives_in_bfloat16() -> None:
    """Seen to fail: a norm's output is float32 there, and linear layers behind one stayed in float32, as slow as ever."""
    torch.manual_seed(0)
    stage = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64), nn.Unflatten(1, (64, 1, 1)), nn.Conv2d(64, 8, 1)).eval()
    rows = torch.randn(5, 64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = by_onednn(stage)(rows)
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, stage(rows))
        assert by_onednn(nn.Sequential(*stage[:2]))(rows).dtype == torch.bfloat16


def test_an_error_in_a_layer_is_that_of_the_stages_plugin() -> None:
    stage = nn.Sequential(nn.Linear(4, 4))
    vars(stage)["zoo_owner"] = "zoo-mynet"
    assert marked_owner(by_onednn(stage)[0]) == "zoo-mynet"


def test_a_stage_that_cannot_be_copied_is_computed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Uncopied(nn.Sequential):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise RuntimeError("no copies")

    stage = Uncopied(nn.Linear(2, 2))
    assert by_onednn(stage) is stage


def test_a_torch_without_the_operations_computes_as_always(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nn.Sequential(nn.Linear(4, 4))
    assert by_onednn(stage) is not stage
    monkeypatch.setattr("zoo_core.tiles.products.OPERATIONS", ("_linear_pointwise", "_not_there"))
    assert by_onednn(stage) is stage
