"""The processes that train together, one a device, as torchrun starts them. Alone, every call does nothing.

`torchrun --nproc-per-node 2 -m zoo_core finetune ...` starts two; each takes its share of every batch.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from zoo_core.errors import ZooError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """How many processes there are, and which one this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes the run and speaks."""
        return self.rank == 0

    def shard(self, items: Sequence[T], among: Sequence[int] | None = None) -> Sequence[T]:
        """This process's share of a sequence: every `size`-th item, or less often when only some share it."""
        ranks = range(self.size) if among is None else among
        return items[ranks.index(self.rank) :: len(ranks)]

    def ranks_sharing(self, folder: Path) -> Sequence[int]:
        """The processes that see this folder, this one included: on several machines each may have a folder of that name.
        All ask together, and nobody goes on before all have come here."""
        if self.size == 1:
            return (0,)
        folder.mkdir(parents=True, exist_ok=True)
        token = self.broadcast_object(uuid.uuid4().hex)
        mine = folder / f".{token}-{self.rank}"
        mine.touch()
        self.barrier()
        seen = self.all_gather_object({int(mark.name.rpartition("-")[2]) for mark in folder.glob(f".{token}-*")})
        mine.unlink()
        return [rank for rank in range(self.size) if rank in seen[self.rank] and self.rank in seen[rank]]

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def all_gather_object(self, mine: Any) -> list[Any]:
        """What each process has, by rank, for all of them."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    @contextmanager
    def raise_together(self) -> Iterator[None]:
        """What stops one process in this block stops all of them at its end. Raises the first one's error."""
        failed: ZooError | None = None
        try:
            yield
        except ZooError as error:
            failed = error
        for one in self.all_gather_object(failed):
            if one is not None:
                raise one

    def broadcast_object(self, of_first: Any) -> Any:
        """What the first process has, for all of them."""
        return self.all_gather_object(of_first)[0]

    def broadcast(self, tensor: torch.Tensor) -> None:
        """Give a tensor the first process's values everywhere."""
        if self.size > 1:
            dist.broadcast(tensor, 0)

    def is_lost(self, error: RuntimeError) -> bool:
        """Whether an error means that another process has gone: gloo says so only in words."""
        return self.size > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error))

    def close(self) -> None:
        """End the group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def is_distributed() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join_world(device: torch.device) -> World:
    """Join the processes that torchrun started: over nccl on CUDA, over gloo else."""
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)  # what is gathered, and random numbers, belong to the current device
    if not is_distributed():
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), dist.get_world_size())
