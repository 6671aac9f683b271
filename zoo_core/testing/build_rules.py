"""Rules for a backbone's builder: the network that it builds, its shapes and its numbers."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo_core.errors import PluginError
from zoo_core.model.assemble import count_parameters
from zoo_core.model.shapes import check_features, loose_tensors, stage_shapes
from zoo_core.specs import BackboneSpec, resolve
from zoo_core.testing.check import rule
from zoo_core.testing.networks import build, build_meta, choice_of, images_of, smallest, still_base
from zoo_core.weights.load import without_storage


@rule("Build from Python numbers: the meta device, on which zoo infers shapes, has none in its tensors.")
def is_built_without_numbers(spec: BackboneSpec) -> None:
    """Shapes are known without memory, and weights are loaded without initialising them first."""
    with without_storage():
        build(spec)


@rule("Draw from torch's generators as they are, print nothing, and leave torch's global settings alone.")
def is_built_without_side_effects(spec: BackboneSpec) -> None:
    """Two seeds give two networks, nothing is printed, and torch is afterwards as it was."""
    before, said = _settings(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            torch.manual_seed(1)
            _called(spec)
            drawn = torch.rand(1)
            torch.manual_seed(2)
            _called(spec)
            other = torch.rand(1)
            still_base(spec)(images_of(spec, batch=1))
        after = _settings()
    finally:
        _restore(before)
    assert before == after, f"building it changed torch's settings from {before} to {after}"
    assert not said.getvalue(), f"it prints {said.getvalue()[:60]!r}"
    assert drawn != other, "the builder seeds torch's generator: every network begins with the same numbers"


@rule("Pooling and classifier belong into the stage CLASSIFIER; every other stage hands on one float32 tensor.")
def hands_on_its_features(spec: BackboneSpec) -> None:
    """Each stage gives the next one tensor, and the last one gives a head features of the spec's
    layout and channels."""
    base = still_base(spec)
    for name, parameter in base.named_parameters():
        assert parameter.dtype == torch.float32, f"{name} is in {parameter.dtype}"
    features = images_of(spec, batch=2)
    with torch.no_grad():
        for name in base.stages:
            features = base.stage(name)(features)
            tensor = isinstance(features, torch.Tensor)
            assert tensor, f"the stage '{name}' puts out a {type(features).__name__}, not one tensor"
            assert features.dtype == torch.float32, f"the stage '{name}' puts out {features.dtype}"
            assert len(features) == 2, f"the stage '{name}' makes {len(features)} of 2 images"
    check_features(tuple(features.shape[1:]), spec.features, spec.channels, owner=f"'{spec.name}'")


@rule("Give `stride` as the image pixels for each cell of the last stage's map, and pool in the head only.")
def has_the_stride_of_its_spec(spec: BackboneSpec) -> None:
    """The map grows by 8 cells when the image grows by 8 strides: borders that convolutions lose
    do not count."""
    if spec.size_step is None:
        return
    base, channels = build_meta(spec).split()[0], spec.preprocessing.channels
    near, far = (
        spec.features.grid(list(stage_shapes(base, channels, size).values())[-1])[0]
        for size in (spec.preprocessing.size, spec.preprocessing.size + 8 * spec.stride)
    )
    assert far - near == 8, f"the map grows by {far - near} cells when the image grows by 8 strides of {spec.stride}"


@rule(
    "Give `min_size` as the smallest side that the network takes, no less than its stride, and `size_step` to the next."
)
def takes_images_from_its_smallest_size_on(spec: BackboneSpec) -> None:
    """The network computes at `min_size` and a `size_step` on, and a smaller `min_size` would not do."""
    base = still_base(spec)
    with torch.no_grad():
        base(images_of(spec, batch=2))
    if spec.size_step is None:
        return
    larger = smallest(spec) + spec.size_step
    assert _computes(spec, larger), f"it takes no images of {larger} pixels, and size_step is {spec.size_step}"
    smaller = max(spec.stride, spec.min_size // 2)
    smaller += -smaller % spec.size_step
    if smaller < spec.min_size:
        assert not _computes(spec, smaller), (
            f"it takes images of {smaller} pixels as well, and min_size is {spec.min_size}"
        )


@rule("Give `params` as counted in the whole published network, its classifier included.")
def has_the_parameters_of_its_spec(spec: BackboneSpec) -> None:
    """`zoo list` shows the published number."""
    if spec.params is not None:
        count = count_parameters(build_meta(spec))
        assert count == spec.params, f"it has {count} parameters, and its spec says {spec.params}"


@rule("Give `gmacs` at preprocessing.size pixels, in billions of multiply-accumulates, to 2 %.")
def costs_the_gmacs_of_its_spec(spec: BackboneSpec) -> None:
    """`zoo list` shows the cost of one image."""
    if spec.gmacs is None:
        return
    network = build_meta(spec).eval().requires_grad_(False)  # the counter watches gradients, of parameters too
    size = spec.preprocessing.size
    image = torch.empty(1, spec.preprocessing.channels, size, size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    gmacs = counter.get_total_flops() / 2e9
    assert abs(gmacs - spec.gmacs) <= 0.02 * spec.gmacs, f"it costs {gmacs:.5g} GMAC, and its spec says {spec.gmacs}"


@rule("Map each prefix of the chain's names to its own prefix of published keys (`upstream`).")
def has_one_published_key_for_each_tensor(spec: BackboneSpec) -> None:
    """Weights are loaded and saved under the published keys."""
    keys = [key for key, _ in build_meta(spec).named_upstream()]
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    assert not twice, f"two tensors have the published key {twice[0]}"
    clash = [key for key in keys if key.startswith(spec.ignored_keys)] if spec.ignored_keys else []
    assert not clash, f"ignored_keys would drop {clash[0]}, which the network needs"


@rule("Give every stage modules of its own; a module that two stages use belongs to the first of them.")
def keeps_its_stages_apart(spec: BackboneSpec) -> None:
    """A parameter in two stages would be frozen and trained at once."""
    owners: dict[int, tuple[str, str]] = {}
    network = build_meta(spec)
    for stage in network.stages:
        part = network.stage(stage)
        saved = part.state_dict()  # a table that no file has is a constant: two stages may use it
        buffers = [(key, tensor) for key, tensor in part.named_buffers() if key in saved]
        for key, tensor in [*part.named_parameters(remove_duplicate=False), *buffers]:
            other, other_key = owners.setdefault(id(tensor), (stage, key))
            assert other == stage, f"'{stage}.{key}' is also '{other}.{other_key}'"


@rule("Register tensors with register_buffer, and those that are drawn at random with persistent=True.")
def saves_all_its_numbers(spec: BackboneSpec) -> None:
    """A network that is saved and loaded computes the same, on every device."""
    network = build_meta(spec)
    loose = loose_tensors(network)
    assert not loose, f"{loose[0]} is a tensor that is neither parameter nor buffer"
    saved = set(network.state_dict())
    unsaved = [name for name, _ in network.named_buffers() if name not in saved]
    if unsaved:
        torch.manual_seed(0)
        one = dict(build(spec).named_buffers())
        torch.manual_seed(1)
        other = dict(build(spec).named_buffers())
        drawn = [name for name in unsaved if not torch.equal(one[name], other[name])]
        assert not drawn, f"the buffer {drawn[0]} is drawn at random and not saved"


BUILD_RULES = (
    hands_on_its_features,
    is_built_without_numbers,
    is_built_without_side_effects,
    has_the_stride_of_its_spec,
    takes_images_from_its_smallest_size_on,
    has_the_parameters_of_its_spec,
    costs_the_gmacs_of_its_spec,
    has_one_published_key_for_each_tensor,
    keeps_its_stages_apart,
    saves_all_its_numbers,
)


def _computes(spec: BackboneSpec, size: int) -> bool:
    try:
        shapes = stage_shapes(build_meta(spec).split()[0], spec.preprocessing.channels, size)
    except PluginError:
        return False
    return 0 not in list(shapes.values())[-1]


def _called(spec: BackboneSpec) -> None:
    """Call the builder itself: `build` puts torch's settings back."""
    builder, options = resolve(spec.build), choice_of(spec).options
    variant = {} if spec.variant is None else {"variant": spec.variant}
    try:
        with without_storage():
            builder(options, **variant)
    except Exception:  # it needs numbers, or it fails anyway: rules of their own say so
        builder(options, **variant)


def _settings() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
    )


def _restore(settings: tuple[Any, ...]) -> None:
    dtype, gradients, threads, benchmark, deterministic = settings
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = benchmark
    torch.use_deterministic_algorithms(deterministic)
