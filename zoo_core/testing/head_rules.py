"""Rules for heads: each is built for several feature maps, numbers of outputs and tasks, and
computed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from zoo_core.catalog import Choice, Entry
from zoo_core.layout import FEATURE_MAP, Layout
from zoo_core.model.assemble import build_head
from zoo_core.model.shapes import check_outputs, loose_tensors
from zoo_core.model.solvers import Solvable
from zoo_core.options import parse_options
from zoo_core.specs import HeadSpec, TaskName
from zoo_core.tasks.objective import own_loss
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import has_a_name_of_its_own, has_options_that_a_text_can_give, other_values
from zoo_core.testing.networks import CLOSE, apart, stir, with_required

MAPS = ((6, 4, 4), (8, 7, 7), (8, 1, 1))
"""Feature maps (C, H, W): small, and 1 x 1 as of an image of the smallest size."""
TOKENS = (5, 8)
"""Tokens (N, C): the class token and four patches."""
OUTPUTS = (2, 5)
ROUGH = 0.2
"""The share by which bfloat16 may change the outputs."""


@rule("Take (options, *, in_channels, num_outputs), and in_size with needs_size; return a module to (B, K) in float32.")
def maps_features_to_outputs(spec: HeadSpec) -> None:
    """For every map, number of outputs and task the outputs have the shape (B, K)."""
    for shape in shapes_for(spec):
        for task in spec.tasks:
            for outputs in OUTPUTS:
                head = built(spec, shape, outputs, task)
                check_outputs(head, shape, outputs, owner=f"'{spec.name}'")
                with torch.no_grad():
                    made = head.eval()(features_of(shape))
                assert tuple(made.shape) == (3, outputs), (
                    f"it makes {tuple(made.shape)} of 3 images for {outputs} outputs"
                )


@rule("Draw nothing in evaluation mode (F.dropout needs training=self.training) and hold nothing from call to call.")
def answers_the_same_each_time(spec: HeadSpec) -> None:
    """The same features give the same outputs, alone and in company."""
    for head, features in _computed(spec):
        first = head(features)
        head(features.flip(0) * 2)
        far = apart(first, head(features))
        assert far == 0, f"in evaluation mode the same features gave outputs {far:.2g} apart"
        alone = torch.cat([head(one[None]) for one in features])
        assert apart(first, alone) <= CLOSE, "the outputs of an image depend on the others in its batch"


@rule("Use every parameter in forward(), and detach nothing: no gradient would reach the backbone.")
def passes_gradients_everywhere(spec: HeadSpec) -> None:
    """Parameters and features get gradients. A solved head gets none, and is solved instead."""
    for shape in shapes_for(spec, smallest=False):
        head = built(spec, shape, 3, spec.tasks[0])
        features = features_of(shape).requires_grad_()
        if isinstance(head, Solvable):
            targets = torch.tensor([0, 1, 2])
            head.fit(head.reduce(features.detach()), targets, 0)
            assert head(features).isfinite().all(), "after fit() its outputs are not finite"
            continue
        head.train()(features).square().sum().backward()
        without = [name for name, parameter in head.named_parameters() if parameter.grad is None]
        assert not without, f"no gradient reaches {', '.join(without)}"
        assert features.grad is not None, "no gradient reaches the features"


@rule("Return a mean over images as one number that has a gradient, from outputs and targets.")
def has_a_loss_that_can_be_minimised(spec: HeadSpec) -> None:
    """A head's own loss is finite and leads back to its parameters."""
    for task in spec.tasks:
        head = built(spec, MAPS[0], 3, task)
        loss = own_loss(head)
        if loss is None:
            return
        targets = torch.tensor([0, 1, 2]) if task_takes_classes(task) else torch.zeros(3, 3)
        value = loss(head(features_of(MAPS[0])), targets)
        assert value.shape == (), f"its loss for {task} has the shape {tuple(value.shape)}"
        assert value.isfinite(), f"its loss for {task} is {value}"
        assert value.requires_grad, f"its loss for {task} has no gradient"


@rule("Register tensors with register_buffer, and those that are drawn at random with persistent=True.")
def saves_all_its_numbers(spec: HeadSpec) -> None:
    """A head that is saved and loaded computes the same."""
    torch.manual_seed(0)
    head = built(spec, MAPS[0], 3, spec.tasks[0]).eval()
    loose = loose_tensors(head)
    assert not loose, f"{loose[0]} is a tensor that is neither parameter nor buffer"
    torch.manual_seed(1)
    other = built(spec, MAPS[0], 3, spec.tasks[0]).eval()
    other.load_state_dict(head.state_dict())
    with torch.no_grad():
        far = apart(head(features_of(MAPS[0])), other(features_of(MAPS[0])))
    assert far == 0, f"with the same saved tensors the outputs are {far:.2g} apart: a number is not saved"


@rule("Make the first operation one with inplace=False, and use reshape rather than view.")
def takes_features_as_they_come(spec: HeadSpec) -> None:
    """Features in channels_last give the same outputs, and stay as they are: they may be cached."""
    for head, features in _computed(spec):
        given = features.clone()
        first = head(features)
        assert torch.equal(given, features), "it changes its input in place"
        if features.ndim == 4:
            features = features.contiguous(memory_format=torch.channels_last)
        far = apart(first, head(features))
        assert far <= CLOSE, f"in channels_last its outputs are {far:.2g} apart"


@rule("Make new tensors of the type of the input, and hold no locks, files or generators in modules.")
def computes_in_bfloat16_and_can_be_copied(spec: HeadSpec) -> None:
    """`--precision bfloat16` trains it under autocast, and averaged weights are a copy."""
    for head, features in _computed(spec):
        exact = copy.deepcopy(head)(features)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = head(features).float()
        far = float((rough - exact).norm() / exact.norm().clamp(min=1e-6))
        assert far < ROUGH, f"bfloat16 gives outputs {far:.0%} off"


@rule("Draw from torch's generators as they are, print nothing, and use every option.")
def is_built_as_it_is_told(spec: HeadSpec) -> None:
    """Two seeds give two heads, and every value of an option can be built."""
    torch.manual_seed(1)
    built(spec, MAPS[0], 3, spec.tasks[0])
    drawn = torch.rand(1)
    torch.manual_seed(2)
    built(spec, MAPS[0], 3, spec.tasks[0])
    assert drawn != torch.rand(1), "the builder seeds torch's generator"
    for name, text in other_values(spec.options):
        head = built(spec, MAPS[0], 3, spec.tasks[0], f"{name}={text}")
        check_outputs(head, MAPS[0], 3, owner=f"'{spec.name}:{name}={text}'")


HEAD_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    maps_features_to_outputs,
    answers_the_same_each_time,
    passes_gradients_everywhere,
    has_a_loss_that_can_be_minimised,
    saves_all_its_numbers,
    takes_features_as_they_come,
    computes_in_bfloat16_and_can_be_copied,
    is_built_as_it_is_told,
)


def built(spec: HeadSpec, shape: tuple[int, ...], outputs: int, task: TaskName, options: str = "") -> nn.Module:
    """The head for features (C, H, W) or (N, C), built as zoo builds it."""
    choice = Choice(
        Entry(spec, "under test", "0"), parse_options(spec.name, spec.options, with_required(spec.options, options))
    )
    layout = FEATURE_MAP if len(shape) == 3 else Layout("tokens", prefix=1)
    height, width = shape[1:] if len(shape) == 3 else (shape[0], 1)
    size = (height, width) if spec.needs_size else None
    channels = layout.channels(shape)
    return build_head(choice, in_channels=channels, num_outputs=outputs, in_size=size, task=task, layout=layout)


def shapes_for(spec: HeadSpec, *, smallest: bool = True) -> list[tuple[int, ...]]:
    """The shapes of features that a head takes; without the smallest, of which some operations
    have no gradient."""
    return [*(MAPS if smallest else MAPS[:-1]), *([TOKENS] if spec.takes_tokens else [])]


def features_of(shape: tuple[int, ...]) -> Tensor:
    """The same random features of three images each time."""
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))


def task_takes_classes(task: TaskName) -> bool:
    """Whether the targets of a task are numbers of classes."""
    from zoo_core.tasks import task_named

    return task_named(task).smooths_labels


def _computed(spec: HeadSpec) -> Iterator[tuple[nn.Module, Tensor]]:
    """Heads in evaluation mode, none of whose numbers is a constant, with features."""
    for shape in shapes_for(spec):
        head = built(spec, shape, 3, spec.tasks[0]).eval()
        stir(head)
        with torch.no_grad():
            yield head, features_of(shape)
