"""A `World` is the group of processes that train together, one per device, seen from one of them.

`torchrun --nproc-per-node 2 -m zoo_core finetune ...` and `--devices 2` start two processes. Each
reads its share of every batch, and DistributedDataParallel averages their gradients. A process that
trains alone is a World of size 1, in which every method returns at once, so the training has one
code path.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from zoo_core.devices.kinds import kind_of
from zoo_core.devices.launched import is_distributed
from zoo_core.errors import LostError, UsageError, ZooError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """A group of `size` processes; this process has the number `rank`, from 0."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run directory and prints."""
        return self.rank == 0

    def shard(self, items: Sequence[T], among: Sequence[int] | None = None) -> Sequence[T]:
        """This process's items of a sequence: every `size`-th one, or every n-th when only the n
        ranks `among` share it."""
        ranks = range(self.size) if among is None else among
        return items[ranks.index(self.rank) :: len(ranks)]

    def ranks_sharing(self, folder: Path) -> Sequence[int]:
        """The ranks that see the same folder as this process, itself included: on several machines,
        folders of one name may differ. All processes call this together, and it is a barrier."""
        if self.size == 1:
            return (0,)
        folder.mkdir(parents=True, exist_ok=True)
        token = self.broadcast_object(uuid.uuid4().hex)
        mark = folder / f".{token}-{self.rank}"
        mark.touch()
        self.barrier()
        seen = self.all_gather_object({int(path.name.rpartition("-")[2]) for path in folder.glob(f".{token}-*")})
        mark.unlink()
        return [rank for rank in range(self.size) if rank in seen[self.rank] and self.rank in seen[rank]]

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        if self.size > 1:
            dist.barrier()

    def all_gather_object(self, value: Any) -> list[Any]:
        """Give every process the values of all, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    @contextmanager
    def raise_together(self) -> Iterator[None]:
        """A ZooError in this block on one process is raised on all of them at its end; of several,
        that of the lowest rank."""
        failed: ZooError | None = None
        try:
            yield
        except ZooError as caught:
            failed = caught
        for error in self.all_gather_object(failed):
            if error is not None:
                raise error

    def broadcast_object(self, value: Any) -> Any:
        """Give every process the value of the first."""
        return self.all_gather_object(value)[0]

    def broadcast(self, tensor: torch.Tensor) -> None:
        """Overwrite a tensor on every process with the numbers of the first."""
        if self.size > 1:
            dist.broadcast(tensor, 0)

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of the tensors of all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def is_lost(self, error: RuntimeError) -> bool:
        """Whether an error means that another process has ended: gloo raises a plain RuntimeError."""
        return self.size > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error))

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """The processes started together, until the block ends; a World of size 1 when there is one.

    Raises as `join_world`, and LostError where another process has ended before the run began.
    """
    world = join_world(device)
    try:
        yield world
    except RuntimeError as error:
        if world.is_lost(error):
            raise LostError(
                "another process of this training ended. When that is mended, give the same command again."
            ) from error
        raise
    finally:
        world.close()


def join_world(device: torch.device) -> World:
    """Join the processes, over nccl on CUDA and gloo on a CPU. Raises UsageError for devices that
    cannot train together."""
    kind = kind_of(device)
    kind.choose(device)  # all_gather_object and the generators use the current device
    if not is_distributed():
        return World()
    if kind.backend is None:
        raise UsageError(f"{kind.title} trains alone. Use --devices 1, or --device cpu.")
    if not dist.is_initialized():
        dist.init_process_group(kind.backend)
    return World(dist.get_rank(), dist.get_world_size())
