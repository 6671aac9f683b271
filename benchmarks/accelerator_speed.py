"""The speeds that accelerator.py compares."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch.nn import functional
from utilisation import Times, images_a_second, operations_an_image

import zoo_core
from zoo_core.catalog import open_catalog
from zoo_core.data.batches import Batches
from zoo_core.data.decoders import Decoders
from zoo_core.devices.kinds import kind_of
from zoo_core.settings.words import USUAL_LAYOUT, Decoding
from zoo_core.training import compiling
from zoo_core.training.job import Job, prepare
from zoo_core.training.run import run_job

if TYPE_CHECKING:
    from accelerator_bench import Bench

TRIES, EPOCHS = 10, 3
RESIDENT_STEPS = 20


def product(device: str) -> float:
    """Operations a second of a product of two large matrices in bfloat16, the fastest of several."""
    side = 512 if device == "cpu" else 8192
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(TRIES):
        started = now(device)
        torch.mm(left, right)
        seconds.append(now(device) - started)
    return float(2 * side**3 / min(seconds))


def now(device: str) -> float:
    kind_of(torch.device(device)).wait(torch.device(device))
    return time.perf_counter()


class Speed(NamedTuple):
    """Images a second, the operations of an image, and the most bytes of an NVIDIA GPU's memory, else 0."""

    rate: float
    operations: float
    memory: int


def full_settings(bench: Bench, name: str, photos: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {"backbone": name, "weights": "none", "strategy": "full", "data": str(photos)}
    settings |= {"epochs": EPOCHS, "lr": 0.001, "augment": "none", "precision": "bfloat16"}
    return settings | {"size": bench.size, "device": bench.device}


def images_a_second_of_zoo(
    bench: Bench, name: str, photos: Path, batch: int, *, compiled: bool = False, decoding: Decoding = "processes"
) -> Speed:
    """A real fine-tune from files, its first epoch aside."""
    mode: Literal["on", "off"] = "on" if compiled else "off"
    out = str(bench.folder / f"full-{name}-{mode}-{decoding}")
    config = zoo_core.FinetuneConfig(
        **full_settings(bench, name, photos),
        batch_size=batch,
        compile=mode,
        step_layout=USUAL_LAYOUT,
        decoding=decoding,
        out=out,
    )
    job = prepare(config, open_catalog())
    operations = operations_an_image(job)
    times, counts_memory, device = Times(), bench.device.startswith("cuda"), torch.device(bench.device)
    if counts_memory:
        torch.cuda.reset_peak_memory_stats(device)
    backend, compiling.BACKEND = compiling.BACKEND, back_end(bench)
    try:
        run_job(job, times)
    finally:
        compiling.BACKEND = backend
    most = torch.cuda.max_memory_allocated(device) if counts_memory else 0
    return Speed(images_a_second(times, batch), operations, most)


def back_end(bench: Bench) -> str:
    """Of torch.compile: a dry run writes no code, which takes a CPU most of a minute."""
    return "aot_eager" if bench.is_dry else "inductor"


def batch_by_trial(bench: Bench, name: str, photos: Path) -> int:
    """The batch size that a trial on the device chooses."""
    config = zoo_core.FinetuneConfig(**full_settings(bench, name, photos), batch_size="auto", compile="off")
    return prepare(config, open_catalog()).settings.batch_size


def images_a_second_read(job: Job) -> tuple[int, float]:
    """The training images of a run, and how many a second are read, by threads or processes as in the run, while
    nothing computes."""
    part, config = job.source.parts["train"], job.settings
    decoders = Decoders(job.preprocessing, config.workers) if config.decoding == "processes" else None
    batches = Batches(part, job.preprocessing, config.batch_size, config.workers, decoders=decoders)
    started = time.perf_counter()
    try:
        images = sum(len(pixels_BCHW) for pixels_BCHW, _ in batches.in_order())
        return images, images / (time.perf_counter() - started)
    finally:
        if decoders is not None:
            decoders.close()


def images_a_second_of_timm(
    bench: Bench, name: str, photos: Path, batch: int, *, compiled: bool = False
) -> tuple[float, float]:
    """Images a second of timm's network in a plain loop: from files, decoded by 16 processes and the first epoch aside,
    and with one batch that stays on the device.

    The processes hold two batches each, which may be as many as an epoch has. So the epochs follow each other without
    a stop, and another one follows the last that counts: as many batches are under way when the clock stops as when it
    starts.
    """
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision.datasets import ImageFolder

    device = bench.device
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=4).to(device).to(memory_format=torch.channels_last)
    wanted = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
    if bench.size is not None:
        wanted["input_size"] = (3, bench.size, bench.size)
    transform: Any = create_transform(**wanted)
    forward: Any = torch.compile(network, backend=back_end(bench), dynamic=False) if compiled else network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    workers = 0 if bench.is_dry else 16
    folder = ImageFolder(str(photos / "train"), transform)
    steps = len(folder) // batch
    loader = DataLoader(
        folder,
        batch,
        sampler=RandomSampler(folder, num_samples=(EPOCHS + 1) * steps * batch),
        num_workers=workers,
        pin_memory=not bench.is_dry,
        drop_last=True,
    )

    def step(images_BCHW: Any, labels_B: Any) -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            loss = functional.cross_entropy(forward(images_BCHW), labels_B)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    network.train()
    for number, (images_BCHW, labels_B) in enumerate(loader, 1):
        step(
            images_BCHW.to(device, memory_format=torch.channels_last, non_blocking=True),
            labels_B.to(device, non_blocking=True),
        )
        if number == steps:
            first = now(device)
        if number == EPOCHS * steps:
            break
    rate = (EPOCHS - 1) * steps * batch / (now(device) - first)
    images_BCHW, labels_B = images_BCHW.to(device, memory_format=torch.channels_last), labels_B.to(device)
    resident = 2 if bench.is_dry else RESIDENT_STEPS
    for number in range(resident + 3):
        if number == 3:
            started = now(device)
        step(images_BCHW, labels_B)
    return rate, resident * batch / (now(device) - started)


@dataclass
class Busy:
    """The share of time in which the device computed, in percent; None where nobody can say."""

    share: float | None = None
    most: float = 0.0


def sampling(device: str) -> subprocess.Popen[str] | None:
    """A process that prints the share of time in which this one GPU was busy, None where there is no such tool."""
    if not device.startswith("cuda"):
        return None
    name = f"GPU-{torch.cuda.get_device_properties(torch.device(device)).uuid}"
    command = ["nvidia-smi", "-i", name, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        return None


@contextmanager
def gpu_busy(device: str) -> Iterator[Busy]:
    """Sample the device's use ten times a second."""
    busy, seen, done = Busy(), [], threading.Event()
    process = sampling(device)
    if process is None:
        yield busy
        return

    def read() -> None:
        for line in process.stdout or ():
            if line.strip().isdigit():
                seen.append(float(line))
            if done.is_set():
                break

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield busy
    finally:
        done.set()
        process.terminate()
        thread.join(timeout=5)
        process.communicate()
        if seen:
            busy.share, busy.most = sum(seen) / len(seen), max(seen)
