"""Two checks of accelerator.py: a tail that is compiled and recorded as a graph against the plain one, and two processes
that train together against one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerator_agreement import Learnt, Notes, base_settings, learnt, precisions, tell_agreement
from accelerator_bench import Bench

from zoo_core.devices.kinds import kind_of

RANK = Path(__file__).parent / "accelerator_rank.py"
GRACE = 10.0  # seconds


@dataclass
class Replays:
    """The CUDA graphs that were played, by their number, and how often."""

    graphs: set[int] = field(default_factory=set)
    count: int = 0


@contextmanager
def replays() -> Iterator[Replays]:
    """Count what torch plays of recorded graphs in this block."""
    seen, graph = Replays(), torch.cuda.CUDAGraph
    replay = graph.replay

    def counted(self: Any, *given: Any, **named: Any) -> Any:
        seen.graphs.add(id(self))
        seen.count += 1
        return replay(self, *given, **named)

    graph.replay = counted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        graph.replay = replay  # type: ignore[method-assign]


def graphs(bench: Bench) -> None:
    """The last stage compiled, and on an NVIDIA GPU recorded as a graph, against the same computed layer by layer."""
    recorded = "last:1, recorded as a CUDA graph"
    settings = base_settings(bench, strategy="last:1", device=bench.device)
    for precision in precisions(bench, "last:1, compiled"):
        eager = learnt(bench, f"eager-{precision}", settings, precision=precision, compile="off")
        notes = Notes()
        with replays() as played:
            own = learnt(bench, f"compiled-{precision}", settings, notes, precision=precision, compile="on")
        failed = [text for text in notes.messages if "cannot be compiled" in text]
        if failed:
            bench.not_shown(f"last:1, compiled, {precision}", failed[0])
            continue
        tell_agreement(bench, f"last:1, compiled, {precision}", own, eager, precision, "those without")
        if kind_of(torch.device(bench.device)).has_graphs:
            figure = f"{len(played.graphs)} graphs were played {played.count} times"
            bench.tell(f"{recorded}, {precision}", figure, holds=played.count > 0, replays=played.count)
    if not kind_of(torch.device(bench.device)).has_graphs:
        bench.not_shown(recorded, "only an NVIDIA GPU records graphs")


def processes(bench: Bench) -> None:
    """Two processes that share each batch against one: on one device by gloo, on two GPUs by nccl."""
    kind, title = kind_of(torch.device(bench.device)), "last:2, two processes on one device by gloo"
    # A batch norm that is trained would take its statistics from half a batch in each process.
    settings = base_settings(bench, strategy="last:2,statistics=frozen", precision="float32")
    one = learnt(bench, "one-process", settings, device=bench.device)
    if kind.backend is None:
        bench.not_shown(title, f"{kind.title} trains alone")
    else:
        device = f"{kind.name}:0" if kind.is_accelerator else kind.name
        own = together(bench, "gloo", {**settings, "device": device})
        tell_agreement(bench, title, own, one, "float32", "those of one process")
    if kind.backend == "nccl" and kind.count() > 1:
        own = together(bench, "nccl", {**settings, "device": kind.name})
        tell_agreement(bench, "last:2, two GPUs by nccl", own, one, "float32", "those of one GPU")
    else:
        here = f"{kind.count()} is here" if kind.backend == "nccl" else "none is here"
        bench.not_shown("last:2, two GPUs by nccl", f"it takes two NVIDIA GPUs, and {here}")


def together(bench: Bench, backend: str, settings: dict[str, Any]) -> Learnt:
    """Train in two processes that talk by a backend."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    if bench.is_dry:
        place["OMP_NUM_THREADS"] = "1"
    given = json.dumps({**settings, "out": str(bench.folder / f"two-{backend}")})
    with ExitStack() as held:
        outputs = [held.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)]
        ranks = [
            subprocess.Popen(
                [sys.executable, RANK, backend, given],
                env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank, output in enumerate(outputs)
        ]
        try:
            wait_for(ranks, bench.ends)
        finally:
            for one in ranks:
                one.kill()
                one.wait()
        for output in outputs:
            output.seek(0)
        told = [output.read() for output in outputs]
    if any(one.returncode for one in ranks):
        raise RuntimeError(f"a process ended with {[one.returncode for one in ranks]}: {' / '.join(told)[-600:]}")
    answer = json.loads(told[0].splitlines()[-1])
    if answer["backend"] != backend:
        raise RuntimeError(f"the processes talked by {answer['backend']}, not {backend}")
    return Learnt(answer["losses"], answer["answers"])


def wait_for(ranks: list[subprocess.Popen[str]], ends: float) -> None:
    """Wait until all processes have ended, or the time has; where one has failed, the others have some seconds."""
    while any(one.poll() is None for one in ranks):
        if any(one.poll() for one in ranks):
            ends = min(ends, time.monotonic() + GRACE)
        if time.monotonic() > ends:
            return
        time.sleep(0.05)
