"""A Python that has imported the libraries of others and forks for every command: no test waits for them again.

The child then does all that `python -W WARNINGS -m zoo_core ARGUMENTS` does after the start of the interpreter: it
imports zoo_core, parses the arguments, ends by its own exit code or signal, and runs what is registered for its exit.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

# All that most commands import, but for huggingface_hub: it reads its settings when it is imported.
LIBRARIES = (
    *(
        "click",
        "filelock",
        "jinja2",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "numpy",
        "packaging.version",
    ),
    *("PIL.Image", "platformdirs", "pluggy", "rich.console", "rich.markup", "rich.progress", "rich.table"),
    *("safetensors.torch", "torch", "torch.distributed", "torchvision"),
)
# Read by the interpreter or by torch when they start: a command in which one of them differs gets a process of its own.
AT_START = ("PYTHON", "OMP", "GOMP", "MKL", "KMP", "TORCH", "CUDA", "LD_", "LC_", "LANG", "ZOO_LEAN_TORCH", "MALLOC")
SET_IN_TESTS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "TORCHINDUCTOR_CACHE_DIR")
"""Variables that zoo and torch's compiler set in the process of the tests: with one thread, and without a compiler, they
change nothing. Seen to slow all: after the first test that compiles, no command was warm any more. One that a test gives
counts."""


class WarmPython:
    """The parent's side. One command runs at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._environment: dict[str, str] = {}
        self._lock = threading.Lock()

    def run(
        self, arguments: list[str], *, cwd: Path, env: dict[str, str], timeout: float, warnings: str
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run with captured output; raises subprocess.TimeoutExpired."""
        command = [sys.executable, "-W", warnings, "-m", "zoo_core", *arguments]
        if not self._lock.acquire(blocking=False):
            return self._cold(command, cwd, env, timeout)
        try:
            if not hasattr(os, "fork") or self.differs(env):
                return self._cold(command, cwd, env, timeout)
            with tempfile.TemporaryDirectory() as folder:
                out, err = Path(folder, "out"), Path(folder, "err")
                request = {"arguments": arguments, "cwd": str(cwd), "env": env, "warnings": warnings}
                code = self._ask({**request, "out": str(out), "err": str(err)}, command, timeout)
                return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())
        finally:
            self._lock.release()

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()

    def differs(self, env: dict[str, str]) -> bool:
        self._environment = self._environment or dict(os.environ)
        inherited = [name for name in SET_IN_TESTS if env.get(name) == os.environ.get(name)]

        def at_start(variables: dict[str, str]) -> dict[str, str]:
            told = {name: text for name, text in variables.items() if name.startswith(AT_START)}
            return {name: text for name, text in told.items() if name not in ("PYTHONPATH", *inherited)}

        return at_start(env) != at_start(self._environment)

    def _ask(self, request: dict[str, object], command: list[str], timeout: float) -> int:
        if self._process is None:
            own = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}  # one of a test's own
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=own,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        late = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
        late.start()
        code = int(self._process.stdout.readline())
        if late.finished.is_set():
            raise subprocess.TimeoutExpired(command, timeout)
        late.cancel()
        return code

    def _cold(
        self, command: list[str], cwd: Path, env: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)


def serve() -> None:
    """Fork a child for each request on standard input; print its number, then its exit code."""
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # no child looks through all of that
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = [folder for folder in sys.path[1:] if folder not in own]
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            become(request, path)
            return
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(request: dict[str, object], path: list[str]) -> None:
    """Turn the forked child into `python -m zoo_core`."""
    import runpy
    import warnings

    for number, name, mode in ((0, os.devnull, os.O_RDONLY), (1, request["out"], os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(str(name), mode, 0o600), number)
    os.dup2(os.open(str(request["err"]), os.O_WRONLY | os.O_CREAT, 0o600), 2)
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[arg-type]
    os.chdir(str(request["cwd"]))
    sys.argv[1:] = request["arguments"]  # type: ignore[call-overload]
    added = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:] = [os.getcwd(), *added, *path]
    sys.warnoptions[:] = [str(request["warnings"])]
    warnings.resetwarnings()
    warnings.simplefilter(str(request["warnings"]))  # type: ignore[arg-type]
    runpy.run_module("zoo_core", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve()
