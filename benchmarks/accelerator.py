"""The trainings of a GPU against those of a CPU, and its speed, in order of worth, within some minutes.

    python benchmarks/accelerator.py [--minutes 8] [--out accelerator] [--parts agreement,frozen] [--device cuda]

It needs zoo with zoo-efficientnet-lite, zoo-resnet and zoo-timm, and timm. After each part it writes what it has to
OUT.json and OUT.md. A part that fails is told with its error, and the others go on; one for which no time is left is
named. `--device cpu` goes through every part in a small way, to see that the command works: its figures say nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from accelerator_bench import Bench
from accelerator_speed import gpu_busy, images_a_second_of_timm, images_a_second_of_zoo, product

import zoo_core
from zoo_core.runs.epochs import EpochReport
from zoo_core.tensors import read_tensors
from zoo_core.training.callback import NullCallback

NETWORK, SIZE, EPOCHS, LR = "efficientnet_lite0", 96, 2, 0.005
WAYS: dict[str, dict[str, Any]] = {
    "head-only": {},
    "last:2": {},
    "full": {},
    "gradual": {"strategy": "gradual:every=1"},
    "lp-ft": {},
    "logreg": {"strategy": "head-only", "head": "logreg", "epochs": None, "lr": None},
}
TOLERANCES = {"float32": 0.02, "bfloat16": 0.1}
"""Of the validation losses, as a share of the CPU's: or twice the distance of two CPU runs with another number of threads,
where that is more. A training of the whole network grows every last bit."""
DIFFERENT_ANSWERS = {"float32": 0.02, "bfloat16": 0.05}
"""The share of validation images that may be answered otherwise, or twice that of those two runs."""
LEAST_SECONDS = 20  # that a part needs


class Notes(NullCallback):
    """The messages of a training; after `stop` epochs a Ctrl-C comes."""

    def __init__(self, stop: int | None = None) -> None:
        self.messages: list[str] = []
        self.stop = stop

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.stop:
            raise KeyboardInterrupt

    def message(self, text: str) -> None:
        self.messages.append(text)


def base_settings(bench: Bench, **changes: Any) -> dict[str, Any]:
    own = {
        "backbone": NETWORK,
        "size": SIZE,
        "epochs": EPOCHS,
        "lr": LR,
        "batch_size": 32,
        "patience": EPOCHS,
        "seed": 0,
    }
    return {**own, **({"train_share": 0.1} if bench.is_dry else {}), **changes}


def agreement(bench: Bench) -> None:
    """The losses and answers of each strategy against those of the CPU, in both types of number."""
    threads = torch.get_num_threads()
    for name, changes in WAYS.items():
        settings = base_settings(bench, **{"strategy": name, **changes})
        cpu = learnt(bench, f"{name}-cpu", settings, device="cpu", precision="float32")
        torch.set_num_threads(max(1, threads // 3))
        other = learnt(bench, f"{name}-threads", settings, device="cpu", precision="float32")
        torch.set_num_threads(threads)
        spread = apart(cpu, other)
        for precision, tolerance in TOLERANCES.items():
            own = learnt(bench, f"{name}-{precision}", settings, device=bench.device, precision=precision)
            gap, different = apart(cpu, own)
            holds = gap <= max(tolerance, 2 * spread[0])
            holds = holds and different <= max(DIFFERENT_ANSWERS[precision], 2 * spread[1])
            figure = (
                f"loss {cpu[0][-1]:.4f} on the CPU, {other[0][-1]:.4f} there with fewer threads, {own[0][-1]:.4f} here; "
                f"{100 * different:.1f} % other answers, {100 * spread[1]:.1f} % with fewer threads"
            )
            bench.tell(f"{name}, {precision}", figure, holds=holds, gap=gap, different=different)


def learnt(bench: Bench, name: str, settings: dict[str, Any], **more: Any) -> tuple[list[float], list[bool]]:
    """The validation losses of a training, and which images it answers rightly."""
    result = bench.finetune(name.replace(":", "-"), **settings, **more)
    return [report.loss for report in result.trained.epochs], answers_of(result)


def apart(one: tuple[list[float], list[bool]], other: tuple[list[float], list[bool]]) -> tuple[float, float]:
    """The largest distance of two rows of losses, as a share, and the share of images with another answer."""
    gap = max(abs(first - second) / first for first, second in zip(one[0], other[0], strict=True))
    return gap, sum(first != second for first, second in zip(one[1], other[1], strict=True)) / len(one[1])


def answers_of(result: zoo_core.Result) -> list[bool]:
    from zoo_core.runs.answers import read_answers

    return [answer.is_right for answer in read_answers(result.directory) or ()]


def frozen(bench: Bench) -> None:
    """Frozen tensors are the same to the bit after a training, statistics too."""
    settings = base_settings(bench, strategy="last:2", device=bench.device, precision="auto")
    result = bench.finetune("frozen", **settings)
    before = dict(zoo_core.create_model(backbone=NETWORK, head="linear", num_classes=10).backbone.named_upstream())
    after = read_tensors(result.directory / "model.safetensors")
    chain = zoo_core.create_model(backbone=NETWORK, head="linear", num_classes=10).backbone
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
    if bench.is_dry:
        bench.tell("a batch that does not fit", "not on a CPU")
        return
    share = 3e9 / torch.cuda.get_device_properties(0).total_memory
    notes = Notes()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        settings: dict[str, Any] = {
            "backbone": "resnet50",
            "weights": "none",
            "strategy": "full",
            "epochs": 1,
            "lr": 0.001,
        }
        bench.finetune("memory", notes, **settings, batch_size=256, device=bench.device, data=bench.photos(1024))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    told = [text for text in notes.messages if "out of memory" in text]
    bench.tell("resnet50, 256 images at once in 3 GB", "; ".join(told) or "no message", holds=bool(told))


class Watched(NullCallback):
    """Lets torch warn of every wait for the device between the second step and the last of the second epoch."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if epoch == 2 and torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("warn" if 2 <= step < steps - 1 else "default")
            self.steps += 2 <= step < steps - 1


def waits(bench: Bench) -> None:
    """Waits for the device inside the loop, which leave it idle."""
    if bench.is_dry:
        bench.tell("waits in a step", "not on a CPU")
        return
    for strategy in ("head-only", "full"):
        watched = Watched()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bench.finetune(f"waits-{strategy}", watched, **base_settings(bench, strategy=strategy, device=bench.device))
        torch.cuda.set_sync_debug_mode("default")
        own = [warning for warning in caught if "synchroniz" in str(warning.message)]
        places = sorted({f"{Path(warning.filename).name}:{warning.lineno}" for warning in own})
        figure = f"{len(own)} in {watched.steps} steps{': ' if places else ''}{', '.join(places[:6])}"
        bench.tell(f"{strategy}, waits for the device", figure, holds=len(own) <= max(1, watched.steps // 8))


def full(bench: Bench) -> None:
    """Images a second of fine-tuning everything, beside timm's network in a plain loop, in bfloat16 and channels_last."""
    best = product(bench.device)
    bench.tell("a product of matrices in bfloat16", f"{best / 1e12:.3g} TFLOP/s", best=best)
    photos = Path(bench.photos(4096))
    for name, twin in (("resnet50", "resnet50"), ("timm-vit_small_patch16_224", "vit_small_patch16_224")):
        if bench.is_dry:
            name, twin = "resnet18", "resnet18"
        batch = 8 if bench.is_dry else 128
        ours, flops = images_a_second_of_zoo(bench, name, photos, batch)
        theirs, resident = images_a_second_of_timm(bench.device, twin, photos, batch)
        share = 100 * resident * flops / best
        bench.tell(
            f"{name}, full, from JPEGs",
            f"{ours / theirs:.2f} times: {ours:.0f} images a second, timm's loop {theirs:.0f}",
            ours=ours,
            theirs=theirs,
        )
        bench.tell(f"{name}, timm's loop without images", f"{resident:.0f} images a second, {share:.0f} % of the best")
        if bench.is_dry:
            break


def frozen_base(bench: Bench) -> None:
    """A head alone on JPEGs, cold and warm, and how busy the device is."""
    photos = bench.photos(4096)
    os.environ["ZOO_CACHE"] = str(bench.folder / "speed-cache")
    settings: dict[str, Any] = {
        "backbone": "resnet50",
        "weights": "none",
        "strategy": "head-only",
        "epochs": 5,
        "lr": 0.005,
    }
    for title in ("cold", "warm"):
        with gpu_busy(bench.device) as busy:
            started = time.perf_counter()
            bench.finetune(f"frozen-base-{title}", **settings, device=bench.device, data=photos)
            seconds = time.perf_counter() - started
        words = (
            "" if busy.share is None else f", the device {busy.share:.0f} % busy on the mean, {busy.most:.0f} % at most"
        )
        bench.tell(f"resnet50, head-only, 5 epochs, {title}", f"{seconds:.1f} s{words}", seconds=seconds)


PARTS: dict[str, Callable[[Bench], None]] = {
    "agreement": agreement,
    "frozen": frozen,
    "resume": resume,
    "memory": memory,
    "waits": waits,
    "head": frozen_base,
    "full": full,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a GPU computes and how fast.")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--out", type=Path, default=Path("accelerator"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = f"{folder}/cache"
        bench = Bench(arguments.device, Path(folder), arguments.out, ends)
        for name in arguments.parts.split(","):
            bench.part = name
            if ends - time.monotonic() < LEAST_SECONDS:
                bench.tell(name, "no time was left")
                continue
            started = time.monotonic()
            try:
                PARTS[name](bench)
            except Exception as error:  # of this part alone
                traceback.print_exc()
                bench.tell(name, f"failed: {type(error).__name__}: {str(error)[:300]}", holds=False)
            print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
