"""A network of torchvision cut into stages.

torch.fx records the calls of the network's modules. Where each call takes the output of the one
before, the stages are runs of modules, and a new stage begins where the map gets smaller.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import torch
import torchvision
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from zoo_core.errors import PluginError, UsageError, did_you_mean, reason_of, shown
from zoo_core.layout import FEATURE_MAP
from zoo_core.model.chain import Chain
from zoo_core.model.shapes import stage_shapes
from zoo_core.scaffold.code import code_of
from zoo_core.scaffold.sources import Cut
from zoo_core.specs import CLASSIFIER, BackboneSpec
from zoo_core.testing.networks import CLOSE, same_outputs
from zoo_core.testing.sizes import image_sizes
from zoo_core.weights_specs import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, TorchFile, WeightsRef

CLASSIFIERS = ("classifier", "head", "fc")
"""torchvision's names for the part behind the features."""
HEAVY = 3  # modules with parameters: fewer are a stem, or one layer of it
SMALLER = 1.5  # the least ratio of two sides that counts: convolutions without padding lose some pixels
OLD_KEYS = ("densenet",)
"""The beginnings of the names of networks whose files have keys of an older torchvision, which it
translates when it loads them."""

FUNCTIONS: dict[Any, tuple[str, ...]] = {
    torch.flatten: ("nn.Flatten()",),
    functional.relu: ("nn.ReLU()",),
    functional.adaptive_avg_pool2d: ("nn.AdaptiveAvgPool2d(1)",),
    "mean": ("nn.AdaptiveAvgPool2d(1)", "nn.Flatten()"),
}
"""Modules that compute the functions which torchvision's networks call between their modules."""
MODULES: dict[str, Callable[[], nn.Module]] = {
    "nn.Flatten()": nn.Flatten,
    "nn.ReLU()": nn.ReLU,
    "nn.AdaptiveAvgPool2d(1)": lambda: nn.AdaptiveAvgPool2d(1),
}


@dataclass(frozen=True)
class Step:
    """A call of a module, by its path, or of a function, by the code of modules that compute it."""

    path: str
    code: tuple[str, ...]
    reads: tuple[int, ...]
    gives: tuple[int, ...]

    @property
    def shrinks(self) -> float:
        """The ratio of the sides of the maps before and after it; 1 where there are none."""
        maps = len(self.reads) == len(self.gives) == 4
        return self.reads[-1] / self.gives[-1] if maps else 1.0


def cut_torchvision(name: str) -> Cut:
    """Cut a classification network of torchvision. Raises UsageError where it cannot be cut."""
    known = torchvision.models.list_models(torchvision.models)
    if name not in known:
        near = did_you_mean(name, known)
        raise UsageError(f"torchvision has no classification network '{shown(name)}'.{near}")
    try:
        stages, facts = _cut(name)
    except (PluginError, _UncutError) as error:
        raise UsageError(f"torchvision's '{name}' cannot be cut into stages: {error}") from error
    code = {code_of(stage): _parts_code(parts, len(stage)) for stage, parts in stages.items()}
    code = {("CLASSIFIER" if stage == code_of(CLASSIFIER) else stage): parts for stage, parts in code.items()}
    return Cut("torchvision", facts, ("torchvision>=0.26",), name, code)


class _UncutError(Exception):
    """The reason why a network cannot be cut."""


class _Tracer(fx.Tracer):
    """Records the calls of all modules but sequences, which only call others."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) is not nn.Sequential


def _cut(name: str) -> tuple[dict[str, tuple[str, ...]], BackboneSpec]:
    """The parts of each stage, the classifier among them, and the facts about the network."""
    refs = _weights(name)
    preprocessing = refs[0].preprocessing if refs else Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    try:
        with torch.device("meta"):
            network = _network(name)
    except NotImplementedError as error:
        raise _UncutError(
            "torchvision computes with its first numbers, and zoo builds networks without any."
        ) from error
    image = torch.empty(1, 3, preprocessing.size, preprocessing.size, device="meta")
    stages = _stages(network, list(_units(_steps(network, image))))
    chain = _chain(network, stages)
    unused = sorted(set(network.state_dict()) - {key for key, _ in chain.named_upstream()})
    if unused:
        raise _UncutError(f"{unused[0]} is not on the way from the image to the classes.")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    whole = _network(name)
    far = same_outputs(_chain(whole, stages), whole, channels=3, size=preprocessing.size, batch=1)
    if far > CLOSE:
        raise _UncutError(f"its stages differ from it by {far:.2g}.")
    base = chain.split()[0]
    shape = list(stage_shapes(base, 3, preprocessing.size).values())[-1]
    spec = BackboneSpec(
        name=name,
        build="model:build",
        reference="model:published",
        stages=base.stages,
        channels=shape[0],
        **asdict(image_sizes(base, FEATURE_MAP, shape[0], preprocessing.size)),
        year=None,
        preprocessing=preprocessing,
        params=sum(parameter.numel() for parameter in network.parameters()),
        gmacs=round(counter.get_total_flops() / 2e9, 4),
        weights=refs,
    )
    return stages, spec


def _network(name: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of them speak of their slow initialisation
        network: nn.Module = torchvision.models.get_model(name)
    return network.eval()


def _steps(network: nn.Module, image: Tensor) -> list[Step]:
    """The calls of a network, in a row. Raises _UncutError where they are no row."""
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # the network's own code, with symbols instead of numbers
        raise _UncutError(f"its calls cannot be recorded: {reason_of(error)}.") from error
    ShapeProp(fx.GraphModule(network, graph)).propagate(image)
    (before, *nodes) = graph.nodes
    steps = []
    for node in nodes[:-1]:
        if node.all_input_nodes != [before] or "tensor_meta" not in node.meta:
            raise _UncutError(f"its calls are no row: '{node.name}' takes more than the output of the call before it.")
        if node.op != "call_module" and node.target not in FUNCTIONS:
            raise _UncutError(f"it calls '{node.name}' between its modules.")
        path = str(node.target) if node.op == "call_module" else ""
        shapes = [tuple(one.meta["tensor_meta"].shape) for one in (before, node)]
        steps.append(Step(path, () if path else FUNCTIONS[node.target], *shapes))
        before = node
    return steps


def _units(steps: Sequence[Step], depth: int = 1) -> Iterator[Step]:
    """The calls of a sequence as one, unless the sequence makes the map smaller more than once."""

    def place(step: Step) -> str:
        return ".".join(step.path.split(".")[:depth]) or step.code[0]

    for path, group in groupby(steps, key=place):
        run = list(group)
        whole = Step(path, run[0].code, run[0].reads, run[-1].gives)
        halved = sum(step.shrinks >= SMALLER for step in run)
        if len(run) == 1 and run[0].path in ("", path):
            yield run[0]
        elif halved > 1:
            yield from _units(run, depth + 1)
        else:
            yield whole


def _stages(network: nn.Module, units: list[Step]) -> dict[str, tuple[str, ...]]:
    """The parts of each stage: paths of modules, and code of modules."""
    end = next((place for place, unit in enumerate(units) if _is_of_classifier(network, unit)), len(units))
    groups: list[list[Step]] = []
    side = 0
    for unit in units[:end]:
        layers = _layers(network, unit)
        smaller = unit.shrinks >= SMALLER or side / unit.reads[-1] >= SMALLER  # here, or by a pool before it
        ends_stem = len(groups) == 1 and _weight(network, unit) >= HEAVY > _weight(network, groups[0][0])
        if not groups or (layers and (smaller or ends_stem)):
            groups.append([])
        groups[-1].append(unit)
        if len(unit.gives) != 4 or (unit.gives[1] == unit.gives[2] != unit.gives[3]):
            raise _UncutError(f"'{unit.path}' puts out {unit.gives[1:]}, no feature map (C, H, W).")
        side = unit.gives[-1] if layers else side
    named = {_stage_name(network, place, group): group for place, group in enumerate(groups)}
    if end < len(units):
        named[CLASSIFIER] = units[end:]
    return {
        stage: tuple(part for unit in group for part in (unit.code or (unit.path,))) for stage, group in named.items()
    }


def _is_of_classifier(network: nn.Module, unit: Step) -> bool:
    pools = bool(unit.path) and isinstance(network.get_submodule(unit.path), nn.AdaptiveAvgPool2d)
    return pools or unit.path.partition(".")[0] in CLASSIFIERS or (bool(unit.code) and unit.code != ("nn.ReLU()",))


def _stage_name(network: nn.Module, place: int, group: list[Step]) -> str:
    if place == 0 and all(_weight(network, unit) < HEAVY for unit in group):
        return "stem"
    first = group[0].path
    return f"stage{place}" if "." in first else first


def _modules(network: nn.Module, unit: Step) -> list[nn.Module]:
    return [*network.get_submodule(unit.path).modules()] if unit.path else []


def _weight(network: nn.Module, unit: Step) -> int:
    """The number of its modules with parameters of their own."""
    return sum(any(True for _ in module.parameters(recurse=False)) for module in _modules(network, unit))


def _layers(network: nn.Module, unit: Step) -> bool:
    """Whether it has a convolution or a linear layer; all else belongs to the layer before."""
    return any(isinstance(module, nn.Conv2d | nn.Linear) for module in _modules(network, unit))


def _chain(network: nn.Module, stages: dict[str, tuple[str, ...]]) -> Chain:
    """The chain that the code of the new plugin builds."""
    parts = {
        stage: given[0]
        if len(given) == 1 and given[0] not in MODULES
        else [MODULES[p]() if p in MODULES else p for p in given]
        for stage, given in stages.items()
    }
    return Chain.cut(network, parts)


def _parts_code(parts: tuple[str, ...], stage: int) -> str:
    """The parts as code: `"layer1"`, or `("conv1", "bn1", nn.Flatten())`."""
    texts = [part if part in MODULES else code_of(part) for part in parts]
    if len(texts) == 1 and parts[0] not in MODULES:
        return texts[0]
    line = f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    if 12 + stage + len('"": ,') + len(line) <= 100:  # 12 blanks stand before it in the template
        return line
    return "\n".join(["(", *(f"{' ' * 16}{text}," for text in texts), " " * 12 + ")"])


def _weights(name: str) -> tuple[WeightsRef, ...]:
    """All trained weights of a network, torchvision's default first."""
    enum = torchvision.models.get_model_weights(name)
    members = sorted(enum, key=lambda member: member is not getattr(enum, "DEFAULT", None))
    keys = "model:keys" if name.startswith(OLD_KEYS) else None
    return tuple(_weights_ref(member, keys) for member in members)


def _weights_ref(member: Any, keys: str | None) -> WeightsRef:
    """The facts as torchvision states them. Of most files, some of them from elsewhere, it names no
    licence."""
    transform, meta = member.transforms(), member.meta
    (size,), (resized,) = transform.crop_size, transform.resize_size
    figures = next(iter(meta["_metrics"].values()))
    return WeightsRef(
        tag=member.name.lower().replace("_", "-"),
        sources=(TorchFile(file=member.url.rpartition("/")[2], keys=keys),),
        preprocessing=Preprocessing(
            size=size,
            crop=round(size / max(size, resized), 4),
            interpolation=transform.interpolation.value,
            mean=tuple(transform.mean),
            std=tuple(transform.std),
        ),
        data="ImageNet-1k",
        licence=meta.get("license", "unknown"),
        classes="imagenet-1k",
        top1=figures["acc@1"],
        top5=figures["acc@5"],
    )
