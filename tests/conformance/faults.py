"""Faults of a backbone: the rule of the kit that each breaks, how it is planted, and words of the message."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import conv2d

from conformance.planted import Planted
from zoo_core import HubFile, PackageFile, Preprocessing, TimmTwin, WeightsRef
from zoo_core.tensors import write_tensors

EYE = torch.eye(4)[:, :, None, None]
FILES = "zoo_planted_files"
HALF, GREY = (0.5, 0.5, 0.5), (0.5,)
Plant = Callable[[Planted], Planted]


@dataclass
class Loose:
    width: int = 4


@dataclass(frozen=True)
class Odd:
    width: int = 4
    extra: dict = None  # type: ignore[assignment, type-arg]


class OwnNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


def image(size: int, mean: Any = HALF, std: Any = HALF) -> Preprocessing:
    return Preprocessing(size=size, mean=mean, std=std)


def weights(**changes: Any) -> Plant:
    """A weights file in a package, with other facts."""
    file = PackageFile(package=FILES, file="w.safetensors", sha256="0" * 64)
    ref = WeightsRef(
        tag="w", sources=(file,), preprocessing=image(16), data="Digits", licence="MIT", classes=("a", "b", "c")
    )
    return lambda one: one.facts(weights=(replace(ref, **changes),))


def file_of(one: Planted, rename: Callable[[str], str] = lambda key: key, **changes: Any) -> Planted:
    """Write the network's weights into the package; the spec names them, with their sha256."""
    import hashlib
    import importlib.util

    found = importlib.util.find_spec(FILES)
    assert found is not None
    path = Path(str(found.origin)).with_name("w.safetensors")
    write_tensors(path, {rename(key): tensor.clone() for key, tensor in one.kind(4).state_dict().items()})
    given = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **changes}
    file = PackageFile(package=FILES, file="w.safetensors", **given)
    return weights(sources=(file,))(one)


def child(make: Callable[[], nn.Module]) -> Callable[[nn.Module, str], None]:
    return lambda stage, name: setattr(stage, name, make())


def clash(chain: Any) -> None:
    chain.upstream_prefixes["layer1."] = "layer2."


def counted(wrapper: Any, x: Tensor) -> Tensor:
    wrapper.calls = getattr(wrapper, "calls", 0) + 1
    return wrapper.inner(x) * (1 + 0.001 * wrapper.calls)


def last_batch(wrapper: Any, x: Tensor) -> Tensor:
    outputs = wrapper.inner(x)
    before, wrapper.last = getattr(wrapper, "last", 0), outputs.detach().mean()
    return outputs + before


def only_sizes(wrapper: Any, x: Tensor) -> Tensor:
    if x.shape[-1] not in (1, 4):
        raise RuntimeError("a table of positions for 1 and 4")
    return wrapper.inner(x)


def norm(x: Tensor) -> Tensor:
    return functional.batch_norm(x, None, None, training=True)


def without(stage: str, *names: str) -> Callable[[Any], object]:
    return lambda chain: [chain.stage(stage)._modules.pop(name, None) for name in names]


def half(chain: Any) -> None:
    chain.bfloat16()


FAULTS: dict[str, tuple[str, Plant, str]] = {
    "wrong-channels": (
        "hands on its features",
        lambda p: p.facts(channels=8),
        "puts out 4 channels, and its spec says 8",
    ),
    "wrong-stride": ("has the stride of its spec", lambda p: p.facts(stride=2), "grows by 4 cells"),
    "wrong-params": ("has the parameters of its spec", lambda p: p.facts(params=99), "its spec says 99"),
    "wrong-gmacs": ("gmacs of its spec", lambda p: p.facts(gmacs=1.0), "its spec says 1.0"),
    "stage-missing": (
        "hands on its features",
        lambda p: p.chains(lambda c: c._modules.pop("layer1")),
        "built the stages",
    ),
    "functional-lost": (
        "published network",
        lambda p: p.chains(without("stem", "relu", "gelu")),
        "its outputs are",
    ),
    "last-relu-lost": (
        "published network",
        lambda p: p.chains(without("layer2", "relu", "gelu")),
        "from those",
    ),
    "norm-lost": (
        "published network",
        lambda p: p.chains(without("layer2", "last")),
        "not expected: last",
    ),
    "order": (
        "published network",
        lambda p: p.chains(lambda c: c._modules.update(layer1=c.layer2, layer2=c.layer1)),
        "does not fit",
    ),
    "order-calls": (
        "published network",
        lambda p: p.stages(lambda w, x: w.inner(functional.relu(x - 1))),
        "its outputs are",
    ),
    "inplace-first": (
        "leaves its inputs",
        lambda p: p.stages(lambda w, x: w.inner(functional.silu(x, True))),
        "'layer1'",
    ),
    "inplace-on-input": (
        "leaves its inputs",
        lambda p: p.stages(lambda w, x: w.inner(x.add_(1))),
        "in place",
    ),
    "inplace-relu-input": (
        "leaves its inputs",
        lambda p: p.stages(lambda w, x: w.inner(x.neg_())),
        "in place",
    ),
    "min-size-large": (
        "smallest size",
        lambda p: p.facts(min_size=64),
        "takes images of 32 pixels",
    ),
    "min-size-small": (
        "smallest size",
        lambda p: p.stages(lambda w, x: functional.pad(functional.max_pool2d(w.inner(x), 3, 1), (1, 1, 1, 1))),
        "Output size is too small",
    ),
    "step-small": (
        "smallest size",
        lambda p: p.facts(size_step=2).stages(lambda w, x: w.inner(x.unflatten(-1, (-1, 4)).flatten(-2)), "stem"),
        "it takes no images of 6 pixels, and size_step is 2",
    ),
    "bn-functional": ("answers for each image alone", lambda p: p.stages(lambda w, x: norm(w.inner(x))), "alone"),
    "bn-batch-stats": ("answers for each image alone", lambda p: p.stages(lambda w, x: w.inner(norm(x))), ""),
    "statistics-moved": (
        "keeps frozen stages still",
        lambda p: p.stages(
            lambda w, x: functional.batch_norm(w.inner(x), w.bn.running_mean, w.bn.running_var, training=True),
            bn=child(lambda: nn.BatchNorm2d(4)),
        ),
        "frozen, and yet these moved: layer1.bn.running_mean",
    ),
    "statistics-rule": (
        "holds its statistics",
        lambda p: p.stages(lambda w, x: w.bn(w.inner(x)), bn=child(lambda: OwnNorm(4))),
        "OwnNorm keeps running statistics",
    ),
    "dropout-in-eval": (
        "answers the same each time",
        lambda p: p.stages(lambda w, x: functional.dropout(w.inner(x))),
        "apart",
    ),
    "nondeterministic": (
        "answers the same each time",
        lambda p: p.stages(lambda w, x: w.inner(x) + torch.rand(1)),
        "apart",
    ),
    "state-between-calls": ("answers the same each time", lambda p: p.stages(counted), "apart"),
    "state-last-batch": ("answers the same each time", lambda p: p.stages(last_batch), "apart"),
    "batch-dependent": (
        "answers for each image alone",
        lambda p: p.stages(lambda w, x: w.inner(x) - x.mean(0, True)),
        "alone",
    ),
    "fixed-batch": (
        "hands on its features",
        lambda p: p.stages(lambda w, x: w.inner(x).reshape(4, 4, 2, -1)),
        "[4, 4, 2, -1]",
    ),
    "fixed-size": ("has the stride of its spec", lambda p: p.stages(only_sizes), "a table of positions"),
    "train-mode-branch": (
        "published network",
        lambda p: p.stages(lambda w, x: w.inner(x) if w.training else w.inner(x) * 1.01),
        "its outputs are",
    ),
    "buffer-unsaved": (
        "saves all its numbers",
        lambda p: p.stages(
            lambda w, x: w.inner(x) + w.shift,
            shift=lambda w, name: w.register_buffer(name, torch.randn(1), persistent=False),
        ),
        "layer1.shift is drawn at random and not saved",
    ),
    "plain-tensor": (
        "saves all its numbers",
        lambda p: p.stages(lambda w, x: w.inner(x), shift=lambda w, name: setattr(w, name, torch.ones(1))),
        "layer1.shift is a tensor that is neither parameter nor buffer",
    ),
    "device-in-builder": (
        "is built without numbers",
        lambda p: p.networks(lambda n: n.fc.weight.sum().item()),
        "meta tensors",
    ),
    "key-clash": (
        "has one published key for each tensor",
        lambda p: p.chains(clash),
        "two tensors have the published key",
    ),
    "key-wrong": (
        "published network",
        lambda p: p.chains(lambda c: c.upstream_prefixes.update({"layer1.": "layers.1."})),
        "missing: layers.1.",
    ),
    "unpinned": ("pins its weights", weights(sources=(HubFile(repo="owner/mut"),)), "not pinned: hf:owner/mut"),
    "wrong-sha": ("has weights that fit", lambda p: file_of(p, sha256="0" * 64), "has the sha256"),
    "weights-of-other": ("has weights that fit", lambda p: file_of(p, "net.{}".format), "does not fit this network"),
    "keys-function-missing": (
        "has weights that fit",
        lambda p: file_of(p, keys="zoo_planted:nothing"),
        "cannot be imported",
    ),
    "mean-std-swapped": (
        "preprocesses values",
        lambda p: p.facts(preprocessing=image(16, (0.229,) * 3, (0.485,) * 3)),
        "no image has the mean 0.229",
    ),
    "mean-255": (
        "preprocesses values",
        lambda p: p.facts(preprocessing=image(16, (123.0,) * 3, (58.0,) * 3)),
        "123.0",
    ),
    "licence-empty": ("says what its weights are", weights(licence=""), "name no licence"),
    "licence-none": ("says what its weights are", weights(licence=None), "name no licence"),
    "classes-count": (
        "names each output",
        weights(classes=("a", "b")),
        "2 classes, and the network has 3",
    ),
    "classes-list": (
        "names each output",
        weights(classes="imagenet-2k"),
        "'imagenet-2k' is not known",
    ),
    "top1-share": ("says what its weights are", weights(top1=0.71), "top-1 is in percent, and it is 0.71"),
    "year-wrong": ("says what its weights are", lambda p: p.facts(year=0), "the year is 0"),
    "classifier-in-stage": (
        "hands on its features",
        lambda p: p.chains(lambda c: c.layer2.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])),
        "puts out (B, 4), and a head needs",
    ),
    "pool-in-stage": (
        "has the stride of its spec",
        lambda p: p.chains(lambda c: c.layer2.append(nn.AdaptiveAvgPool2d(1))),
        "grows by 0 cells",
    ),
    "view-channels-last": (
        "channels last",
        lambda p: p.stages(lambda w, x: w.inner(x.view(-1).view(x.shape))),
        "view size",
    ),
    "strided-channels-last": (
        "channels last",
        lambda p: p.stages(lambda w, x: w.inner(x.as_strided(x.shape, torch.empty(x.shape).stride()))),
        "in channels_last",
    ),
    "bf16-dtype": (
        "computes in bfloat16",
        lambda p: p.stages(
            lambda w, x: torch.zeros(x.shape).index_add(0, torch.arange(len(x)), conv2d(w.inner(x), EYE))
        ),
        "same scalar type",
    ),
    "no-deepcopy": (
        "can be copied",
        lambda p: p.stages(lambda w, x: w.inner(x), lock=lambda w, name: setattr(w, name, threading.Lock())),
        "cannot pickle '_thread.lock'",
    ),
    "shared-parameters": (
        "keeps its stages apart",
        lambda p: p.networks(lambda n: setattr(n.layer2, "extra", next(n.layer1.children()))),
        "is also 'layer1.",
    ),
    "options-ignored": (
        "takes its options",
        lambda p: replace(p, make=lambda width: p.kind(4)),
        "width=8 gives the same",
    ),
    "options-break": (
        "takes its options",
        lambda p: p.networks(lambda n: setattr(n, "last", nn.BatchNorm2d(4))),
        "running_mean should contain 8",
    ),
    "options-not-frozen": (
        "has options that a text can give",
        lambda p: p.facts(options=Loose),
        "Loose are not frozen",
    ),
    "options-bad-type": ("has options that a text can give", lambda p: p.facts(options=Odd), "extra has the type"),
    "unused-parameter": (
        "gradients everywhere",
        lambda p: p.stages(lambda w, x: w.inner(x), unused=child(lambda: nn.Linear(1, 1))),
        "no gradient reaches layer1.unused",
    ),
    "frozen-by-builder": (
        "gradients everywhere",
        lambda p: p.networks(lambda n: n.layer1.requires_grad_(False)),
        "layer1",
    ),
    "no-grad-stage": (
        "gradients everywhere",
        lambda p: p.stages(lambda w, x: torch.no_grad()(w.inner)(x)),
        "no gradient",
    ),
    "detach": (
        "gradients everywhere",
        lambda p: p.stages(lambda w, x: w.inner(x.detach())),
        "no gradient reaches stem",
    ),
    "wrong-size": (
        "gmacs of its spec",
        lambda p: p.facts(gmacs=4e-5, preprocessing=image(64)),
        "its spec says 4e-05",
    ),
    "grey": ("hands on its features", lambda p: p.facts(preprocessing=image(16, GREY, GREY)), "channel"),
    "seeds-global": (
        "is built without side effects",
        lambda p: replace(p, before=lambda: torch.manual_seed(0)),
        "seeds torch's generator",
    ),
    "global-dtype": (
        "is built without side effects",
        lambda p: replace(p, before=lambda: torch.set_grad_enabled(False)),
        "changed torch's settings",
    ),
    "prints": (
        "is built without side effects",
        lambda p: p.stages(lambda w, x: (print("hello"), w.inner(x))[1]),
        "it prints 'hello",
    ),
    "tuple-output": (
        "hands on its features",
        lambda p: p.stages(lambda w, x: (w.inner(x), 1), "layer2"),
        "puts out a tuple",
    ),
    "half-parameters": ("hands on its features", lambda p: p.chains(half), "is in torch.bfloat16"),
    "float64": (
        "hands on its features",
        lambda p: p.stages(lambda w, x: w.inner(x).double()),
        "puts out torch.float64",
    ),
    "timm-wrong": (
        "twin in timm",
        lambda p: p.facts(timm=TimmTwin(architecture="resnet19")),
        "no architecture 'resnet19'",
    ),
    "timm-other": (
        "twin in timm",
        lambda p: p.facts(timm=TimmTwin(architecture="resnet18")),
        "or has it in another shape",
    ),
    "name-taken": ("has a name of its own", lambda p: p.facts(name="resnet18"), "is provided by zoo-resnet as well"),
    "hooks-in-module": (
        "published network",
        lambda p: p.chains(lambda c: c.layer2[0].register_forward_hook(lambda m, i, o: o.flip(1))),
        "its outputs are",
    ),
    "export-one-batch": (
        "can be exported",
        lambda p: p.stages(lambda w, x: w.inner(x) if len(x) == 2 else -w.inner(x)),
        "batch",
    ),
    "export-other": (
        "can be exported",
        lambda p: p.stages(lambda w, x: -w.inner(x) if torch.compiler.is_exporting() else w.inner(x)),
        "its exported program gives features",
    ),
    "compile-other": (
        "can be compiled",
        lambda p: p.stages(lambda w, x: -w.inner(x) if torch.compiler.is_compiling() else w.inner(x)),
        "compiled it gives features",
    ),
    "export": ("can be exported", lambda p: p.stages(lambda w, x: -w.inner(x) if x.mean() > 9 else w.inner(x)), ""),
}
