"""Backbone + head = model, and the rules of a phase applied to it.

Shapes: B batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from zoo_core import builtin
from zoo_core.attribution import mark_owner
from zoo_core.catalog import Choice, owner_of
from zoo_core.errors import PluginError, UsageError, ZooError, reason_of
from zoo_core.freezing.plan import TRAINABLE, Rule
from zoo_core.layout import FEATURE_MAP, Layout
from zoo_core.model.adapt import ADDED
from zoo_core.model.chain import Chain, freeze_part, is_normalisation
from zoo_core.model.design import ModelDesign
from zoo_core.model.shapes import StageShapes, check_features, check_outputs
from zoo_core.model.transform import Transform
from zoo_core.specs import CLASSIFIER, HEAD, BackboneSpec, HeadSpec, TaskName, resolve
from zoo_core.tasks import task_named
from zoo_core.weights_specs import Preprocessing


class Model(nn.Module):
    """A base and a head on its features. `design` records the choices that it was built from, if
    known."""

    def __init__(self, backbone: Chain, head: nn.Module, design: ModelDesign | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.head_rule = TRAINABLE
        self._design = design

    @property
    def design(self) -> ModelDesign:
        """The choices that the model was built from. Raises UsageError for a model put together by
        hand."""
        if self._design is None:
            raise UsageError(
                "this model was put together by hand; zoo_core.create_model builds one that knows its design."
            )
        return self._design

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that the model's images need."""
        return self.design.preprocessing

    def transform(self) -> Transform:
        """A callable from a PIL image to the normalised tensor (C, S, S) that the model takes."""
        return Transform(self.preprocessing)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Map images (B, C, H, W) to outputs (B, K)."""
        features = self.backbone(images_BCHW)
        freeze_part(self.head, self.head_rule)
        outputs_BK: Tensor = self.head(features)
        return outputs_BK

    def train(self, mode: bool = True) -> Model:
        """Set the mode of trainable parts; frozen parts stay in evaluation mode."""
        super().train(mode)
        freeze_part(self.head, self.head_rule)
        return self

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The modules of the stages in order, then the head, by name."""
        return {name: self.part(name) for name in (*self.backbone.stages, HEAD)}

    def part(self, name: str) -> nn.Module:
        """The module of a stage, or the head."""
        return self.head if name == HEAD else self.backbone.stage(name)

    def apply_rules(self, rules: Mapping[str, Rule]) -> None:
        """Freeze and unfreeze stages and head by the rules of a phase."""
        for name, rule in rules.items():
            set_trainable(self.part(name), rule)
        self.backbone.rules = {name: rule for name, rule in rules.items() if name != HEAD}
        self.head_rule = rules[HEAD]
        self.train(self.training)

    def named_saved(self) -> Iterator[tuple[str, Tensor]]:
        """Every saved tensor: those of the backbone under their published keys, those of the head
        under `head.`."""
        yield from self.backbone.named_upstream()
        for name, tensor in self.head.state_dict(keep_vars=True).items():
            yield f"{HEAD}.{name}", tensor


def trainable_parameters(part: nn.Module, rule: Rule) -> Iterator[nn.Parameter]:
    """The parameters of a stage or head that are trainable under a rule."""
    if not rule.trainable:
        return
    if rule.parameters == "norm":
        for module in part.modules():
            if is_normalisation(module):
                yield from module.parameters(recurse=False)
    elif rule.parameters == "added":
        for module in part.modules():
            for name in getattr(module, ADDED, ()):
                yield module.get_parameter(name)
    else:
        for name, parameter in part.named_parameters():
            if rule.parameters == "all" or name.rpartition(".")[2] == "bias":
                yield parameter


def set_trainable(part: nn.Module, rule: Rule) -> None:
    """Let gradients reach the parameters of a stage or head that are trainable under a rule, and no
    others."""
    trainable = {id(parameter) for parameter in trainable_parameters(part, rule)}
    for parameter in part.parameters():
        parameter.requires_grad_(id(parameter) in trainable)


def build_network(choice: Choice[BackboneSpec]) -> Chain:
    """Build the whole published network as a chain, freshly initialised, on the current default
    device.

    Raises PluginError when the builder fails or its chain differs from the spec.
    """
    spec = choice.whole or choice.spec
    owner = owner_of(choice.entry)
    builder = resolve(spec.build)
    variant = {} if spec.variant is None else {"variant": spec.variant}
    try:
        with _torch_settings_kept():
            chain = builder(choice.options, **variant)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{owner} could not be built: {reason_of(error)}.") from error
    if not isinstance(chain, Chain):
        raise PluginError(f"{owner} built a {type(chain).__name__}; a builder returns a zoo_core.Chain.")
    base, _ = chain.split()
    if base.stages != spec.stages:
        raise PluginError(f"{owner} built the stages {base.stages}, and its spec says {spec.stages}.")
    for stage in chain.children():
        mark_owner(stage, owner)
    return chain


def split_base(network: Chain, choice: Choice[BackboneSpec]) -> tuple[Chain, Chain | None]:
    """The base of a whole network, and what a head replaces: the stages behind the last that is
    kept, and the classifier; None where there are neither."""
    left_out = choice.whole.stages[len(choice.spec.stages) :] if choice.whole else ()
    return network.split(left_out[0] if left_out else CLASSIFIER)


@contextmanager
def _torch_settings_kept() -> Iterator[None]:
    """Torch's global settings are afterwards as they were: a builder that changes them would change
    every training."""
    gradients, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def build_head(
    choice: Choice[HeadSpec],
    *,
    in_channels: int,
    num_outputs: int,
    in_size: tuple[int, int] | None = None,
    task: TaskName = "classification",
    layout: Layout = FEATURE_MAP,
) -> nn.Module:
    """Build a head from `in_channels` channels to `num_outputs` outputs.

    `in_size`, the feature map's height and width, goes to heads that need it
    (`HeadSpec.needs_size`), and `layout` to those that take tokens as well
    (`HeadSpec.takes_tokens`). For regression, `zoo_core.tasks.units` brings the outputs into the
    targets' units. Raises UsageError for a layout that the head cannot take, PluginError when the
    builder fails.
    """
    owner = owner_of(choice.entry)
    builder = resolve(choice.spec.build)
    given: dict[str, object] = {"in_size": in_size} if choice.spec.needs_size else {}
    if choice.spec.takes_tokens:
        given["layout"] = layout
    elif layout.kind == "tokens":
        *others, last = [f"`{head.name}`" for head in builtin.zoo_heads() if head.takes_tokens]
        raise UsageError(f"it takes feature maps only. {', '.join(others)} and {last} take tokens.")
    try:
        with _torch_settings_kept():
            head = builder(choice.options, in_channels=in_channels, num_outputs=num_outputs, **given)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{owner} could not be built: {reason_of(error)}.") from error
    if not isinstance(head, nn.Module):
        raise PluginError(f"{owner} built a {type(head).__name__}, not a torch module.")
    mark_owner(head, owner)
    return task_named(task).finish_head(head, num_outputs)


def build_head_for(
    shapes: StageShapes, backbone: Choice[BackboneSpec], head: Choice[HeadSpec], *, num_outputs: int, task: TaskName
) -> nn.Module:
    """Build a head for a backbone's base, whose stages put out `shapes`.

    Raises PluginError when the base puts out other features than its spec says, and when the head
    does not map them to (B, K): both are seen from their shapes, before anything is computed.
    Raises UsageError that names both where the head cannot take the backbone's features.
    """
    layout = backbone.spec.features
    *_, features = shapes.values()
    channels = backbone.spec.channels
    if backbone.whole:  # the spec states the channels of the whole
        layout = layout.of(features)
        channels = layout.channels(features)
    check_features(features, layout, channels, owner=owner_of(backbone.entry))
    in_size = None
    if head.spec.needs_size:
        in_size = (features[1], features[2]) if layout.kind == "map" else (features[0], 1)
    try:
        built = build_head(
            head, in_channels=channels, num_outputs=num_outputs, in_size=in_size, task=task, layout=layout
        )
    except UsageError as error:
        raise UsageError(
            f"the head '{head}' does not fit the backbone '{backbone}', which gives {layout}: {error}"
        ) from error
    check_outputs(built, features, num_outputs, owner=owner_of(head.entry))
    return built


def count_parameters(module: nn.Module) -> int:
    """The number of scalars in a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
