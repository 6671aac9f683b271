"""The networks that advice chooses from: those with weights on this machine, those that can be
fetched, or those that somebody names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zoo_core.catalog import Catalog, Entry
from zoo_core.errors import UsageError
from zoo_core.specs import BackboneSpec
from zoo_core.weights.fetch import on_this_machine
from zoo_core.weights_specs import WeightsRef

IMAGENET = "imagenet-1k"
BYTES = 4  # of a weight: files are float32


@dataclass(frozen=True)
class Network:
    """A backbone with trained weights."""

    name: str
    """The text that chooses the backbone."""
    spec: BackboneSpec
    ref: WeightsRef
    is_here: bool
    """Whether the weights need no download."""

    @property
    def weights(self) -> str:
        """The value of --weights that chooses these weights."""
        return "default" if self.ref == self.spec.weights[0] else self.ref.tag

    @property
    def top1(self) -> float | None:
        """The published top-1 accuracy on ImageNet in percent, where the weights have one."""
        return self.ref.top1 if self.ref.classes == IMAGENET else None

    @property
    def download(self) -> int:
        """About how many bytes would be fetched; 0 for weights that are here."""
        return 0 if self.is_here else BYTES * (self.spec.params or 0)

    @property
    def cost(self) -> float:
        """The multiply-accumulates of an image in billions, or else the parameters in billions: a
        small number is cheap."""
        if self.spec.gmacs is not None:
            return self.spec.gmacs
        return (self.spec.params or 0) / 1e9


def find_networks(catalog: Catalog, *, fetched: bool = False) -> list[Network]:
    """Every installed backbone with weights on this machine; with `fetched` also the others that
    have weights.

    Of several weights of a backbone the first that are here count. Raises UsageError where there is
    none.
    """
    entries = catalog.entries(BackboneSpec)
    names = Counter(entry.spec.name for entry in entries)
    found = []
    for entry in entries:
        here = next((ref for ref in entry.spec.weights if _is_here(ref)), None)
        if here is not None or (fetched and entry.spec.weights):
            found.append(Network(_name(entry, names), entry.spec, here or entry.spec.weights[0], here is not None))
    if not found:
        raise UsageError(
            "no installed backbone has its weights on this machine. `zoo pull NAME` fetches those of one (`zoo list` shows "
            "all backbones), and --all those of every backbone that has any."
        )
    return found


def networks_named(names: Iterable[str], catalog: Catalog) -> list[Network]:
    """The networks of these names with their first weights. Raises UsageError for one that there is
    not, or that has no weights."""
    found = []
    for name in names:
        choice = catalog.backbone(name)
        if not choice.spec.weights:
            raise UsageError(
                f"'{choice.spec.name}' has no trained weights, and advice compares networks that have. `zoo compare` "
                "trains from scratch, too."
            )
        here = next((ref for ref in choice.spec.weights if _is_here(ref)), None)
        found.append(Network(name, choice.spec, here or choice.spec.weights[0], here is not None))
    return found


def static_ranking(networks: Sequence[Network]) -> list[Network]:
    """The networks by their published ImageNet accuracy, the highest first; those without one come
    last, the larger first."""
    return sorted(networks, key=lambda one: (one.top1 is None, -(one.top1 or 0.0), -one.cost))


def _is_here(ref: WeightsRef) -> bool:
    return any(on_this_machine(source) is not None for source in ref.sources)


def _name(entry: Entry[BackboneSpec], names: Counter[str]) -> str:
    """The name of a backbone, with its distribution where another has the same."""
    return entry.spec.name if names[entry.spec.name] == 1 else f"{entry.distribution}:{entry.spec.name}"
