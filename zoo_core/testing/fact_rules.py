"""Rules for the facts of a spec: its name, its options, its preprocessing, its weights."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

import torch

from zoo_core.catalog import KINDS, open_catalog
from zoo_core.model.shapes import stage_shapes
from zoo_core.options import default_of, is_union, parse_options
from zoo_core.predictors import class_names
from zoo_core.specs import BackboneSpec, resolve
from zoo_core.testing.check import rule
from zoo_core.testing.networks import build, build_meta, choice_of, images_of, stir, with_required
from zoo_core.weights.resolve import load_whole
from zoo_core.weights_specs import HubFile, PackageFile, Preprocessing


@rule("Choose a name that no installed plugin has; else users must write DISTRIBUTION:NAME.")
def has_a_name_of_its_own(spec: Any) -> None:
    """No other distribution provides a spec of the same kind and name, or alias."""
    entries = open_catalog().entries(type(spec))
    for name in (spec.name, *getattr(spec, "aliases", ())):
        owners = sorted({e.distribution for e in entries if name in e.names and e.spec != spec})
        assert not owners, f"the {KINDS[type(spec)][0]} '{name}' is provided by {' and by '.join(owners)} as well"


@rule("Write @dataclass(frozen=True), with fields of int, float, bool, str, a Literal, or a tuple of numbers.")
def has_options_that_a_text_can_give(spec: Any) -> None:
    """Options are a frozen dataclass, and each field can be read from `name:key=value`."""
    frozen = spec.options.__dataclass_params__.frozen
    assert frozen, f"the options {spec.options.__name__} are not frozen"
    kinds = typing.get_type_hints(spec.options)
    for field in dataclasses.fields(spec.options):
        assert _readable(kinds[field.name]), f"the option {field.name} has the type {kinds[field.name]}"


@rule("Use every option in the builder, and let every size in it follow from them.")
def takes_its_options(spec: BackboneSpec) -> None:
    """Another value of an option gives another network, which takes images."""
    plain = _structure(spec, "")
    for name, text in other_values(spec.options):
        option = f"{name}={text}"
        other = _structure(spec, option)
        assert other != plain or _computes_otherwise(spec, option), f"{option} gives the same network as the default"


@rule("Give mean and std for values in 0..1, one for each channel: mean first, then std.")
def preprocesses_values_in_0_to_1(spec: BackboneSpec) -> None:
    """Values in 0..1 with a mean m deviate from it by at most the root of m (1 - m)."""
    places: list[tuple[str, Preprocessing]] = [("the spec", spec.preprocessing)]
    places += [(f"the weights '{ref.tag}'", ref.preprocessing) for ref in spec.weights]
    for place, preprocessing in places:
        for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True):
            fits = (mean, std) == (0, 1) or (0 <= mean <= 1 and std**2 <= mean * (1 - mean) + 1e-6)
            assert fits, f"{place}: no image has the mean {mean} and the deviation {std} in 0..1"


@rule("Name licence and data ('unknown' if nobody said), top-1 in percent, and the year of publication.")
def says_what_its_weights_are(spec: BackboneSpec) -> None:
    """Users choose weights by these facts, and cards repeat them."""
    assert spec.year is None or 1900 <= spec.year <= 2100, f"the year is {spec.year}"
    for ref in spec.weights:
        assert ref.licence, f"the weights '{ref.tag}' name no licence"
        assert ref.data, f"the weights '{ref.tag}' do not say what they were trained on"
        for name, share in (("top-1", ref.top1), ("top-5", ref.top5)):
            assert share is None or share > 1, f"the weights '{ref.tag}': {name} is in percent, and it is {share}"


@rule("Give revision and sha256 of every file on the Hub, so that nobody can change it behind its name.")
def pins_its_weights(spec: BackboneSpec) -> None:
    """A file is the same for every user, today and in a year."""
    files = [source for ref in spec.weights for source in ref.sources if isinstance(source, HubFile)]
    loose = [str(file) for file in files if not (file.revision and file.sha256)]
    assert not loose, f"not pinned: {', '.join(loose)}"


@rule("Ship the file that belongs to the network; `keys` names a function that translates other keys.")
def has_weights_that_fit(spec: BackboneSpec) -> None:
    """Weights that lie in the package load into the whole network, and are finite."""
    for ref in spec.weights:
        for source in ref.sources:
            if source.keys:
                resolve(source.keys)
        here = tuple(source for source in ref.sources if isinstance(source, PackageFile))
        if not here:
            continue
        network = load_whole(choice_of(spec), dataclasses.replace(ref, sources=here))
        odd = [name for name, tensor in network.named_upstream() if not tensor.isfinite().all()]
        assert not odd, f"the weights '{ref.tag}' hold numbers in {odd[0]} that are not finite"


@rule("Name as many classes as the classifier has outputs, or a list of zoo (imagenet-1k).")
def names_each_output_of_its_classifier(spec: BackboneSpec) -> None:
    """A prediction has the name of the class that it is for."""
    for ref in spec.weights:
        if ref.classes is not None and ref.has_classifier:
            shapes = stage_shapes(build_meta(spec), spec.preprocessing.channels, spec.preprocessing.size)
            names, outputs = class_names(ref.classes), list(shapes.values())[-1][0]
            assert len(names) == outputs, (
                f"'{ref.tag}' names {len(names)} classes, and the network has {outputs} outputs"
            )


@rule("Name timm's architecture with the same keys and shapes, or leave `timm` out.")
def has_a_twin_in_timm(spec: BackboneSpec) -> None:
    """What is published for timm opens there. Without timm installed nothing is compared."""
    if spec.timm is None:
        return
    try:
        import timm
    except ImportError:
        return
    name = spec.timm.architecture
    assert timm.is_model(name), f"timm has no architecture '{name}'"
    with torch.device("meta"):
        theirs = timm.create_model(name).state_dict()
    ours = dict(build_meta(spec).split()[0].named_upstream())
    wrong = [key for key, tensor in ours.items() if key not in theirs or theirs[key].shape != tensor.shape]
    assert not wrong or spec.timm.export, f"timm's '{name}' lacks {wrong[0]}, or has it in another shape"


FACT_RULES = (
    has_a_name_of_its_own,
    has_options_that_a_text_can_give,
    takes_its_options,
    preprocesses_values_in_0_to_1,
    says_what_its_weights_are,
    pins_its_weights,
    has_weights_that_fit,
    names_each_output_of_its_classifier,
    has_a_twin_in_timm,
)


def other_values(options: type) -> Iterator[tuple[str, str]]:
    """For each option that has another value than its default, its name and that value as text."""
    kinds = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        other = _other(kinds[field.name], default_of(field))
        if other is not None and _accepted(options, field.name, other):
            yield field.name, other


def _accepted(options: type, name: str, text: str) -> bool:
    try:
        parse_options("it", options, with_required(options, f"{name}={text}"))
    except Exception:  # the dataclass checks its values: this one is out of bounds
        return False
    return True


def _other(kind: Any, default: Any) -> str | None:
    if kind is bool:
        return "false" if default else "true"
    if typing.get_origin(kind) is typing.Literal:
        return next((str(word) for word in typing.get_args(kind) if word != default), None)
    if kind in (int, float) and isinstance(default, int | float):
        return str(kind((default or 1) * 2))
    return None


def _readable(kind: Any) -> bool:
    if is_union(kind):
        return all(part is type(None) or _readable(part) for part in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return _readable(typing.get_args(kind)[0])
    return kind in (bool, int, float, str) or typing.get_origin(kind) is typing.Literal


def _structure(spec: BackboneSpec, options: str) -> tuple[str, dict[str, torch.Size]]:
    """The modules of the whole network as text, and the shapes of its tensors."""
    network = build_meta(spec, options)
    size = spec.preprocessing.size
    with torch.no_grad():  # every check of torch: stage_shapes leaves out those of norms
        network.eval()(torch.empty(1, spec.preprocessing.channels, size, size, device="meta"))
    return str(network), {name: tensor.shape for name, tensor in network.state_dict().items()}


def _computes_otherwise(spec: BackboneSpec, options: str) -> bool:
    """Whether the options change an output, in evaluation or in training: functions show in no text of modules."""
    outputs = []
    for text in ("", options):
        torch.manual_seed(0)
        network = build(spec, text)
        stir(network)
        with torch.no_grad():
            outputs.append([network.train(training)(images_of(spec, batch=4)) for training in (False, True)])
    return not all(torch.equal(one, other) for one, other in zip(*outputs, strict=True))
