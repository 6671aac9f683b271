"""What the tests of this folder share: commands in warm processes, and runs that are compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.paths import sha256_of

PICTURES, TENSORS = ["confusion.png", "curves.png"], [f"{name}.safetensors" for name in ("fitted", "images", "model")]
PICTURES_OF_TASKS = {"confusion.png", "precisions.png", "scatter.png"}
"""One of them is in a run, besides its curves."""
FINISHED = sorted(["README.md", "answers.csv", "config.json", "metrics.jsonl", *PICTURES, *TENSORS])


@dataclass
class Ended:
    """How a command ended: `code` is negative when a signal killed it; `seconds` count from the run's first file.

    Of several processes it is the code of the first that failed, and `text` is what all of them printed.
    """

    code: int
    text: str
    seconds: float


class Forks:
    """Calls `zoo` in forks of a process that has everything imported: a run takes tenths of a second to start."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, "-W", "error", Path(__file__).with_name("forks.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def zoo(
        self,
        *arguments: object,
        cwd: Path,
        run: str = "run",
        timeout: float = 120,
        kill_after: float | None = None,
        states: Path | None = None,
        caches: Sequence[str] = ("cache",),
    ) -> Ended:
        """Call it, with a cache beside the run; kill it so many seconds after the run began, or keep the state of `cwd`
        before each of its writes. Where there are several `caches`, a process for each trains, together with the others:
        such may wait for each other for ever, and after the timeout all are killed."""
        request: dict[str, Any] = {"arguments": [*map(str, arguments)], "cwd": str(cwd), "run": run}
        request |= {"caches": [str(cwd / name) for name in caches]}
        request |= {"timeout": timeout, "kill_after": kill_after}
        request["states"] = states and str(states)
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return Ended(**json.loads(self.server.stdout.readline()))

    def close(self) -> None:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.close()
        self.server.stdout.close()
        self.server.wait()


def weights_of(run: Path) -> str:
    """The hash of a finished run's weights; there must be nothing else in it than a finished run holds."""
    others = [path.name for path in run.iterdir() if path.name not in PICTURES_OF_TASKS]
    assert sorted(others) == [name for name in FINISHED if name not in PICTURES_OF_TASKS]
    assert sum((run / name).is_file() for name in PICTURES_OF_TASKS) == 1
    return sha256_of(run / "model.safetensors")


def history_of(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics without the time they took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
