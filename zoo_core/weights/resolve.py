"""Resolves `--weights`: a tag, "none", a file, a run directory or `hf:owner/name`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from zoo_core.catalog import Choice
from zoo_core.errors import UsageError, WeightsError, did_you_mean, shown
from zoo_core.hubclient.pull import parse_address, pull
from zoo_core.model.assemble import build_network, split_base
from zoo_core.model.chain import Chain
from zoo_core.model.design import StartFacts
from zoo_core.options import split_name
from zoo_core.paths import user_path
from zoo_core.specs import HEAD, BackboneSpec, resolve
from zoo_core.tensors import read_tensors
from zoo_core.weights.beside import default_preprocessing, preprocessing_beside
from zoo_core.weights.fetch import LocalWeights, fetch, fetch_source, nothing_found
from zoo_core.weights.load import build_empty, check_finite, load_chain
from zoo_core.weights_specs import Preprocessing, WeightsRef

FROM_SCRATCH = "none"
HUB_PREFIX = "hf:"


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a network starts from. `local` is None for a start from scratch.

    `preprocessing_origin` says where the preprocessing was found, for weights that no plugin describes. `stand_in` says
    that a plan alone is made, for which pretrained weights were not fetched.
    """

    tag: str
    preprocessing: Preprocessing
    local: LocalWeights | None = None
    ref: WeightsRef | None = None
    preprocessing_origin: str | None = None
    stand_in: bool = False

    @property
    def pretrained(self) -> bool:
        return self.local is not None or self.stand_in

    def facts(self) -> StartFacts | None:
        """The record of these weights for a run; None for a start from scratch."""
        if self.local is None:
            return None
        return StartFacts(
            tag=self.tag,
            source=self.local.source,
            sha256=self.local.sha256,
            revision=self.local.revision,
            data=self.ref.data if self.ref else None,
            licence=self.ref.licence if self.ref else None,
        )


def resolve_weights(choice: Choice[BackboneSpec], text: str, *, stand_in: bool = False) -> InitialWeights:
    """Find the weights that `text` names, and fetch them where they are not on this machine.

    "default" means the backbone's first weights, or a start from scratch where it has none. With
    `stand_in` the weights of a tag are not fetched: only what is known of them is returned. Raises
    UsageError when `text` is neither a tag nor a path, and WeightsError when the weights cannot be
    had.
    """
    spec = choice.spec
    ref = named_weights(spec, text)
    if text == FROM_SCRATCH or (text == "default" and ref is None):
        return InitialWeights(FROM_SCRATCH, spec.preprocessing)
    if ref is not None and stand_in:
        return InitialWeights(ref.tag, ref.preprocessing, ref=ref, stand_in=True)
    if ref is not None:
        return InitialWeights(ref.tag, ref.preprocessing, fetch(spec.name, ref), ref)
    if text.startswith(HUB_PREFIX):
        return _from_hub(spec, text)
    path = user_path(text)
    if path.is_dir():
        return _from_run(spec, path)
    if path.is_file():
        preprocessing, origin = preprocessing_beside(spec, path.parent)
        return InitialWeights(str(path), preprocessing, LocalWeights(path, str(path)), preprocessing_origin=origin)
    raise unknown_weights(spec, text, ", and there is no such file or run directory")


def unknown_weights(spec: BackboneSpec, text: str, also: str = "") -> UsageError:
    """The error for weights that a backbone does not have; it lists those that it has."""
    tags = [ref.tag for ref in spec.weights]
    return UsageError(
        f"'{spec.name}' has no weights '{shown(text)}'{also}.{did_you_mean(text[:80], tags)} "
        f"Its weights: {', '.join([*tags, FROM_SCRATCH])}; `zoo info {spec.name}` tells more."
    )


def named_weights(spec: BackboneSpec, text: str) -> WeightsRef | None:
    """The reference of a tag, None where there is no such tag; "default" means the first."""
    if text == "default":
        return spec.weights[0] if spec.weights else None
    return spec.weights_named(text)


def _from_run(spec: BackboneSpec, directory: Path) -> InitialWeights:
    from zoo_core.runs.directory import read_run

    run = read_run(directory)
    name, _ = split_name(run.facts.backbone.name)
    if name != spec.name:
        raise WeightsError(f"{directory} was trained from '{shown(name)}', not from '{spec.name}'.")
    path = run.weights_path
    return InitialWeights(str(directory), run.facts.preprocessing, LocalWeights(path, str(path)))


def _from_hub(spec: BackboneSpec, text: str) -> InitialWeights:
    """A published zoo model, or a repository with the architecture's own keys in its weights."""
    from zoo_core.runs.directory import CONFIG, MODEL, is_run

    repo, revision = parse_address(text.removeprefix(HUB_PREFIX))
    model, *others = pull(repo, [MODEL], optional=[CONFIG], revision=revision, newest=True)
    local = LocalWeights(model.path, f"{HUB_PREFIX}{repo}", model.sha256, model.commit)
    folder = model.path.parent
    if others and is_run(folder):
        return replace(_from_run(spec, folder), tag=text, local=local)
    # Only a config that was pulled with the weights was verified.
    preprocessing, origin = preprocessing_beside(spec, folder) if others else default_preprocessing(spec)
    return InitialWeights(text, preprocessing, local, preprocessing_origin=origin)


def load_backbone(choice: Choice[BackboneSpec], start: InitialWeights) -> tuple[Chain, tuple[str, ...]]:
    """Build the backbone and fill it with its initial weights.

    Returns the base and the keys that were dropped: the classifier that a head replaces, auxiliary
    classifiers, another run's head. Those of stages that the choice leaves out do not count. Raises WeightsError when other
    keys or shapes differ, or when a weight is not a finite number.
    """
    if start.local is None:
        base, _ = split_base(build_network(choice), choice)
        return base, ()
    base, replaced = split_base(build_empty(lambda: build_network(choice)), choice)
    ignored = (*choice.spec.ignored_keys, f"{HEAD}.")
    dropped = load_chain(base, _tensors(start.local), path=start.local.path, ignored=ignored, classifier=replaced)
    check_finite(base.named_upstream(), start.local.path)
    later = {key for key, _ in replaced.split()[0].named_upstream()} if choice.whole and replaced else set()
    return base, tuple(key for key in dropped if key not in later)


def load_whole(choice: Choice[BackboneSpec], ref: WeightsRef) -> Chain:
    """Build the published network with its original classifier, from the first whole source.

    Raises WeightsError that lists the reason of every source.
    """
    reasons = []
    for source in ref.sources:
        network = build_empty(lambda: build_network(choice))
        try:
            local = fetch_source(source)
            load_chain(network, _tensors(local), path=local.path, ignored=choice.spec.ignored_keys, classifier=None)
            return network
        except WeightsError as error:
            reasons.append(str(error))
    raise nothing_found(choice.spec.name, ref, reasons)


def _tensors(local: LocalWeights) -> dict[str, Tensor]:
    tensors = read_tensors(local.path)
    translated: dict[str, Tensor] = resolve(local.keys)(tensors) if local.keys else tensors
    return translated
