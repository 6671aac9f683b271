"""One of two processes that train every kind of run together: whole, and stopped twice. test_ranks.py starts both.

python ranks.py PHOTOS PARTS PLACE
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from survive.test_interruptions import CASES, Stopping
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.config import FinetuneConfig
from zoo_core.data.batches import training_steps
from zoo_core.training import run as running
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.job import prepare
from zoo_core.training.run import Result, resume, run_job
from zoo_core.training.watcher import Silent, Watcher
from zoo_core.training.world import World


def main(photos: str, parts: str, place: Path) -> None:
    dist.init_process_group("gloo")
    World.leave = lambda self: None  # type: ignore[method-assign]  # one group for all runs
    catalog = open_catalog()
    for case, config in CASES.items():
        data = replace(config, data=parts if case == "test-part" else photos)
        run_whole(replace(data, out=str(place / f"{case}-whole")), catalog)
        run_stopped(replace(data, out=str(place / f"{case}-stopped")), catalog)


def run_whole(config: FinetuneConfig, catalog: Catalog) -> None:
    os.environ["ZOO_CACHE"] = f"{config.out}-cache"
    run_job(prepare(config, catalog), Silent())
    dist.barrier()


def run_stopped(config: FinetuneConfig, catalog: Catalog) -> None:
    """Stop in mid-epoch, and in the last epoch; each time all goes on with other random numbers than it had."""
    os.environ["ZOO_CACHE"] = f"{config.out}-cache"
    job = prepare(config, catalog)
    steps = training_steps(len(job.source.parts["train"]), config.images_a_step)
    run = Path(str(config.out))
    assert stopped(1, lambda watcher: run_job(prepare(config, catalog), watcher))
    if stopped((job.plan.epochs - 1) * steps + 1, lambda watcher: resume(run, catalog, watcher)):
        assert not stopped(-1, lambda watcher: resume(run, catalog, watcher))
    dist.barrier()


def stopped(stop: int, act: Callable[[Watcher], Result]) -> bool:
    """Act, and wish to stop after so many steps. Whether it came to that: patience may end a run before."""
    watcher = Stopping(stop)
    running.listening = lambda tell: nullcontext(watcher.wish)  # type: ignore[assignment]
    torch.manual_seed(stop + dist.get_rank())
    try:
        act(watcher)
    except Interrupted:
        dist.barrier()  # the first process has saved
        return True
    return False


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
