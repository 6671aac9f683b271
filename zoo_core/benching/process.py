"""A worker process of a bench, as its parent sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from zoo_core.errors import ZooError, printable
from zoo_core.weights_specs import Preprocessing

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Asked:
    """A format of a model that is measured: the words of the table, and the way to open it."""

    model: str
    format: str
    device: str
    opening: dict[str, Any]
    """As `worker.opened` reads it."""
    bytes: int
    """The size of its files."""

    @classmethod
    def of(
        cls, model: str, format: str, device: str, images: Path, preprocessing: Preprocessing, files: list[Path], /,
        **opening: str,
    ) -> Asked:  # fmt: skip
        whole = {"images": str(images), "preprocessing": asdict(preprocessing), "device": device, **opening}
        return cls(model, format, device, whole, sum(file.stat().st_size for file in files if file.is_file()))


class Worker:
    """A process that has a format open. Raises WorkerProblem for whatever fails there."""

    def __init__(self, asked: Asked, threads: int | None) -> None:
        self.log = TemporaryFile()  # noqa: SIM115  # it lives as long as the worker
        environment = dict(os.environ)
        if threads is not None:
            environment |= dict.fromkeys(THREADS, str(threads))
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zoo_core.benching.worker", *([str(threads)] if threads else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
        )
        try:
            self.ask("open", **asked.opening)
        except BaseException:
            self.close()
            raise
        self.start_up = time.perf_counter() - began
        """Seconds from the start of the process to the first answer."""

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = ""
        try:
            self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            self.process.wait()
            raise WorkerProblem(f"its process ended with code {self.process.returncode}{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "problem" in answer:
            raise WorkerProblem(answer["problem"], out_of_memory=answer.get("out_of_memory", False))
        return answer

    def _last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f": {printable(last)[:300]}" if last else ""

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()


class WorkerProblem(ZooError):
    """Why a format cannot be measured, or not with such a batch."""

    def __init__(self, text: str, *, out_of_memory: bool = False) -> None:
        super().__init__(text)
        self.out_of_memory = out_of_memory
