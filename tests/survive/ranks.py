"""One of two processes that train together: whole, and stopped twice. test_ranks.py starts both.

python ranks.py WAY PHOTOS PARTS PLACE

WAY is what the runs are: "cpu", every kind of run; "device", some as on devices that compute apart; "memory", as on such
devices, of which one has less memory than the stopped run needs, while the whole one is told to take so much.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from helpers import act_as_accelerator
from norms import with_norms
from survive.test_interruptions import CASES, NORMS, Stopping
from survive.test_numbers import OUT_OF_MEMORY, small_memory
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.batches import training_steps
from zoo_core.devices.world import World
from zoo_core.settings import FinetuneConfig
from zoo_core.training import defaults, trainer
from zoo_core.training import run as running
from zoo_core.training.callback import Callback, NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.memory import StepError
from zoo_core.training.result import Result
from zoo_core.training.run import finetune, resume
from zoo_core.training.stopping import Interrupted

WAYS = {
    "cpu": CASES,
    "device": {case: CASES[case] for case in ("head-only", "norms learn", "averages and mixtures", "range test")},
    "memory": {"norms": replace(NORMS, strategy="last:1", micro_batch=None, batch_size=12)},
}
READ_EVERY = 3  # steps
FITTING = 3  # images


class Telling(Stopping):
    def message(self, text: str) -> None:
        print(text)


def main(way: str, photos: str, parts: str, place: Path) -> None:
    dist.init_process_group("gloo")
    World.close = lambda self: None  # type: ignore[method-assign]  # one group for all runs
    catalog = with_norms(open_catalog())
    patch = pytest.MonkeyPatch()
    patch.setattr(defaults, "FEWEST_FOR_TRIALS", 10)  # heads alone look for their rate
    if way != "cpu":
        act_as_accelerator(patch)
        patch.setattr(trainer, "READ_EVERY", READ_EVERY)
    for case, config in WAYS[way].items():
        data = replace(config, data=parts if case == "test-part" else photos)
        whole = replace(data, micro_batch=FITTING) if way == "memory" else data
        run_whole(replace(whole, out=str(place / f"{case}-whole")), catalog)
        with pytest.MonkeyPatch.context() as small:
            if way == "memory" and dist.get_rank() == 1:
                small_memory(small, FITTING, OUT_OF_MEMORY[0])
            run_stopped(replace(data, out=str(place / f"{case}-stopped")), catalog)
        if way == "memory":
            run_nowhere(replace(data, out=str(place / f"{case}-nowhere")), catalog)


def run_whole(config: FinetuneConfig, catalog: Catalog) -> None:
    os.environ["ZOO_CACHE"] = f"{config.out}-cache"
    finetune(config, catalog, NullCallback())
    dist.barrier()


def run_stopped(config: FinetuneConfig, catalog: Catalog) -> None:
    """Stop in mid-epoch, and in the last epoch; each time all goes on with other random numbers than it had."""
    os.environ["ZOO_CACHE"] = f"{config.out}-cache"
    job = prepare(config, catalog)
    steps = training_steps(len(job.source.parts["train"]), job.settings.batch_size)
    run = Path(str(config.out))
    assert stopped(1, lambda callback: finetune(config, catalog, callback))
    if stopped((job.plan.epochs - 1) * steps + 1, lambda callback: resume(run, catalog, callback)):
        assert not stopped(-1, lambda callback: resume(run, catalog, callback))
    dist.barrier()


def run_nowhere(config: FinetuneConfig, catalog: Catalog) -> None:
    """The second process has no memory for a single image: both say so."""
    with pytest.MonkeyPatch.context() as small:
        if dist.get_rank() == 1:
            small_memory(small, 0, OUT_OF_MEMORY[0])
        with pytest.raises(StepError, match="out of memory with a single image"):
            finetune(config, catalog, NullCallback())
    dist.barrier()


def stopped(stop: int, act: Callable[[Callback], Result]) -> bool:
    """Act, and wish to stop after so many steps. Whether it came to that: patience may end a run before."""
    callback = Telling(stop)
    running.stop_on_signals = lambda tell: nullcontext(callback.stop_request)  # type: ignore[assignment]
    torch.manual_seed(stop + dist.get_rank())
    try:
        act(callback)
    except Interrupted:
        dist.barrier()  # the first process has saved
        return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:4], Path(sys.argv[4]))
