"""A bench: models and formats measured on the same images, taking turns.

Each format lives in a process of its own. Shapes: B batch, N images, C channels, H height, W width,
K outputs.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.attribution import names_plugins
from zoo_core.benching.measured import Bench, Latency, Row
from zoo_core.benching.models import Formats, as_run, formats_of, names_run, opened_run
from zoo_core.benching.process import Asked, Worker, WorkerProblem
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.scan import Watch
from zoo_core.devices.cores import usable_cores
from zoo_core.errors import UsageError
from zoo_core.options import listed
from zoo_core.settings import BadImages

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""The batches that are tried: up to the size at which a server still answers soon."""
WORSE = 0.97  # of the best rate: two sizes in a row below it end the search
STARTS = 3  # processes whose start is timed
FIRST_IMAGES, LAST_BATCHES = 10, 3  # of the process whose memory is measured


@dataclass
class _Times:
    """The measurements of one format."""

    whole: list[float] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    start_ups: list[float] = field(default_factory=list)
    peaks: list[int | None] = field(default_factory=list)
    peaks_alone: list[int | None] = field(default_factory=list)
    batch: int = 1
    problem: str | None = None


@names_plugins
def bench(
    models: str | Path | Sequence[str | Path],
    *,
    formats: str | Sequence[str] = ("torch",),
    data: Any = None,
    bad_images: BadImages | None = None,
    threads: int | None = None,
    device: str = "auto",
    price: float | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    catalog: Catalog | None = None,
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> Bench:
    """Measure a run in several formats, or several backbones before any training.

    A run answers the images of its held-out part, or `data` (`bad_images` is that of
    `evaluate_run`); backbones have random weights, a
    linear head of 1,000 classes and made-up photographs. `formats` are "torch", as `zoo predict`
    computes, and those of `zoo export`, whose files are made and checked for it. In each of the
    `rounds` every format has two turns of so many `seconds`: images one by one, and in its best
    batch. An image counts from the bytes of its file to the answer. `threads` limits the cores,
    `device` is that of the format torch, `price` that of this machine for an hour.

    Raises UsageError for a mixture of runs and backbones and an unknown format. A format that
    fails has a row with its `problem`.
    """
    catalog, models, formats = catalog or open_catalog(), listed(models), listed(formats)
    if rounds < 1 or seconds <= 0 or (threads is not None and threads < 1):
        raise UsageError("rounds and threads are whole numbers from 1 on, and seconds more than 0.")
    if len(models) > 1 and any(names_run(model, catalog) for model in models):
        raise UsageError("zoo bench takes one run, or backbones separated by commas.")
    if threads is not None and threads > usable_cores():
        raise UsageError(f"--threads {threads}: this process may use {usable_cores()} cores.")
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as temporary:
        folder = Path(temporary)
        made: list[Formats] = []
        for number, model in enumerate(models):
            place = folder / str(number)
            place.mkdir()
            is_run = names_run(model, catalog)
            opened = (
                opened_run(model, data, device, catalog, scanning, bad_images)
                if is_run
                else as_run(model, place, catalog)
            )
            made.append(formats_of(opened, formats, place, device, catalog))
        asked = [one for of_model in made for one in of_model.asked]
        times = _measured(asked, threads, rounds, seconds, watch)
    scores = {(one.model, format): score for one in made for format, score in one.scores.items()}
    problems = [Row(one.model, *pair) for one in made for pair in one.problems.items()]
    rows = [_row(one, times[number], scores.get((one.model, one.format)), price) for number, one in enumerate(asked)]
    return Bench(
        data=made[0].title,
        part=made[0].part,
        timed=made[0].timed,
        cores=threads or usable_cores(),
        rounds=rounds,
        seconds=seconds,
        price=price,
        rows=(*rows, *problems),
    )


def _measured(
    asked: Sequence[Asked], threads: int | None, rounds: int, seconds: float, watch: Watch | None
) -> list[_Times]:
    """The measurements of each format. What fails is left out from then on."""
    times = [_Times() for _ in asked]
    total, done = (1 + rounds + STARTS) * len(asked), 0

    def turns(steps: int, work: Callable[[int], None]) -> None:
        nonlocal done
        for _ in range(steps):
            for number in range(len(asked)):
                if times[number].problem is None:
                    with _noting(times[number]):
                        work(number)
                done += 1
                if watch is not None:
                    watch(done, total)

    with ExitStack() as stack:
        workers: dict[int, Worker] = {}

        def search(number: int) -> None:
            workers[number] = Worker(asked[number], threads)
            stack.callback(workers[number].close)
            times[number].batch = _best_batch(workers[number], seconds / 4)

        def turn(number: int) -> None:
            found = workers[number].ask("latency", seconds=seconds)
            times[number].whole += found["whole"]
            times[number].network += found["network"]
            rate = workers[number].ask("throughput", batch=times[number].batch, seconds=seconds)["rate"]
            times[number].rates.append(rate)

        turns(1, search)
        turns(rounds, turn)
    turns(STARTS, lambda number: _start(asked[number], threads, times[number]))
    return times


@contextmanager
def _noting(times: _Times) -> Iterator[None]:
    try:
        yield
    except WorkerProblem as problem:
        times.problem = str(problem)


def _best_batch(worker: Worker, seconds: float) -> int:
    rates: dict[int, float] = {}
    for size in SIZES:
        try:
            rates[size] = worker.ask("throughput", batch=size, seconds=seconds)["rate"]
        except WorkerProblem as problem:
            if not (problem.out_of_memory and rates):
                raise
            break
        if len(rates) > 2 and all(rate < WORSE * max(rates.values()) for rate in list(rates.values())[-2:]):
            break
    return max(rates, key=rates.__getitem__)


def _start(asked: Asked, threads: int | None, times: _Times) -> None:
    """Time the start of a new process, and its memory with images alone and with batches."""
    worker = Worker(asked, threads)
    try:
        times.start_ups.append(worker.start_up)
        worker.ask("batches", batch=1, count=FIRST_IMAGES)
        times.peaks_alone.append(worker.ask("peak")["bytes"])
        worker.ask("batches", batch=times.batch, count=LAST_BATCHES)
        times.peaks.append(worker.ask("peak")["bytes"])
    finally:
        worker.close()


def _row(asked: Asked, times: _Times, score: Any, price: float | None) -> Row:
    if times.problem is not None:
        return Row(asked.model, asked.format, times.problem)
    rate = statistics.median(times.rates)
    return Row(
        model=asked.model,
        format=asked.format,
        device=asked.device,
        latency=Latency.of(times.whole),
        network_ms=1000 * float(np.median(times.network)),
        batch=times.batch,
        rate=rate,
        rates=(min(times.rates), max(times.rates)),
        peak_bytes=_most(times.peaks),
        peak_bytes_alone=_most(times.peaks_alone),
        bytes=asked.bytes,
        start_up=statistics.median(times.start_ups),
        score=score,
        cost=None if price is None else price * 1e6 / (3600 * rate),
    )


def _most(peaks: Sequence[int | None]) -> int | None:
    known = [peak for peak in peaks if peak is not None]
    return max(known, default=None)
