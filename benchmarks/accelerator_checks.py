"""The results of a GPU against those of a CPU: the correctness of accelerator.py, and of tests/accelerator.

Each check trains, and tells rows of which some hold or do not. On a CPU all of them go through a tiny network, which
shows that they run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerator_agreement import DIFFERENT_ANSWERS, TOLERANCES, Notes, apart, base_settings, learnt, precisions
from accelerator_bench import Bench
from accelerator_together import graphs, processes

import zoo_core
from zoo_core.tensors import read_tensors
from zoo_core.training.callback import NullCallback

WAYS: dict[str, dict[str, Any]] = {
    "head-only": {},
    "last:2": {},
    "full": {},
    "gradual": {"strategy": "gradual:every=1"},
    "lp-ft": {},
    "lora": {},
    "logreg": {"strategy": "head-only", "head": "logreg", "epochs": None, "lr": None},
}
MEMORY = 3e9  # bytes, of which resnet50 with 256 images at once needs seven times as many


def agreement(bench: Bench, way: str) -> None:
    """The losses and answers of a strategy against those of the CPU, in each type of number that the device has."""
    threads = torch.get_num_threads()
    settings = base_settings(bench, **{"strategy": way, **WAYS[way]})
    cpu = learnt(bench, f"{way}-cpu", settings, device="cpu", precision="float32")
    torch.set_num_threads(max(1, threads // 3))
    try:
        other = learnt(bench, f"{way}-threads", settings, device="cpu", precision="float32")
    finally:
        torch.set_num_threads(threads)
    spread = apart(cpu, other)
    for precision in precisions(bench, way):
        own = learnt(bench, f"{way}-{precision}", settings, device=bench.device, precision=precision)
        gap, different = apart(cpu, own)
        holds = gap <= max(TOLERANCES[precision], 2 * spread[0])
        holds = holds and different <= max(DIFFERENT_ANSWERS[precision], 2 * spread[1])
        figure = (
            f"loss {cpu.losses[-1]:.4f} on the CPU, {other.losses[-1]:.4f} there with fewer threads, "
            f"{own.losses[-1]:.4f} here; "
            f"{100 * different:.1f} % other answers, {100 * spread[1]:.1f} % with fewer threads"
        )
        bench.tell(f"{way}, {precision}", figure, holds=holds, gap=gap, different=different)


def frozen(bench: Bench) -> None:
    """Frozen tensors are the same to the bit after a training, statistics too."""
    settings = base_settings(bench, strategy="last:2", device=bench.device, precision="auto")
    result = bench.finetune("frozen", **settings)
    chain = zoo_core.create_model(backbone=settings["backbone"], head="linear", num_classes=4).backbone
    before = dict(chain.named_upstream())
    after = read_tensors(result.directory / "model.safetensors")
    kept = {chain.upstream_name(name) for name in chain.state_dict() if name.split(".")[0] in chain.stages[:-2]}
    same = sum(torch.equal(before[key].cpu(), after[key]) for key in kept)
    trained = [key for key in before if key not in kept and before[key].is_floating_point()]
    moved = sum(not torch.equal(before[key].cpu(), after[key]) for key in trained)
    holds = same == len(kept) and moved > 0
    bench.tell("last:2, the frozen tensors", f"{same} of {len(kept)} equal, {moved} of the others moved", holds=holds)


def resume(bench: Bench) -> None:
    """A training that was stopped and resumed, and one that was repeated, against one that was not."""
    settings = base_settings(bench, strategy="full", epochs=3, patience=3, device=bench.device)
    whole = read_tensors(bench.finetune("whole", **settings).directory / "model.safetensors")
    again = read_tensors(bench.finetune("again", **settings).directory / "model.safetensors")
    bench.tell("the same training twice", difference(whole, again))
    with suppress(KeyboardInterrupt, zoo_core.ZooError):
        bench.finetune("stopped", Notes(stop=1), **settings)
    zoo_core.resume(bench.folder / "stopped")
    resumed = read_tensors(bench.folder / "stopped" / "model.safetensors")
    gap = max((whole[key].double() - resumed[key].double()).abs().max().item() for key in whole)
    repeated = max((whole[key].double() - again[key].double()).abs().max().item() for key in whole)
    holds = gap == 0 or gap <= 2 * repeated
    bench.tell(
        "stopped after an epoch and resumed", difference(whole, resumed), holds=holds, gap=gap, repeated=repeated
    )


def difference(first: dict[str, Any], second: dict[str, Any]) -> str:
    gaps = {key: (first[key].double() - second[key].double()).abs().max().item() for key in first}
    worst = max(gaps, key=lambda key: gaps[key])
    return "the same bytes" if not gaps[worst] else f"at most {gaps[worst]:.2g} apart ({worst})"


def memory(bench: Bench) -> None:
    """A batch that does not fit into the memory is computed in pieces, and the training goes on."""
    title = "resnet50, 256 images at once in 3 GB"
    if not bench.device.startswith("cuda"):
        bench.not_shown(title, "only the memory of an NVIDIA GPU is made smaller on purpose")
        return
    device = torch.device(bench.device)
    share = MEMORY / torch.cuda.get_device_properties(device).total_memory
    notes = Notes()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share, device)
    try:
        settings = {"backbone": "resnet50", "weights": "none", "strategy": "full", "epochs": 1, "lr": 0.001}
        data = bench.photos(512)
        bench.finetune("memory", notes, **settings, batch_size=256, device=bench.device, data=data)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()
    told = [text for text in notes.messages if "out of memory" in text]
    bench.tell(title, "; ".join(told) or "no message", holds=bool(told))


WAITED = "called a synchronizing CUDA operation"
"""torch's words for a wait. It also says once that this mode, which finds them, is a prototype."""


class Watched(NullCallback):
    """Lets torch warn of every wait for the device between the second step and the last of the second epoch."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if epoch == 2:
            torch.cuda.set_sync_debug_mode("warn" if 2 <= step < steps - 1 else "default")
            self.steps += 2 <= step < steps - 1


def waits(bench: Bench) -> None:
    """Waits for the device inside the loop, which leave it idle."""
    if not bench.device.startswith("cuda"):
        bench.not_shown("waits for the device in a step", "torch reports them for NVIDIA GPUs alone")
        return
    for strategy in ("head-only", "full"):
        watched = Watched()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bench.finetune(f"waits-{strategy}", watched, **base_settings(bench, strategy=strategy, device=bench.device))
        torch.cuda.set_sync_debug_mode("default")
        own = [warning for warning in caught if WAITED in str(warning.message)]
        places = sorted({f"{Path(warning.filename).name}:{warning.lineno}" for warning in own})
        figure = f"{len(own)} in {watched.steps} steps{': ' if places else ''}{', '.join(places[:6])}"
        bench.tell(f"{strategy}, waits for the device", figure, holds=len(own) <= max(1, watched.steps // 8))


CHECKS: dict[str, Callable[[Bench], None]] = {
    **{way: partial(agreement, way=way) for way in ("head-only", "last:2", "full")},
    "frozen": frozen,
    "resume": resume,
    "graphs": graphs,
    "processes": processes,
    "memory": memory,
    "waits": waits,
}
"""In order of worth."""
AGREEMENTS: dict[str, Callable[[Bench], None]] = {way: partial(agreement, way=way) for way in WAYS if way not in CHECKS}
"""Of the other strategies, which are worth less than the speeds."""
