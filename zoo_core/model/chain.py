"""A network as a chain of named stages: the base from image to features, then perhaps a classifier.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from zoo_core.errors import PluginError
from zoo_core.freezing.plan import Rule
from zoo_core.specs import CLASSIFIER

NORMALISATION = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
UNDECAYED = ("pos", "token")
"""Parts of the names of parameters that are tables of positions, or tokens: `pos_embed`,
`relative_position_bias_table`, `cls_token`. Weight decay would pull what they encode to zero (as in
Dosovitskiy et al. 2021, arXiv 2010.11929)."""


class Chain(nn.Sequential):
    """Named stages, called one after the other.

    Parameters are named by stage (`stem.conv1.weight`). `upstream` maps prefixes of such names to
    those of published keys (`"stem.": ""`), so that weights are loaded and saved under their
    published keys (`conv1.weight`).
    """

    def __init__(self, stages: Mapping[str, nn.Module], upstream: Mapping[str, str] | None = None) -> None:
        super().__init__(OrderedDict(stages))
        self.upstream_prefixes = dict(upstream or {})
        self.rules: Mapping[str, Rule] = {}

    @classmethod
    def cut(cls, network: nn.Module, stages: Mapping[str, str | Sequence[str | nn.Module]]) -> Chain:
        """Cut a network into stages by the paths of its modules, in the order in which the network
        calls them.

        A stage is one path (`"layer1"`: that module) or several (`("conv1", "bn1")`: a sequence of
        modules). Among several, a module without parameters that the network calls as a function,
        such as `nn.Flatten()`, stands as itself. Raises PluginError when two parts of a stage have
        the same last name.
        """
        modules: dict[str, nn.Module] = {}
        prefixes: dict[str, str] = {}
        for stage, parts in stages.items():
            if isinstance(parts, str):
                modules[stage] = network.get_submodule(parts)
                prefixes[f"{stage}."] = f"{parts}."
                continue
            children: dict[str, nn.Module] = {}
            for part in parts:
                if isinstance(part, str):
                    child = part.rpartition(".")[2]
                    children[child] = network.get_submodule(part)
                    prefixes[f"{stage}.{child}."] = f"{part}."
                else:
                    children[type(part).__name__.lower()] = part
            if len(children) != len(parts):
                raise PluginError(f"two parts of the stage '{stage}' have the same last name: {list(parts)}")
            modules[stage] = nn.Sequential(OrderedDict(children))
        return cls(modules, prefixes)

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return tuple(self._modules)

    def stage(self, name: str) -> nn.Module:
        """The module of one stage."""
        return self.get_submodule(name)

    def upstream_name(self, name: str) -> str:
        """The published key of one of this chain's parameters or buffers."""
        for prefix, upstream in self.upstream_prefixes.items():
            if name.startswith(prefix):
                return upstream + name[len(prefix) :]
        return name

    def named_upstream(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and persistent buffer under its published key."""
        for name, tensor in self.state_dict(keep_vars=True).items():
            yield self.upstream_name(name), tensor

    def split(self, stage: str = CLASSIFIER) -> tuple[Chain, Chain | None]:
        """Split the chain before a stage: the backbone and the classifier, None for a chain
        without one."""
        if stage not in self._modules:
            return self, None
        where = self.stages.index(stage)
        return self._part(self.stages[:where]), self._part(self.stages[where:])

    def _part(self, names: Sequence[str]) -> Chain:
        prefixes = {key: value for key, value in self.upstream_prefixes.items() if key.split(".")[0] in names}
        return Chain({name: self.stage(name) for name in names}, prefixes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the last stage's output."""
        self.freeze_parts()
        return super().forward(images_BCHW)  # type: ignore[no-any-return, no-untyped-call]

    def train(self, mode: bool = True) -> Chain:
        """Set the mode of trainable stages; frozen stages stay in evaluation mode."""
        super().train(mode)
        self.freeze_parts()
        return self

    def freeze_parts(self) -> None:
        """Put frozen stages back into evaluation mode, even after somebody called train() on a part
        of the chain."""
        for name, rule in self.rules.items():
            freeze_part(self.stage(name), rule)


def freeze_part(part: nn.Module, rule: Rule) -> None:
    """Put a frozen part into evaluation mode; of a trainable part only the normalisation layers
    with frozen statistics."""
    if not rule.trainable:
        part.eval()
    elif rule.statistics == "frozen":
        for module in part.modules():
            if is_normalisation(module):
                module.eval()


def is_normalisation(module: nn.Module) -> bool:
    """Whether a module normalises its input. Libraries bring RMS norms of their own, which share no
    class."""
    return isinstance(module, NORMALISATION) or "rmsnorm" in type(module).__name__.lower()


def decayed(part: nn.Module) -> set[nn.Parameter]:
    """The parameters of a stage or head that weight decay pulls to zero: no norms, biases,
    positions or tokens."""
    return {
        parameter
        for module in part.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1 and not isinstance(module, nn.Embedding) and not any(word in name for word in UNDECAYED)
    }
