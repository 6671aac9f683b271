"""Rules for the outputs of a backbone: those of the published network, the same each time, in
every way to compute them."""

from __future__ import annotations

import copy
import io

import torch

from zoo_core.freezing.plan import FROZEN, TRAINABLE, Rule
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.model.chain import is_normalisation
from zoo_core.specs import BackboneSpec
from zoo_core.testing.check import rule
from zoo_core.testing.networks import (
    CLOSE,
    apart,
    base_of,
    difference_from,
    images_of,
    model_with,
    reference_of,
    smallest,
    still_base,
)

ROUGH = 0.2
"""The share by which bfloat16, with 8 bits of precision, may change the features of a deep
network."""


@rule("Put every operation of the published forward() into a stage, in its order: functional ones as modules.")
def computes_what_the_published_network_computes(spec: BackboneSpec) -> None:
    """With the same weights the outputs are those of `spec.reference`, to 1e-5 of the largest."""
    upstream = reference_of(spec)
    if upstream is not None:
        size = spec.preprocessing.size
        with torch.no_grad():
            largest = float(upstream.eval()(images_of(spec, batch=2, size=size)).abs().max())
        far = difference_from(upstream, spec, size=size)
        assert far <= 1e-5 * max(1.0, largest), f"its outputs are {far:.2g} from those of {spec.reference}"


@rule("Draw nothing in evaluation mode (F.dropout needs training=self.training) and hold nothing from call to call.")
@torch.no_grad()
def answers_the_same_each_time(spec: BackboneSpec) -> None:
    """Features are computed once and cached, so a second time must give the same."""
    base, images = still_base(spec), images_of(spec, batch=3)
    first = base(images)
    base(images.flip(0) * 2)
    far = apart(first, base(images))
    assert far == 0, f"in evaluation mode the same images gave features {far:.2g} apart"


@rule("In evaluation mode normalise with running statistics, and reshape by the batch that comes: x.shape[0].")
@torch.no_grad()
def answers_for_each_image_alone(spec: BackboneSpec) -> None:
    """The features of an image do not depend on the others in its batch, nor on their number."""
    base, images = still_base(spec), images_of(spec, batch=3)
    together = base(images)
    alone = torch.cat([base(image[None]) for image in images])
    far = apart(together, alone)
    assert far <= CLOSE, f"an image's features are {far:.2g} apart alone and in company"


@rule("Make the first operation of the stage one with inplace=False.")
def leaves_its_inputs_as_they_are(spec: BackboneSpec) -> None:
    """A stage does not overwrite the features of the stage before, which may be cached."""
    base = base_of(spec)
    for training in (False, True):
        base.train(training)
        features = images_of(spec, batch=2)
        for name in base.stages:
            given = features.clone()
            with torch.no_grad():
                outputs = base.stage(name)(features)
            assert torch.equal(given, features), f"the stage '{name}' changes its input in place"
            features = outputs


@rule("Use reshape and flatten rather than view and as_strided: strides follow the memory format.")
@torch.no_grad()
def takes_channels_last(spec: BackboneSpec) -> None:
    """zoo computes in channels_last, where it is faster."""
    base, images = still_base(spec), images_of(spec, batch=2, size=smallest(spec, 2 * spec.stride))
    features = images
    for name in base.stages:
        other = features.contiguous(memory_format=torch.channels_last) if features.ndim == 4 else features
        features, other = base.stage(name)(features.contiguous()), base.stage(name)(other)
        far = apart(features, other)
        assert far <= CLOSE, f"the stage '{name}' gives numbers {far:.2g} apart in channels_last"


@rule("Make new tensors of the type of the input (torch.zeros_like(x), x.new_zeros), not of a fixed one.")
@torch.no_grad()
def computes_in_bfloat16(spec: BackboneSpec) -> None:
    """`--precision bfloat16` trains under autocast."""
    base, images = still_base(spec), images_of(spec, batch=2)
    exact = base(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = base(images).float()
    far = float((rough - exact).norm() / exact.norm())
    assert far < ROUGH, f"bfloat16 gives features {far:.0%} off"


@rule("Hold no locks, files, lambdas or generators in modules.")
@torch.no_grad()
def can_be_copied(spec: BackboneSpec) -> None:
    """The frozen prefix is a copy, and data-parallel launchers pickle modules."""
    base, images = still_base(spec), images_of(spec, batch=2)
    far = apart(base(images), copy.deepcopy(base)(images))
    assert far == 0, f"its copy gives features {far:.2g} apart"
    torch.save(base, io.BytesIO())


@rule("Compute everything in forward(): hooks are lost when a stage is traced, and state when it is copied.")
@torch.no_grad()
def is_cached_as_it_computes(spec: BackboneSpec) -> None:
    """The frozen prefix, traced and with batch norm folded, gives the features of the stages."""
    base, images = base_of(spec).eval(), images_of(spec, batch=2)
    splits = [SplitPoint(place) for place in range(1, len(base.stages) + 1)]
    found = FrozenPrefix(model_with(base, spec, FROZEN, TRAINABLE), splits)(images.clone())
    features = images
    for split, name in zip(splits, base.stages, strict=True):
        features = base.stage(name)(features.clone())
        far = apart(features, found[split])
        assert far <= CLOSE, f"the features cached after '{name}' are {far:.2g} off"


@rule(
    "Leave branches on the numbers of a tensor out of forward(), take the number of images from x.shape[0], not from "
    "len(x), which export fixes, and use operations that torch can export."
)
@torch.no_grad()
def can_be_exported(spec: BackboneSpec) -> None:
    """The program of torch.export computes the same for any number of images."""
    base, any_number = still_base(spec), {0: torch.export.Dim("batch", min=1)}
    program = torch.export.export(base, (images_of(spec, batch=2),), dynamic_shapes=(any_number,))
    images = images_of(spec, batch=3)
    far = apart(base(images), program.module()(images))
    assert far <= CLOSE, f"its exported program gives features {far:.2g} apart"


@rule("Leave out of forward() what torch.compile refuses; the checks of torch.compiler.is_compiling() are no way out.")
def can_be_compiled(spec: BackboneSpec) -> None:
    """`--compile on` compiles the trainable stages, and they compute the same."""
    base, images = base_of(spec).eval(), images_of(spec, batch=2)
    expected, compiled = base(images).detach(), torch.compile(base, backend="eager")(images).detach()
    far = apart(expected, compiled)
    assert far <= CLOSE, f"compiled it gives features {far:.2g} apart"


@rule("Use every parameter in forward(), detach nothing, and leave requires_grad and no_grad to zoo.")
def passes_gradients_everywhere(spec: BackboneSpec) -> None:
    """Every parameter can be trained, at the smallest size."""
    base = base_of(spec)
    base.train()
    base(images_of(spec, batch=4)).square().mean().backward()
    without = [name for name, parameter in base.named_parameters() if parameter.grad is None]
    assert not without, f"no gradient reaches {', '.join(without[:5])}"


@rule("Normalise with modules of torch.nn, which obey eval(); never call F.batch_norm with training=True.")
def keeps_frozen_stages_still(spec: BackboneSpec) -> None:
    """Nothing of a frozen stage moves, whoever calls train()."""
    base = base_of(spec)
    model = model_with(base, spec, FROZEN, TRAINABLE)
    model.train()
    for module in model.modules():
        module.training = True  # goes past every train()
    moved = _moved(spec, base, model)
    assert not moved, f"frozen, and yet these moved: {', '.join(moved[:5])}"


@rule(
    "Derive normalisation layers from torch's (torch.nn.BatchNorm2d): statistics=frozen and norm-only find them by type."
)
def holds_its_statistics(spec: BackboneSpec) -> None:
    """Under statistics=frozen the running statistics stay, while the parameters are trained."""
    base = base_of(spec)
    own = sorted(
        {
            type(module).__name__
            for module in base.modules()
            if "running_mean" in dict(module.named_buffers(recurse=False)) and not is_normalisation(module)
        }
    )
    assert not own, f"{', '.join(own)} keeps running statistics and is no normalisation of torch's"
    model = model_with(base, spec, Rule(lr=1.0, statistics="frozen"), TRAINABLE)
    model.train()
    moved = _moved(spec, base, model)
    assert not moved, f"with statistics=frozen these moved: {', '.join(moved[:5])}"


def _moved(spec: BackboneSpec, base: torch.nn.Module, model: torch.nn.Module) -> list[str]:
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model(images_of(spec, batch=4))
    return [name for name, tensor in base.state_dict().items() if not torch.equal(tensor, before[name])]


OUTPUT_RULES = (
    computes_what_the_published_network_computes,
    answers_the_same_each_time,
    answers_for_each_image_alone,
    leaves_its_inputs_as_they_are,
    takes_channels_last,
    computes_in_bfloat16,
    can_be_copied,
    is_cached_as_it_computes,
    passes_gradients_everywhere,
    keeps_frozen_stages_still,
    holds_its_statistics,
)
SLOW_RULES = (can_be_exported, can_be_compiled)
"""Seconds each, for torch's compiler is imported."""
