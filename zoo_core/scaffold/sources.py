"""The network of a new backbone: a blank one, torchvision's, or timm's as zoo-timm cuts it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError, did_you_mean, shown
from zoo_core.installing import install_hint
from zoo_core.scaffold.code import code_of, names_in
from zoo_core.specs import BackboneSpec
from zoo_core.weights_specs import HubFile, Preprocessing

TIMM_PLUGIN, TIMM_PREFIX = "zoo-timm", "timm-"
HALF = (0.5, 0.5, 0.5)
FORMS = "torchvision:ARCH, timm:ARCH or blank"


@dataclass(frozen=True)
class Cut:
    """A network that is cut into stages: the facts about it and the template of its code."""

    template: str
    facts: BackboneSpec
    """The spec, with a name and an import path that `spec` replaces."""
    requirements: tuple[str, ...] = ()
    architecture: str = ""
    stages: Mapping[str, str] = field(default_factory=dict)
    """The code of each stage's parts, by that of its name."""

    def spec(self, name: str, module: str) -> BackboneSpec:
        """The spec of a backbone with this name and the code in this module."""
        reference = f"{module}:published" if self.facts.reference else None
        weights = tuple(
            replace(ref, sources=tuple(replace(one, keys=one.keys and f"{module}:keys") for one in ref.sources))
            for ref in self.facts.weights
        )
        return replace(self.facts, name=name, build=f"{module}:build", reference=reference, weights=weights)

    def values(self, spec: BackboneSpec) -> dict[str, Any]:
        """The values that the templates of a backbone ask for."""
        sources = [source for ref in spec.weights for source in ref.sources]
        return {
            "architecture": self.architecture,
            "stages": self.stages,
            "spec": code_of(spec, indent=8),
            "names": names_in(spec),
            "old_keys": any(source.keys for source in sources),
            "unpinned": any(isinstance(one, HubFile) and not (one.revision and one.sha256) for one in sources),
        }


BLANK = Cut(
    "blank",
    BackboneSpec(
        name="blank",
        build="blank:build",
        stages=("stem", "stage1", "stage2"),
        channels=64,
        stride=8,
        min_size=8,
        year=date.today().year,
        preprocessing=Preprocessing(size=32, crop=1.0, mean=HALF, std=HALF),
        params=23_696,  # 3x3 convolutions of 3-16-32-64 channels, and the norms: the conformance kit counts them too
    ),
)
"""The network of templates/backbone/blank.py."""


def cut_of(source: str, catalog: Catalog) -> Cut:
    """Find the network that `--from` names. Raises UsageError for one that cannot be cut."""
    library, _, architecture = source.partition(":")
    match library:
        case "blank" if not architecture:
            return BLANK
        case "torchvision" if architecture:
            if importlib.util.find_spec("torchvision") is None:
                raise UsageError("torchvision is not installed. Install it with `pip install torchvision`.")
            from zoo_core.scaffold.torchvision_cut import cut_torchvision

            return cut_torchvision(architecture)
        case "timm" if architecture:
            return cut_timm(architecture, catalog)
    raise UsageError(f"--from takes {FORMS}, and got '{shown(source)}'.")


def cut_timm(architecture: str, catalog: Catalog) -> Cut:
    """The network as zoo-timm provides it, with its facts and weights."""
    records = [record for record in catalog.records if record.distribution == TIMM_PLUGIN]
    if not records:
        raise UsageError(f"zoo-timm cuts timm's networks, and it is not installed: {install_hint(TIMM_PLUGIN)}")
    if records[0].failure:
        raise UsageError(f"zoo-timm cuts timm's networks, and it was skipped: {records[0].failure}.")
    if importlib.util.find_spec("timm") is None:
        raise UsageError(f"timm is not installed. zoo-timm brings it: {install_hint(TIMM_PLUGIN)}")
    specs = {spec.name: spec for spec in records[0].specs if isinstance(spec, BackboneSpec)}
    spec = specs.get(TIMM_PREFIX + architecture)
    if spec is None:
        near = did_you_mean(architecture, (name.removeprefix(TIMM_PREFIX) for name in specs))
        raise UsageError(
            f"zoo-timm cuts no network '{shown(architecture)}'.{near} `zoo list backbones timm` shows those that it cuts; "
            "ARCHITECTURES.md in its folder has the reason for each other one."
        )
    facts = replace(spec, variant=None, family="", reference=None)
    version = records[0].version
    return Cut("timm", facts, (f"{TIMM_PLUGIN}>={version}",), architecture=architecture)
