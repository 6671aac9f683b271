"""One of the processes of accelerator.py that train together: `accelerator_rank.py BACKEND SETTINGS`, the settings in JSON.

The first prints the backend, the losses and the answers. zoo takes nccl for GPUs, which wants one for each process;
gloo is chosen here, so that two can share a GPU.
"""

from __future__ import annotations

import json
import os
import sys

import torch.distributed as dist
from accelerator_agreement import Notes, learnt_by

import zoo_core
from zoo_core.runs.epochs import EpochReport


class Talking(Notes):
    """Notes the backend by which the processes of a training talk."""

    backend = "none"

    def on_epoch(self, report: EpochReport) -> None:
        self.backend = dist.get_backend()


def main(backend: str, settings: str) -> None:
    if backend == "gloo":
        dist.init_process_group(backend)
    talking = Talking()
    result = zoo_core.finetune(zoo_core.FinetuneConfig(**json.loads(settings)), callback=talking)
    if os.environ["RANK"] == "0":
        print(json.dumps({"backend": talking.backend, **learnt_by(result)._asdict()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
