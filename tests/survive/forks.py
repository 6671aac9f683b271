"""A server of warm processes: it has torch and zoo imported, and forks for each command line that it is given.

It has computed nothing before it forks, so that no child inherits the threads of a pool. Run with OMP_NUM_THREADS=1.

Requests and answers are JSON, a line each. A request: `arguments`, `cwd`, `caches` (a cache for each process: several train
together), `timeout` (seconds after which all are killed), `kill_after` (seconds after the run's config.json appears; null:
never), `states` (a folder for what lies in `cwd` before each write; null: none). The answer: `code` (negative: the signal),
`text` (both output streams), `seconds` since config.json. Pictures are blank.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from helpers import draw_blank

NEEDED = (
    "zoo_core.cli.compare",
    "zoo_core.cli.finetune",
    "zoo_core.cli.resume",
    "zoo_core.training.run",
    "zoo_core.runs.plots",
    "rich.progress",
)


def warm_up() -> None:
    """Have torch import what it needs for shapes alone, which takes it two seconds; nothing is computed."""
    import torch

    inputs = torch.empty(1, 1, 8, 8, device="meta")
    torch.nn.Tanh()(torch.nn.functional.conv2d(inputs, torch.empty(1, 1, 3, 3, device="meta")))


def keep_states(states: Path) -> None:
    """Before every call that makes bytes or names last, in this process, copy what a kill would leave: the current folder.

    Safetensors writes a file of its own beside the one that it is asked for: that one is there when it is killed.
    """
    done = 0
    copying = False
    lock = threading.RLock()

    def kept(real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal done, copying
            with lock:  # weights are written in a thread of their own, while pictures are drawn
                if not copying:
                    copying, done = True, done + 1
                    state = shutil.copytree(Path.cwd(), states / f"{done:03d}")
                    if real is save_file:
                        (state / Path(arguments[1]).absolute().relative_to(Path.cwd())).with_name(".tmpAbCdEf").touch()
                    copying = False
                return real(*arguments, **named)

        return call

    import shutil

    from safetensors.torch import save_file

    from zoo_core import paths, tensors
    from zoo_core.training import checkpoint

    for owner, name in (
        (os, "fsync"),
        (os, "rename"),
        (os, "mkdir"),
        (Path, "mkdir"),
        (Path, "replace"),
        (Path, "write_text"),
        (shutil, "rmtree"),
        (checkpoint, "save_file"),
        (tensors, "save_file"),
    ):
        setattr(owner, name, kept(getattr(owner, name)))
    assert paths.os is os


def child(request: dict[str, Any], rank: int, port: int, output: int) -> None:
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(request["cwd"])
    os.environ["ZOO_CACHE"] = request["caches"][rank]
    if len(request["caches"]) > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": len(request["caches"]), "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    sys.argv = ["zoo", *request["arguments"]]
    from zoo_core.cli.main import main

    if request["states"] is not None:
        keep_states(Path(request["states"]))
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(request: dict[str, Any]) -> dict[str, Any]:
    run = Path(request["cwd"]) / request["run"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile() as output:
        pids = []
        for rank in range(len(request["caches"])):
            pids.append(os.fork())
            if pids[-1] == 0:
                child(request, rank, port, output.fileno())
        begun: float | None = None
        codes: dict[int, int] = {}
        deadline = time.monotonic() + request["timeout"]
        while len(codes) < len(pids):
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended:
                codes[ended] = os.waitstatus_to_exitcode(status)
                continue
            if begun is None and (run / "config.json").exists():
                begun = time.monotonic()
            if begun is not None and request["kill_after"] is not None:
                time.sleep(max(0.0, begun + request["kill_after"] - time.monotonic()))
                os.kill(pids[0], signal.SIGKILL)
                request["kill_after"] = None
            if time.monotonic() > deadline:
                for pid in set(pids) - codes.keys():
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
        output.seek(0)
        return {
            "code": next(filter(None, codes.values()), 0),
            "text": output.read().decode(errors="replace"),
            "seconds": 0.0 if begun is None else time.monotonic() - begun,
        }


if __name__ == "__main__":
    for needed in NEEDED:
        importlib.import_module(needed)
    warm_up()
    draw_blank(setattr)
    gc.freeze()  # no child looks through all that was imported
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), flush=True)
